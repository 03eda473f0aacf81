-- Samples, limits of failures, and pictures that are no files.
CREATE TABLE pictures (sha256 TEXT NOT NULL, data {bytes} NOT NULL, PRIMARY KEY (sha256));
ALTER TABLE batches ADD COLUMN sampled_of INTEGER;
ALTER TABLE batches ADD COLUMN max_failures TEXT;
ALTER TABLE batches ADD COLUMN failures_since {double};
ALTER TABLE batches ADD COLUMN failures_left INTEGER;
CREATE INDEX batches_held ON batches (id) WHERE hold_reason IS NOT NULL;
