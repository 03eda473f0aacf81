-- What the HTTP API keeps: keys, uploaded files, the batches of OpenAI's API, and who was told of a batch's end.

CREATE TABLE api_keys (
    key_id TEXT NOT NULL,               -- the part of a key that is no secret
    name TEXT NOT NULL,                 -- whose it is: batches.owner
    hash TEXT NOT NULL,                 -- SHA-256 of the secret part, which is 32 random bytes
    read_only INTEGER NOT NULL,
    created_at {double} NOT NULL,
    revoked_at {double},
    PRIMARY KEY (key_id)
);

CREATE TABLE files (
    id {id} NOT NULL,
    file_id TEXT NOT NULL,
    owner TEXT NOT NULL,                -- "": nobody's, no key was asked for
    filename TEXT NOT NULL,
    purpose TEXT NOT NULL,
    bytes {ref},                        -- null: it is still coming, or its upload has died
    created_at {double} NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (file_id)
);

CREATE TABLE file_parts (
    file {ref} NOT NULL,
    number INTEGER NOT NULL,
    data {bytes} NOT NULL,
    PRIMARY KEY (file, number)
);

CREATE TABLE openai_batches (
    batch {ref} NOT NULL,               -- batches.id
    owner TEXT NOT NULL,
    input_file_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    completion_window TEXT NOT NULL,
    metadata TEXT,                      -- JSON
    status TEXT NOT NULL,               -- validating, failed or submitted; the rest is the batch's own
    errors TEXT,                        -- JSON: what validation found
    created_at {double} NOT NULL,
    submitted_at {double},
    failed_at {double},
    cancelling_at {double},
    lease_until {double} DEFAULT 0 NOT NULL,    -- until then somebody validates it
    PRIMARY KEY (batch)
);
CREATE INDEX openai_batches_waiting ON openai_batches (lease_until) WHERE status = 'validating';

CREATE TABLE webhooks (
    batch {ref} NOT NULL,               -- batches.id; 0: a mark that ends are told from here on
    webhook_id TEXT NOT NULL,           -- the same with each attempt
    event TEXT NOT NULL,                -- batch.completed, ...
    ended_at {double} NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    due_at {double},                    -- null: it was heard, or given up
    PRIMARY KEY (batch)
);
CREATE INDEX webhooks_due ON webhooks (due_at) WHERE due_at IS NOT NULL;
