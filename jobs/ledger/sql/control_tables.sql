-- What people have paused, limited and deleted.
ALTER TABLE schema_info ADD COLUMN controls INTEGER DEFAULT 0 NOT NULL;     -- grows with every change of these
ALTER TABLE batches ADD COLUMN hold_until {double};                         -- of a pause that ends by itself
ALTER TABLE batches ADD COLUMN deleted_at {double};                         -- hidden; its members are being removed
CREATE INDEX batches_deleted ON batches (id) WHERE deleted_at IS NOT NULL;

CREATE TABLE pauses (
    subject TEXT NOT NULL,              -- see jobs/core/controls.py
    since {double} NOT NULL,
    until {double},
    set_by TEXT NOT NULL,               -- user@host, or the name of a key
    PRIMARY KEY (subject)
);

CREATE TABLE limits (
    model TEXT NOT NULL,
    rate TEXT,                          -- as in HF_RATE_LIMIT
    concurrency INTEGER,
    since {double} NOT NULL,
    set_by TEXT NOT NULL,
    PRIMARY KEY (model)
);
