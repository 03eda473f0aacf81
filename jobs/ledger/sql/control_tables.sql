-- What people have paused, and the limits they have set while workers run.
ALTER TABLE schema_info ADD COLUMN controls INTEGER DEFAULT 0 NOT NULL;     -- grows with every change of these
ALTER TABLE batches ADD COLUMN hold_until {double};                         -- of a pause that ends by itself

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
