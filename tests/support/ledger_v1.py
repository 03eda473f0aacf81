"""A results store as the first version made it, for tests of the way from there to here. Never changed."""

from jobs.ledger.transaction import Transaction

_WORDS = {
    "sqlite": {"id": "INTEGER", "ref": "INTEGER", "double": "DOUBLE"},
    "postgresql": {"id": "BIGSERIAL", "ref": "BIGINT", "double": "DOUBLE PRECISION"},
}

_STATEMENTS = """
CREATE TABLE schema_info (version INTEGER NOT NULL);
INSERT INTO schema_info VALUES (1);
CREATE TABLE questions (
    id TEXT NOT NULL, prompt TEXT NOT NULL, model TEXT NOT NULL, parameters TEXT NOT NULL, api TEXT NOT NULL,
    task TEXT, lane TEXT NOT NULL, PRIMARY KEY (id)
);
CREATE TABLE batches (
    id {id} NOT NULL, batch_id TEXT NOT NULL, name TEXT, question_id TEXT NOT NULL, fingerprint TEXT NOT NULL,
    priority TEXT DEFAULT 'normal' NOT NULL, total INTEGER, created_at {double} NOT NULL, sealed_at {double},
    canceled_at {double}, hold_reason TEXT, hold_message TEXT, hold_since {double}, sources TEXT NOT NULL,
    PRIMARY KEY (id), UNIQUE (batch_id)
);
CREATE INDEX ix_batches_fingerprint ON batches (fingerprint);
CREATE TABLE jobs (
    id {id} NOT NULL, status TEXT NOT NULL, finished_at {double}, prompt_tokens INTEGER, completion_tokens INTEGER,
    job_id TEXT NOT NULL, question_id TEXT NOT NULL, execution_id TEXT, attempts INTEGER DEFAULT '0' NOT NULL,
    throttled INTEGER DEFAULT '0' NOT NULL, losses INTEGER DEFAULT '0' NOT NULL, status_code INTEGER,
    latency_s {double}, rehearsal BOOLEAN DEFAULT false NOT NULL, created_at {double} NOT NULL,
    queued_at {double} NOT NULL, started_at {double}, image_sha256 TEXT NOT NULL, image TEXT NOT NULL,
    request_id TEXT, provider TEXT, error_type TEXT, error_message TEXT, PRIMARY KEY (id), UNIQUE (job_id)
);
CREATE INDEX jobs_open ON jobs (id) WHERE status IN ('queued', 'started', 'scheduled');
CREATE TABLE answers (job {ref} NOT NULL, text TEXT NOT NULL, raw TEXT NOT NULL, PRIMARY KEY (job));
CREATE TABLE members (
    batch {ref} NOT NULL, position INTEGER NOT NULL, job {ref} NOT NULL, ended TEXT, custom_id TEXT NOT NULL,
    image TEXT NOT NULL, UNIQUE (batch, custom_id)
);
CREATE INDEX members_in_order ON members (batch, position, job, ended);
CREATE INDEX members_of_job ON members (job, batch);

INSERT INTO questions VALUES ('q', 'Which way?', 'org/model', '{{}}', 'chat', NULL, 'chat:org/model');
INSERT INTO batches (batch_id, question_id, fingerprint, total, created_at, sealed_at, sources)
    VALUES ('b-old', 'q', 'f', 2, 1, 1, '["/charts"]');
INSERT INTO jobs (status, finished_at, job_id, question_id, attempts, created_at, queued_at, image_sha256, image)
    VALUES ('finished', 2, 'j1', 'q', 1, 1, 1, 'aa', '/charts/1.png');
INSERT INTO jobs (status, job_id, question_id, created_at, queued_at, image_sha256, image)
    VALUES ('queued', 'j2', 'q', 1, 1, 'bb', '/charts/2.png');
INSERT INTO answers VALUES (1, 'up', '{{}}');
INSERT INTO members VALUES (1, 0, 1, NULL, '1.png', '/charts/1.png');
INSERT INTO members VALUES (1, 1, 2, NULL, '2.png', '/charts/2.png');
"""


def create(tx: Transaction) -> None:
    """The first version's tables, with a batch `b-old` of two charts, one of them answered."""
    for statement in _STATEMENTS.format(**_WORDS[tx.dialect]).split(";"):
        if statement.strip():
            tx.execute(statement)
