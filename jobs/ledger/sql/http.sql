-- name: insert_key
INSERT INTO api_keys (key_id, name, hash, read_only, created_at)
VALUES (:key_id, :name, :hash, :read_only, :now)

-- name: keys
SELECT * FROM api_keys ORDER BY created_at, key_id

-- name: key
SELECT * FROM api_keys WHERE key_id = :key_id

-- name: live_keys_of
SELECT * FROM api_keys WHERE name = :name AND revoked_at IS NULL

-- name: count_keys
SELECT COUNT(*), COUNT(*) - COUNT(revoked_at) FROM api_keys

-- name: revoke_keys
UPDATE api_keys SET revoked_at = :now WHERE name = :name AND revoked_at IS NULL

-- name: lock_keys
UPDATE schema_info SET version = version

-- name: is_job_of
SELECT 1 FROM jobs
WHERE job_id = :job_id AND EXISTS (
    SELECT 1 FROM members JOIN batches ON batches.id = members.batch
    WHERE members.job = jobs.id AND batches.owner = :owner
)

-- name: insert_file
INSERT INTO files (file_id, owner, filename, purpose, created_at)
VALUES (:file_id, :owner, :filename, '', :now)
RETURNING *

-- name: insert_part
INSERT INTO file_parts (file, number, data) VALUES (:file, :number, :data)

-- name: complete_file
UPDATE files SET bytes = :bytes, filename = :filename, purpose = :purpose WHERE id = :file

-- name: file
SELECT * FROM files WHERE file_id = :file_id AND bytes IS NOT NULL AND purpose <> 'deleted'

-- name: file_by_row
SELECT * FROM files WHERE id = :file AND bytes IS NOT NULL

-- name: files
SELECT * FROM files
WHERE bytes IS NOT NULL AND purpose <> 'deleted' AND owner = :owner AND id > :after AND id < :before
    AND (CAST(:purpose AS TEXT) IS NULL OR purpose = :purpose)
ORDER BY CASE WHEN :newest_first = 1 THEN -id ELSE id END
LIMIT :page

-- name: part
SELECT data FROM file_parts WHERE file = :file AND number = :number

-- name: drop_parts
DELETE FROM file_parts WHERE file = :file

-- name: drop_file
DELETE FROM files WHERE id = :file

-- name: ended_outputs
SELECT batches.batch_id, finished, failed + canceled AS failures,
    COALESCE(last_ended_at, canceled_at, batches.created_at) AS ended_at,
    output.created_at AS output_noted, errors.created_at AS errors_noted
FROM openai_batches
JOIN batches ON batches.id = openai_batches.batch
JOIN batch_counts ON batch_counts.batch = openai_batches.batch
LEFT JOIN files AS output ON output.file_id = 'file-' || batches.batch_id || '-output'
LEFT JOIN files AS errors ON errors.file_id = 'file-' || batches.batch_id || '-errors'
WHERE openai_batches.owner = :owner AND openai_batches.status = 'submitted' AND queued + started + scheduled = 0
ORDER BY openai_batches.batch

-- name: note_output
INSERT INTO files (file_id, owner, filename, purpose, bytes, created_at)
VALUES (:file_id, :owner, :filename, 'batch_output', :bytes, :ended_at)
ON CONFLICT (file_id) DO UPDATE SET bytes = excluded.bytes, created_at = excluded.created_at

-- name: forget_output
UPDATE files SET purpose = 'deleted' WHERE id = :file

-- name: drop_outputs
DELETE FROM files WHERE file_id IN :file_ids...

-- name: dead_uploads
SELECT id FROM files WHERE bytes IS NULL AND created_at < :before

-- name: insert_openai_batch
INSERT INTO openai_batches
    (batch, owner, input_file_id, endpoint, completion_window, metadata, status, created_at)
VALUES (:batch, :owner, :input_file_id, :endpoint, :completion_window, :metadata, 'validating', :now)

-- name: openai_batch
SELECT openai_batches.*, batches.batch_id FROM openai_batches JOIN batches ON batches.id = openai_batches.batch
WHERE batches.batch_id = :batch_id

