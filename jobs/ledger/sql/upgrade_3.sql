-- Counts that are kept, limits of the picture in the question, why an answer ended, stages, owners.
ALTER TABLE schema_info ADD COLUMN store_id TEXT;
ALTER TABLE questions ADD COLUMN image_max_side INTEGER;
ALTER TABLE questions ADD COLUMN image_max_bytes INTEGER;
ALTER TABLE batches ADD COLUMN failed_before INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE batches ADD COLUMN ended_before INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE batches ADD COLUMN source_batch TEXT;
ALTER TABLE batches ADD COLUMN owner TEXT;
ALTER TABLE batches ADD COLUMN submitted_by TEXT;
ALTER TABLE jobs ADD COLUMN finish_reason TEXT;
ALTER TABLE jobs ADD COLUMN sent TEXT;
ALTER TABLE jobs ADD COLUMN asked_by INTEGER;
ALTER TABLE members ADD COLUMN source_job TEXT;
ALTER TABLE members ADD COLUMN source_at {double};
CREATE TABLE batch_counts (
    batch {ref} NOT NULL,
    queued INTEGER DEFAULT 0 NOT NULL,
    started INTEGER DEFAULT 0 NOT NULL,
    scheduled INTEGER DEFAULT 0 NOT NULL,
    finished INTEGER DEFAULT 0 NOT NULL,
    failed INTEGER DEFAULT 0 NOT NULL,
    canceled INTEGER DEFAULT 0 NOT NULL,
    cut_off INTEGER DEFAULT 0 NOT NULL,
    prompt_tokens {ref} DEFAULT 0 NOT NULL,
    completion_tokens {ref} DEFAULT 0 NOT NULL,
    last_ended_at {double},
    PRIMARY KEY (batch)
);
CREATE TABLE batch_pace (batch {ref} NOT NULL, second {ref} NOT NULL, ended INTEGER NOT NULL, PRIMARY KEY (batch, second));
INSERT INTO batch_counts (batch) SELECT id FROM batches;
UPDATE batch_counts SET
    queued = found.queued, started = found.started, scheduled = found.scheduled, finished = found.finished,
    failed = found.failed, canceled = found.canceled, prompt_tokens = found.prompt_tokens,
    completion_tokens = found.completion_tokens, last_ended_at = found.last_ended_at
FROM (
    SELECT batch,
        SUM(CASE WHEN member_status = 'queued' THEN 1 ELSE 0 END) AS queued,
        SUM(CASE WHEN member_status = 'started' THEN 1 ELSE 0 END) AS started,
        SUM(CASE WHEN member_status = 'scheduled' THEN 1 ELSE 0 END) AS scheduled,
        SUM(CASE WHEN member_status = 'finished' THEN 1 ELSE 0 END) AS finished,
        SUM(CASE WHEN member_status = 'failed' THEN 1 ELSE 0 END) AS failed,
        SUM(CASE WHEN member_status = 'canceled' THEN 1 ELSE 0 END) AS canceled,
        SUM(CASE WHEN member_status = 'finished' THEN COALESCE(prompt_tokens, 0) ELSE 0 END) AS prompt_tokens,
        SUM(CASE WHEN member_status = 'finished' THEN COALESCE(completion_tokens, 0) ELSE 0 END) AS completion_tokens,
        MAX(CASE WHEN member_status IN ('finished', 'failed') THEN finished_at END) AS last_ended_at
    FROM (
        SELECT members.batch, jobs.prompt_tokens, jobs.completion_tokens, jobs.finished_at, {member_status} AS member_status
        FROM members JOIN jobs ON jobs.id = members.job
    ) AS members_now
    GROUP BY batch
) AS found
WHERE found.batch = batch_counts.batch;
-- What failed or ended so far is behind a limit that was resumed; of others everything counts.
UPDATE batches SET failed_before = counts.failed, ended_before = counts.finished + counts.failed
FROM batch_counts AS counts WHERE counts.batch = batches.id AND batches.failures_since IS NOT NULL;
