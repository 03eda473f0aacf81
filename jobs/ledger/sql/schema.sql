-- The ledger's tables. {id}, {ref}, {double} and {bytes} are the database's own words (see jobs/ledger/statements.py).
--
-- Rows refer to each other by small integers, so that a batch of 100,000 joins quickly; answers have a table of their
-- own, so that the one that is counted and swept stays small. No foreign keys: every reference is written in the
-- transaction that wrote its target, and checking each row would cost a third of a bulk submit.

CREATE TABLE schema_info (
    version INTEGER NOT NULL,
    store_id TEXT                       -- drawn once: Redis and store know each other by it
);

CREATE TABLE questions (
    id TEXT NOT NULL,
    prompt TEXT NOT NULL,
    model TEXT NOT NULL,
    parameters TEXT NOT NULL,           -- JSON
    api TEXT NOT NULL,
    task TEXT,
    lane TEXT NOT NULL,
    image_max_side INTEGER,             -- pixels; null: no picture, or asked before this was the question's
    image_max_bytes INTEGER,
    PRIMARY KEY (id)
);

CREATE TABLE batches (
    id {id} NOT NULL,
    batch_id TEXT NOT NULL,
    name TEXT,
    question_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    priority TEXT DEFAULT 'normal' NOT NULL,
    total INTEGER,                      -- members, counted when the batch is sealed
    created_at {double} NOT NULL,
    sealed_at {double},
    canceled_at {double},
    hold_reason TEXT,
    hold_message TEXT,
    hold_since {double},
    sources TEXT NOT NULL,              -- JSON: the PATHs as given
    sampled_of INTEGER,                 -- charts that a sample was taken of; null: the batch has all of them
    max_failures TEXT,                  -- see jobs/core/failure_limit.py
    failures_since {double},            -- of versions before 3
    failures_left INTEGER,              -- of versions before 3
    failed_before INTEGER DEFAULT 0 NOT NULL,   -- failed rows that don't count against the limit
    ended_before INTEGER DEFAULT 0 NOT NULL,    -- finished and failed rows that don't
    source_batch TEXT,               -- the batch whose answers this one asks about
    owner TEXT,                         -- the key that made it
    submitted_by TEXT,                  -- user@host
    PRIMARY KEY (id),
    UNIQUE (batch_id)
);
CREATE INDEX ix_batches_fingerprint ON batches (fingerprint);
-- Asked for with every start of jobs; hardly ever has it a row.
CREATE INDEX batches_held ON batches (id) WHERE hold_reason IS NOT NULL;

-- Where each batch stands: changed in the transaction that changes its rows, see jobs/ledger/counts.py.
CREATE TABLE batch_counts (
    batch {ref} NOT NULL,
    queued INTEGER DEFAULT 0 NOT NULL,
    started INTEGER DEFAULT 0 NOT NULL,
    scheduled INTEGER DEFAULT 0 NOT NULL,
    finished INTEGER DEFAULT 0 NOT NULL,
    failed INTEGER DEFAULT 0 NOT NULL,
    canceled INTEGER DEFAULT 0 NOT NULL,
    cut_off INTEGER DEFAULT 0 NOT NULL,         -- finished rows whose answer ended at max_tokens
    prompt_tokens {ref} DEFAULT 0 NOT NULL,
    completion_tokens {ref} DEFAULT 0 NOT NULL,
    last_ended_at {double},
    PRIMARY KEY (batch)
);

-- How many rows of a batch ended in a second: the pace. Of the last minutes only.
CREATE TABLE batch_pace (
    batch {ref} NOT NULL,
    second {ref} NOT NULL,
    ended INTEGER NOT NULL,
    PRIMARY KEY (batch, second)
);

-- Short columns first: SQLite reads a row from its start and stops after the last column it needs.
CREATE TABLE jobs (
    id {id} NOT NULL,
    status TEXT NOT NULL,
    finished_at {double},               -- of the last end: stays when the job is queued again
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    job_id TEXT NOT NULL,
    question_id TEXT NOT NULL,
    execution_id TEXT,
    attempts INTEGER DEFAULT '0' NOT NULL,
    throttled INTEGER DEFAULT '0' NOT NULL,
    losses INTEGER DEFAULT '0' NOT NULL,
    status_code INTEGER,
    latency_s {double},
    rehearsal BOOLEAN DEFAULT false NOT NULL,
    created_at {double} NOT NULL,
    queued_at {double} NOT NULL,        -- of the last submit or retry, not of each return
    started_at {double},
    image_sha256 TEXT NOT NULL,         -- what it is about, see jobs/core/job.py
    image TEXT NOT NULL,                -- where that lies, see jobs/charts/storage.py; the newest place submitted
    request_id TEXT,
    provider TEXT,
    error_type TEXT,
    error_message TEXT,
    finish_reason TEXT,                 -- as the server said it
    sent TEXT,                          -- JSON: the picture that the model was shown
    asked_by INTEGER,                   -- the batch that queued it last
    PRIMARY KEY (id),
    UNIQUE (job_id)
);
CREATE INDEX jobs_open ON jobs (id) WHERE status IN ('queued', 'started', 'scheduled');

CREATE TABLE answers (
    job {ref} NOT NULL,
    text TEXT NOT NULL,
    raw TEXT NOT NULL,                  -- JSON
    PRIMARY KEY (job)
);

CREATE TABLE members (
    batch {ref} NOT NULL,
    position INTEGER NOT NULL,
    job {ref} NOT NULL,
    ended TEXT,                         -- an ending of its own, see jobs/ledger/member_status.py
    custom_id TEXT NOT NULL,
    image TEXT NOT NULL,
    source_job TEXT,                    -- of a stage: the job whose answer is asked about
    source_at {double},                 -- and when that had ended
    UNIQUE (batch, custom_id)
);
CREATE INDEX members_in_order ON members (batch, position, job, ended);
CREATE INDEX members_of_job ON members (job, batch);

-- Pictures that came within a request and have no file of their own.
CREATE TABLE pictures (
    sha256 TEXT NOT NULL,
    data {bytes} NOT NULL,
    PRIMARY KEY (sha256)
);
