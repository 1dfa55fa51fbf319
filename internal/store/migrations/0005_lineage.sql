-- Lineage: who was given which credentials, what nodes are called, and on which
-- days the lake needs which node. See package lineage.

-- One row for each node and event. Rows lie in the order of their arrival, since
-- keys are random: an index by node alone is what has to be written all over.
CREATE TABLE lineage_links (
    id            INTEGER PRIMARY KEY,
    node          TEXT    NOT NULL, -- access key id, or another node
    account_id    TEXT    NOT NULL, -- of the event that says so
    event_id      TEXT    NOT NULL,
    major         INTEGER NOT NULL, -- version of the event's content
    minor         INTEGER NOT NULL,
    record_hash   INTEGER NOT NULL, -- less 2^63, so that it sorts as what it is
    event_time_ms INTEGER NOT NULL,
    parent        TEXT    NOT NULL, -- node of the caller, or ''
    session       TEXT    NOT NULL, -- ARN of the session, or ''
    about         INTEGER NOT NULL  -- what it says of the caller: lineage_callers.id
) STRICT;

CREATE INDEX lineage_by_node ON lineage_links (node);

-- Callers that links tell of; few, for how many links there are.
CREATE TABLE lineage_callers (
    id     INTEGER PRIMARY KEY,
    caller TEXT NOT NULL UNIQUE -- JSON
) STRICT;

CREATE INDEX lineage_children ON lineage_links (parent) WHERE parent <> '';

CREATE TABLE lineage_names (
    node     TEXT    NOT NULL,
    source   TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    PRIMARY KEY (node, source, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE lineage_uses (
    node       TEXT    NOT NULL,
    event_date INTEGER NOT NULL, -- days since 1970-01-01
    PRIMARY KEY (node, event_date)
) STRICT, WITHOUT ROWID;
