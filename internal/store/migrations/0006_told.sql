-- Alerts that somebody else told people of before they came here.
CREATE TABLE told (
    id TEXT PRIMARY KEY -- of the alert
) STRICT, WITHOUT ROWID;