-- name: openai_batches_page
SELECT openai_batches.*, batches.batch_id FROM openai_batches JOIN batches ON batches.id = openai_batches.batch
WHERE openai_batches.owner = :owner AND openai_batches.batch < :before
ORDER BY openai_batches.batch DESC LIMIT :page

-- name: waiting_openai_batches
SELECT openai_batches.*, batches.batch_id FROM openai_batches JOIN batches ON batches.id = openai_batches.batch
WHERE status = 'validating' AND (lease_until < :now OR lease_until > :latest) ORDER BY batch LIMIT 1

-- name: lease_openai_batch
UPDATE openai_batches SET lease_until = :until WHERE batch = :batch AND status = 'validating' AND lease_until = :seen

-- name: renew_openai_lease
UPDATE openai_batches SET lease_until = :until WHERE batch = :batch

-- name: openai_submitted
UPDATE openai_batches SET status = 'submitted', submitted_at = :now WHERE batch = :batch AND status = 'validating'

-- name: openai_failed
UPDATE openai_batches SET status = 'failed', failed_at = :now, errors = :errors
WHERE batch = :batch AND status = 'validating'

-- name: openai_cancelling
UPDATE openai_batches SET cancelling_at = COALESCE(cancelling_at, :now) WHERE batch = :batch AND status <> 'failed'

-- name: is_file_waiting
SELECT 1 FROM openai_batches WHERE input_file_id = :file_id AND status = 'validating' LIMIT 1

-- name: has_webhook_work
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM webhooks)
    OR EXISTS (SELECT 1 FROM webhooks WHERE due_at <= :now)
    OR EXISTS (
        SELECT 1 FROM webhooks JOIN batch_counts ON batch_counts.batch = webhooks.batch
        WHERE due_at IS NULL AND queued + started + scheduled > 0
    )
    OR EXISTS (
        SELECT 1 FROM batch_counts LEFT JOIN webhooks ON webhooks.batch = batch_counts.batch
        WHERE webhooks.batch IS NULL AND queued + started + scheduled = 0
    )

-- name: are_webhooks_marked
SELECT 1 FROM webhooks WHERE batch = 0

-- name: pass_over_ended
INSERT INTO webhooks (batch, webhook_id, event, ended_at)
SELECT id, '', '', 0 FROM batches JOIN batch_counts ON batch_counts.batch = batches.id
WHERE (sealed_at IS NOT NULL OR canceled_at IS NOT NULL) AND queued + started + scheduled = 0
ON CONFLICT (batch) DO NOTHING

-- name: mark_webhooks
INSERT INTO webhooks (batch, webhook_id, event, ended_at) VALUES (0, '', '', 0) ON CONFLICT (batch) DO NOTHING

-- name: untold_ends
SELECT batches.id, batches.batch_id, canceled_at, openai_batches.status AS openai_status, finished, failed, canceled
FROM batches
JOIN batch_counts ON batch_counts.batch = batches.id
LEFT JOIN openai_batches ON openai_batches.batch = batches.id
LEFT JOIN webhooks ON webhooks.batch = batches.id
WHERE webhooks.batch IS NULL AND queued + started + scheduled = 0
    AND (sealed_at IS NOT NULL OR canceled_at IS NOT NULL)
    AND (openai_batches.status IS NULL OR openai_batches.status <> 'validating')
    AND fingerprint <> 'single questions'
ORDER BY batches.id LIMIT :page

-- name: note_end
INSERT INTO webhooks (batch, webhook_id, event, ended_at, due_at)
VALUES (:batch, :webhook_id, :event, :now, :now)
ON CONFLICT (batch) DO NOTHING

-- name: forget_told_of_open
DELETE FROM webhooks WHERE due_at IS NULL AND batch IN (
    SELECT batch FROM batch_counts WHERE queued + started + scheduled > 0
)

-- name: due_webhook
SELECT webhooks.*, batches.batch_id FROM webhooks JOIN batches ON batches.id = webhooks.batch
WHERE due_at <= :now ORDER BY due_at LIMIT 1

-- name: claim_webhook
UPDATE webhooks SET due_at = :until WHERE batch = :batch AND due_at = :seen

-- name: note_attempt
UPDATE webhooks SET due_at = :due_at, attempts = :attempts WHERE batch = :batch
