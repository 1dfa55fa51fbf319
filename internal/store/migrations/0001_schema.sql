-- The store's first schema. A change is a new numbered file, never an edit of
-- one that was released: PRAGMA user_version is the number of the last one that
-- a database has seen.
--
-- Times are integers: *_ms are milliseconds since 1970-01-01T00:00:00Z,
-- event_date is days since 1970-01-01, UTC. Text compares byte by byte. Nothing
-- is NULL unless it says so.

-- Recent events, one row per (account, event id): the content that ranks highest.
CREATE TABLE events (
    account_id    TEXT    NOT NULL, -- recipientAccountId, else userIdentity.accountId; may be ''
    event_id      TEXT    NOT NULL, -- eventID, or derived
    event_date    INTEGER NOT NULL, -- UTC day of event_time_ms
    event_time_ms INTEGER NOT NULL, -- eventTime
    version_major INTEGER NOT NULL, -- eventVersion as two integers; with record_hash the rank
    version_minor INTEGER NOT NULL,
    record_hash   INTEGER NOT NULL, -- bits of a uint64: start of the record's SHA-256
    event         BLOB    NOT NULL, -- all fields of event.Event: codec.go
    PRIMARY KEY (account_id, event_id)
) STRICT;

-- A day in the order in which the lake and every answer want it.
CREATE INDEX events_by_day ON events (event_date, account_id, event_time_ms, event_id);

-- Events that a filter dropped: a set, in the order in which a day is read. Rows
-- of one key, and its event, may lie side by side; the lake settles them.
CREATE TABLE filtered (
    event_date    INTEGER NOT NULL,
    account_id    TEXT    NOT NULL,
    event_time_ms INTEGER NOT NULL,
    event_id      TEXT    NOT NULL,
    aws_region    TEXT    NOT NULL, -- awsRegion
    event_source  TEXT    NOT NULL, -- eventSource
    event_name    TEXT    NOT NULL, -- eventName
    reason        TEXT    NOT NULL, -- which filter
    PRIMARY KEY (event_date, account_id, event_time_ms, event_id, aws_region, event_source, event_name, reason)
) STRICT, WITHOUT ROWID;

-- Contents that lost to another one of their key.
CREATE TABLE conflicts (
    account_id  TEXT    NOT NULL,
    event_id    TEXT    NOT NULL,
    record_hash INTEGER NOT NULL, -- bits of a uint64
    event       BLOB    NOT NULL, -- as in events
    PRIMARY KEY (account_id, event_id, record_hash)
) STRICT;

-- Records that could not be parsed.
CREATE TABLE rejected (
    sha256        TEXT    NOT NULL PRIMARY KEY, -- hex, of the raw bytes
    seen_ms       INTEGER NOT NULL, -- first sight
    file          TEXT    NOT NULL,
    offset_bytes  INTEGER NOT NULL, -- into the decompressed file
    length_bytes  INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    excerpt       TEXT    NOT NULL  -- scrubbed
) STRICT;

CREATE INDEX rejected_by_time ON rejected (seen_ms, sha256);

-- What single events state to rules.
CREATE TABLE facts (
    fact_group    TEXT    NOT NULL, -- unique over all rules
    rule          TEXT    NOT NULL, -- rule id
    kind          TEXT    NOT NULL, -- the rule's own; '' for an event rule
    account_id    TEXT    NOT NULL,
    event_id      TEXT    NOT NULL,
    record_hash   INTEGER NOT NULL, -- bits of a uint64: which content of the event
    fact          BLOB    NOT NULL, -- the other fields of rule.Fact: factcodec.go
    PRIMARY KEY (fact_group, account_id, event_id, record_hash, kind, rule)
) STRICT, WITHOUT ROWID;

-- From a content that lost to the groups it had a part in.
CREATE INDEX facts_by_content ON facts (account_id, event_id, record_hash);

-- Groups that must be settled again.
CREATE TABLE unsettled (
    fact_group TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- What settled groups say.
CREATE TABLE alerts (
    id            TEXT    NOT NULL PRIMARY KEY,
    event_time_ms INTEGER NOT NULL, -- of the alert's (first) event
    severity      INTEGER NOT NULL, -- 0 info to 4 critical
    rule          TEXT    NOT NULL,
    account_id    TEXT    NOT NULL,
    actor         TEXT    NOT NULL,
    superseded    INTEGER NOT NULL, -- 1: later or better events contradict it
    alert         BLOB    NOT NULL, -- the other fields of rule.Alert: factcodec.go
    acked_at_ms   INTEGER,          -- NULL: nobody has acknowledged it
    acked_by      TEXT    NOT NULL DEFAULT '',
    note          TEXT    NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX alerts_by_time ON alerts (event_time_ms DESC, id);

-- Days whose lake file is out of date.
CREATE TABLE dirty_days (
    event_date INTEGER NOT NULL PRIMARY KEY,
    mark       INTEGER NOT NULL -- grows with each change of the day, > 0
) STRICT;

-- What the lake holds, as of the last export of each day.
CREATE TABLE lake_days (
    event_date  INTEGER NOT NULL PRIMARY KEY,
    events      INTEGER NOT NULL, -- rows
    filtered    INTEGER NOT NULL, -- rows
    size_bytes  INTEGER NOT NULL, -- of the day's files
    categories  TEXT    NOT NULL  -- JSON object: events by category
) STRICT;

-- Imports that have not ended, and the files they have finished.
CREATE TABLE jobs (
    name       TEXT    NOT NULL PRIMARY KEY,
    started_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE job_files (
    job                TEXT    NOT NULL,
    path               TEXT    NOT NULL,
    size_bytes         INTEGER NOT NULL,
    modified_s         INTEGER NOT NULL, -- seconds since 1970 of the modification time
    modified_ns        INTEGER NOT NULL, -- nanoseconds on top
    PRIMARY KEY (job, path)
) STRICT, WITHOUT ROWID;

-- Every file that an import has finished, as it was then.
CREATE TABLE imported_files (
    path               TEXT    NOT NULL PRIMARY KEY,
    size_bytes         INTEGER NOT NULL,
    modified_s         INTEGER NOT NULL,
    modified_ns        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who may do what only one may do at a time.
CREATE TABLE leases (
    name         TEXT    NOT NULL PRIMARY KEY,
    holder       TEXT    NOT NULL, -- shown to whoever is refused
    token        INTEGER NOT NULL, -- never used twice: tells a lost lease
    pid          INTEGER NOT NULL, -- of the holder, in pid_space on host
    host         TEXT    NOT NULL, -- '' when it, or pid_space, is unknown
    pid_space    TEXT    NOT NULL, -- Linux: PID namespace and boot; else ''
    since_ms     INTEGER NOT NULL, -- acquired
    heartbeat_ms INTEGER NOT NULL, -- acquired or renewed last
    expires_ms   INTEGER NOT NULL  -- free from then on
) STRICT;

-- Last numbers given: 'mark' (dirty_days), 'token' (leases).
CREATE TABLE counters (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

INSERT INTO counters (name, value) VALUES ('mark', 0), ('token', 0);

-- Small values of the program's own, for example the time of the last import.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
