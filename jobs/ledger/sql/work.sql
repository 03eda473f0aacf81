-- name: startable_jobs
SELECT id, job_id, status, question_id, image_sha256, image, attempts, throttled, losses, queued_at
FROM jobs WHERE job_id IN :job_ids... AND {is_open}
ORDER BY id /*postgresql FOR UPDATE */

-- name: start_job
UPDATE jobs SET status = 'started', execution_id = :execution, started_at = :now WHERE id = :job

-- name: job_states
SELECT job_id, id, status, execution_id, attempts, throttled, losses, error_type, error_message, status_code,
    prompt_tokens, completion_tokens, latency_s, request_id, provider, rehearsal, finished_at, finish_reason, sent
FROM jobs WHERE job_id IN :job_ids... ORDER BY id /*postgresql FOR UPDATE */

-- name: write_state
UPDATE jobs
SET status = :status, execution_id = :execution_id, attempts = :attempts, throttled = :throttled, losses = :losses,
    error_type = :error_type, error_message = :error_message, status_code = :status_code,
    prompt_tokens = :prompt_tokens, completion_tokens = :completion_tokens, latency_s = :latency_s,
    request_id = :request_id, provider = :provider, rehearsal = :rehearsal, finished_at = :finished_at,
    finish_reason = :finish_reason, sent = :sent
WHERE id = :id

-- name: put_answer
INSERT INTO answers (job, text, raw) VALUES (:job, :text, :raw)
ON CONFLICT (job) DO UPDATE SET text = excluded.text, raw = excluded.raw

-- name: lost_before
SELECT job_id FROM jobs WHERE job_id IN :job_ids... AND status = 'queued' AND losses > 0

-- name: give_back_attempts
UPDATE jobs SET attempts = CASE WHEN attempts > :spent THEN attempts - :spent ELSE 0 END
WHERE job_id = :job_id AND {is_open}

-- name: images_of
SELECT image FROM (
    SELECT jobs.image, NULL AS batch, 0 AS position FROM jobs WHERE jobs.job_id = :job_id
    UNION ALL
    SELECT members.image, members.batch, members.position
    FROM members JOIN jobs ON jobs.id = members.job WHERE jobs.job_id = :job_id
) AS places
ORDER BY CASE WHEN batch IS NULL THEN 0 ELSE 1 END, batch DESC, position

-- Of a batch, or (0) of all. `+`: SQLite would go through the whole batch for each job.
-- name: open_jobs
SELECT jobs.id, jobs.job_id, jobs.status, questions.lane, batches.batch_id, batches.priority, jobs.execution_id,
    jobs.started_at, jobs.losses
FROM jobs
JOIN questions ON questions.id = jobs.question_id
LEFT JOIN batches ON batches.id = (
    SELECT MAX(members.batch) FROM members
    WHERE members.job = jobs.id AND members.ended IS NULL
        AND members.batch NOT IN (SELECT id FROM batches WHERE hold_reason IS NOT NULL)
)
WHERE jobs.id > :after AND {is_open}
    AND (:batch = 0 OR EXISTS (
        SELECT 1 FROM members WHERE members.job = jobs.id AND +members.batch = :batch AND members.ended IS NULL
    ))
ORDER BY jobs.id LIMIT :page
