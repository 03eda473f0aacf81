-- name: batch_to_delete
SELECT batches.id, batches.sealed_at, batches.canceled_at,
    counts.queued + counts.started + counts.scheduled AS unfinished,
    (SELECT MIN(stages.batch_id) FROM batches AS stages
        WHERE stages.source_batch = batches.batch_id AND stages.deleted_at IS NULL) AS stage
FROM batches JOIN batch_counts AS counts ON counts.batch = batches.id
WHERE batches.id = :batch AND batches.deleted_at IS NULL

-- name: lock_batch
SELECT id FROM batches WHERE id = :batch /*postgresql FOR UPDATE */

-- name: hide_batch
UPDATE batches SET deleted_at = :now, hold_reason = NULL WHERE id = :batch

-- name: drop_counts
DELETE FROM batch_counts WHERE batch = :batch

-- name: drop_pace
DELETE FROM batch_pace WHERE batch = :batch

-- name: drop_webhook
DELETE FROM webhooks WHERE batch = :batch

-- name: drop_openai_batch
DELETE FROM openai_batches WHERE batch = :batch

-- name: size_of_batch
SELECT COUNT(*) AS members, COALESCE(SUM(CASE WHEN wanted THEN 0 ELSE bytes END), 0) AS bytes
FROM (
    SELECT LENGTH(answers.text) + LENGTH(answers.raw) AS bytes,
        EXISTS (SELECT 1 FROM members AS others WHERE others.job = members.job AND others.batch <> :batch) AS wanted
    FROM members LEFT JOIN answers ON answers.job = members.job
    WHERE members.batch = :batch
) AS sizes

-- name: hidden_batches
SELECT id FROM batches WHERE deleted_at IS NOT NULL AND id > :after ORDER BY id LIMIT 1

-- name: hidden_left
SELECT id FROM batches
WHERE deleted_at IS NOT NULL AND (
    id < (SELECT MAX(id) FROM batches) OR EXISTS (SELECT 1 FROM members WHERE members.batch = batches.id)
)
LIMIT 1

-- name: jobs_of_members
SELECT DISTINCT job FROM (
    SELECT job FROM members WHERE batch = :batch ORDER BY position LIMIT :page
) AS page ORDER BY job

-- name: drop_members
DELETE FROM members WHERE batch = :batch AND job IN :jobs...

-- name: unwanted_jobs
SELECT id, image, question_id FROM jobs
WHERE id IN :jobs... AND NOT EXISTS (SELECT 1 FROM members WHERE members.job = jobs.id)

-- name: drop_answers
DELETE FROM answers WHERE job IN :jobs...

-- name: drop_jobs
DELETE FROM jobs WHERE id IN :jobs...

-- name: places_in_ledger
SELECT image FROM jobs WHERE image LIKE 'picture%' UNION SELECT image FROM members WHERE image LIKE 'picture%'

-- name: drop_pictures
DELETE FROM pictures WHERE sha256 IN :hashes...

-- name: forget_hidden_batches
DELETE FROM batches
WHERE deleted_at IS NOT NULL AND id < (SELECT MAX(id) FROM batches)
    AND NOT EXISTS (SELECT 1 FROM members WHERE members.batch = batches.id)
