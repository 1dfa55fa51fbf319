-- What collection has read, and how accounts are called.

-- One row per stream that was ever collected; never removed.
CREATE TABLE streams (
    account_id   TEXT NOT NULL, -- 12 digits
    aws_region   TEXT NOT NULL, -- where it is read
    event_source TEXT NOT NULL, -- such as sts.amazonaws.com
    ledger       TEXT NOT NULL, -- coverage.Ledger.Encode: JSON with its version
    PRIMARY KEY (account_id, aws_region, event_source)
) STRICT, WITHOUT ROWID;

-- Names of accounts, as last seen.
CREATE TABLE account_names (
    account_id TEXT    NOT NULL PRIMARY KEY, -- 12 digits
    name       TEXT    NOT NULL,
    source     TEXT    NOT NULL, -- who said so, such as organizations
    seen_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
