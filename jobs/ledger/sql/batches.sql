-- name: insert_batch
INSERT INTO batches
    (batch_id, name, question_id, fingerprint, sources, priority, created_at, sampled_of, max_failures, source_batch, owner)
VALUES (:batch_id, :name, :question_id, :fingerprint, :sources, :priority, :now, :sampled_of, :max_failures, :source, :owner)
ON CONFLICT (batch_id) DO NOTHING
RETURNING *

-- name: insert_counts
INSERT INTO batch_counts (batch) VALUES (:batch)

-- name: unseal_batch
UPDATE batches SET sealed_at = NULL WHERE id = :batch

-- name: seal_batch
UPDATE batches
SET sealed_at = COALESCE(sealed_at, :now), sampled_of = :sampled_of,
    total = (SELECT COUNT(*) FROM members WHERE members.batch = batches.id)
WHERE id = :batch
RETURNING total

-- name: find_batch
SELECT batches.* FROM batches JOIN batch_counts ON batch_counts.batch = batches.id
WHERE fingerprint = :fingerprint AND canceled_at IS NULL AND (
    sampled_of IS NOT NULL
    OR (:among IN ('unsealed', 'unfinished') AND sealed_at IS NULL)
    OR (:among = 'unfinished' AND queued + started + scheduled > 0)
    OR :among = 'any'
)
ORDER BY id DESC LIMIT 1

-- name: custom_ids
SELECT custom_id FROM members WHERE batch = :batch

-- name: held_batches
SELECT * FROM batches WHERE hold_reason IS NOT NULL ORDER BY id

-- name: batch_by_name
SELECT * FROM batches WHERE batch_id = :batch_id AND deleted_at IS NULL

-- name: batch_by_row
SELECT * FROM batches WHERE id = :batch

-- name: batches_page
SELECT * FROM batches WHERE id < :before AND deleted_at IS NULL ORDER BY id DESC LIMIT :page

-- name: batches_page_of
SELECT * FROM batches WHERE id < :before AND owner = :owner AND deleted_at IS NULL ORDER BY id DESC LIMIT :page

-- name: limited_batches
SELECT * FROM batches
WHERE id IN :batches... AND max_failures IS NOT NULL AND hold_reason IS NULL AND canceled_at IS NULL
ORDER BY id /*postgresql FOR UPDATE */

-- name: hold_batch
UPDATE batches SET hold_reason = :reason, hold_message = :message, hold_since = :now WHERE id = :batch

-- name: release_batch
UPDATE batches SET hold_reason = NULL, hold_message = NULL, hold_since = NULL, hold_until = NULL
WHERE id = :batch

-- name: limit_failures
UPDATE batches SET max_failures = :max_failures WHERE id = :batch

-- name: forget_failures
UPDATE batches SET failed_before = :failed, ended_before = :ended WHERE id = :batch

-- name: ended_before_batch
UPDATE batches SET failed_before = failed_before + :failed, ended_before = ended_before + :ended WHERE id = :batch

-- name: cancel_batch
UPDATE batches SET canceled_at = COALESCE(canceled_at, :now) WHERE id = :batch

-- name: uncancel_batch
UPDATE batches SET canceled_at = NULL WHERE id = :batch

-- name: most_frequent_error
SELECT jobs.error_type, COUNT(*) AS times, MAX(jobs.error_message) AS message
FROM members JOIN jobs ON jobs.id = members.job
WHERE members.batch = :batch AND {member_status} = 'failed'
GROUP BY jobs.error_type ORDER BY COUNT(*) DESC, jobs.error_type LIMIT 1

-- name: put_question
INSERT INTO questions (id, prompt, model, parameters, api, task, lane, image_max_side, image_max_bytes)
VALUES (:id, :prompt, :model, :parameters, :api, :task, :lane, :image_max_side, :image_max_bytes)
ON CONFLICT (id) DO {keep_locked}

-- name: questions
SELECT * FROM questions WHERE id IN :ids...

-- name: lock_questions
SELECT id FROM questions WHERE id IN :ids... ORDER BY id /*postgresql FOR UPDATE */

-- name: drop_unasked_questions
DELETE FROM questions
WHERE id IN :ids... AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.question_id = questions.id)
    AND id NOT IN (SELECT question_id FROM batches WHERE deleted_at IS NULL)

-- name: lanes
SELECT DISTINCT lane FROM questions

-- name: lanes_of_owner
SELECT DISTINCT questions.lane FROM batches JOIN questions ON questions.id = batches.question_id
WHERE batches.owner = :owner AND batches.deleted_at IS NULL

-- name: answers_of_lane
SELECT EXISTS (
    SELECT 1 FROM batches
    JOIN questions ON questions.id = batches.question_id
    JOIN batch_counts ON batch_counts.batch = batches.id
    WHERE questions.lane = :lane AND batch_counts.finished > 0
)

-- name: known_pictures
SELECT sha256 FROM pictures WHERE sha256 IN :hashes...

-- name: put_picture
INSERT INTO pictures (sha256, data) VALUES (:sha256, :data) ON CONFLICT (sha256) DO NOTHING

-- name: picture
SELECT data FROM pictures WHERE sha256 = :sha256
