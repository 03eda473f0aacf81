-- name: known_jobs
SELECT id, job_id, status, image, asked_by, queued_at, finished_at, rehearsal,
    EXISTS (SELECT 1 FROM answers WHERE answers.job = jobs.id) AS has_answer
FROM jobs WHERE job_id IN :job_ids... ORDER BY id /*postgresql FOR UPDATE */

-- name: claimed_by_batch
SELECT job FROM members WHERE batch = :batch AND job IN :jobs...

-- name: lock_jobs
SELECT id FROM jobs WHERE id IN :jobs... ORDER BY id /*postgresql FOR UPDATE */

-- name: insert_job
INSERT INTO jobs (job_id, question_id, image_sha256, image, status, created_at, queued_at, asked_by)
VALUES (:job_id, :question_id, :image_sha256, :image, 'queued', :now, :now, :batch)
ON CONFLICT (job_id) DO NOTHING

-- name: move_image
UPDATE jobs SET image = :image WHERE id = :job

-- name: members_named
SELECT custom_id, job, ended FROM members WHERE batch = :batch AND custom_id IN :custom_ids...

-- name: put_member
INSERT INTO members (batch, position, custom_id, job, image, ended, source_job, source_at)
VALUES (:batch, :position, :custom_id, :job, :image, :ended, :source_job, :source_at)
ON CONFLICT (batch, custom_id) DO UPDATE SET
    position = excluded.position, job = excluded.job, ended = excluded.ended, image = excluded.image,
    source_job = excluded.source_job, source_at = excluded.source_at

-- name: keep_answer_for_others
UPDATE members SET ended = 'finished'
WHERE job IN :jobs... AND batch <> :batch AND (ended IS NULL OR ended = 'failed')

-- name: keep_failure_for_others
UPDATE members SET ended = 'failed' WHERE job IN :jobs... AND batch <> :batch AND ended IS NULL

-- name: queue_again
UPDATE jobs
SET status = 'queued', execution_id = NULL, attempts = 0, throttled = 0, losses = 0, queued_at = :now, started_at = NULL,
    asked_by = :batch
WHERE id IN :jobs...

-- name: jobs_failed_for_batch
SELECT jobs.id, jobs.job_id, jobs.status, jobs.error_type, jobs.error_message
FROM members JOIN jobs ON jobs.id = members.job
WHERE members.batch = :batch AND {member_status} = 'failed' AND {fits}
ORDER BY jobs.id /*postgresql FOR UPDATE OF jobs */

-- name: jobs_waiting_for_batch
SELECT jobs.id, jobs.job_id, jobs.status FROM members JOIN jobs ON jobs.id = members.job
WHERE members.batch = :batch AND members.ended IS NULL AND jobs.status IN ('queued', 'scheduled') AND {fits}
ORDER BY jobs.id /*postgresql FOR UPDATE OF jobs */

-- name: claim_again
UPDATE members SET ended = NULL WHERE batch = :batch AND job IN :jobs...

-- name: give_up_claims
UPDATE members SET ended = 'canceled' WHERE +batch = :batch AND job IN :jobs... AND ended IS NULL

-- name: waiting_jobs
SELECT id FROM jobs WHERE id IN :jobs... AND status IN ('queued', 'scheduled') ORDER BY id /*postgresql FOR UPDATE */

-- name: claimants
SELECT newest.job, batches.batch_id
FROM (
    SELECT job, MAX(CASE WHEN batch NOT IN (SELECT id FROM batches WHERE hold_reason IS NOT NULL) THEN batch END) AS batch
    FROM members WHERE job IN :jobs... AND ended IS NULL GROUP BY job
) AS newest
LEFT JOIN batches ON batches.id = newest.batch

-- name: end_unwanted
UPDATE jobs
SET status = CASE WHEN EXISTS (SELECT 1 FROM answers WHERE answers.job = jobs.id) THEN 'finished' ELSE 'canceled' END,
    finished_at = CASE WHEN EXISTS (SELECT 1 FROM answers WHERE answers.job = jobs.id) THEN finished_at ELSE :now END,
    execution_id = NULL
WHERE id IN :jobs...
