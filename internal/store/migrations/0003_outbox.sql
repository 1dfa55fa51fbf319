-- Alerts that arrive: which alerts were turned into messages, and the messages.

-- Alerts that are there already were shown to whoever ran the program: nobody is
-- told of them now.
ALTER TABLE alerts ADD COLUMN recorded_ms INTEGER NOT NULL DEFAULT 0; -- first; 0: before this column
ALTER TABLE alerts ADD COLUMN routed      INTEGER NOT NULL DEFAULT 1; -- 1: its messages, if any, are in the outbox

CREATE INDEX alerts_unrouted ON alerts (recorded_ms, id) WHERE routed = 0;

-- What is to be told on which channel, and what came of it.
CREATE TABLE outbox (
    id               TEXT    NOT NULL PRIMARY KEY, -- derived from channel, kind and what it tells
    channel          TEXT    NOT NULL, -- its name in the settings
    kind             TEXT    NOT NULL, -- the sender's own, such as alert or digest
    alert_ids        TEXT    NOT NULL, -- JSON array
    body             TEXT    NOT NULL, -- what else it tells, in the sender's own form; may be ''
    created_ms       INTEGER NOT NULL,
    due_ms           INTEGER NOT NULL, -- not sent before
    attempts         INTEGER NOT NULL, -- that ended
    state            TEXT    NOT NULL, -- pending, sent, gave up, dropped
    changed_ms       INTEGER NOT NULL, -- when the last attempt ended, else created_ms
    last_error       TEXT    NOT NULL, -- '' when the last attempt, if any, was none
    claimed_until_ms INTEGER NOT NULL, -- nobody else sends it before; 0: not claimed
    claim            INTEGER NOT NULL  -- never used twice (counter token): tells a lost claim
) STRICT;

CREATE INDEX outbox_due ON outbox (channel, due_ms, created_ms, id) WHERE state = 'pending';
CREATE INDEX outbox_by_time ON outbox (created_ms);
