-- name: counts
SELECT * FROM batch_counts WHERE batch IN :batches...

-- name: change_counts
UPDATE batch_counts
SET queued = queued + :queued, started = started + :started, scheduled = scheduled + :scheduled,
    finished = finished + :finished, failed = failed + :failed, canceled = canceled + :canceled,
    cut_off = cut_off + :cut_off, prompt_tokens = prompt_tokens + :prompt_tokens,
    completion_tokens = completion_tokens + :completion_tokens,
    last_ended_at = CASE
        WHEN last_ended_at IS NULL OR last_ended_at < CAST(:last_ended_at AS {double})
        THEN COALESCE(:last_ended_at, last_ended_at) ELSE last_ended_at
    END
WHERE batch = :batch

-- name: pace
SELECT batch, SUM(ended) AS lately, SUM(CASE WHEN second >= :since THEN ended ELSE 0 END) AS recently
FROM batch_pace WHERE batch IN :batches... AND second >= :lately_since GROUP BY batch

-- name: add_to_pace
INSERT INTO batch_pace (batch, second, ended) VALUES (:batch, :second, :ended)
ON CONFLICT (batch, second) DO UPDATE SET ended = batch_pace.ended + excluded.ended

-- name: forget_pace
DELETE FROM batch_pace WHERE batch = :batch AND second < :before

-- name: claims_of
SELECT job, batch, ended, COUNT(*) AS rows FROM members WHERE job IN :jobs... GROUP BY job, batch, ended

-- name: tally
SELECT members.batch, jobs.status, members.ended, COUNT(*) AS rows,
    SUM(CASE WHEN {cut_off} THEN 1 ELSE 0 END) AS cut_off,
    SUM(COALESCE(jobs.prompt_tokens, 0)) AS prompt_tokens,
    SUM(COALESCE(jobs.completion_tokens, 0)) AS completion_tokens,
    MAX(jobs.finished_at) AS last_ended_at
FROM members JOIN jobs ON jobs.id = members.job
WHERE members.job IN :jobs...
GROUP BY members.batch, jobs.status, members.ended
