-- name: controls_mark
SELECT store_id, controls FROM schema_info

-- name: controls_changed
UPDATE schema_info SET controls = controls + 1

-- name: pauses
SELECT subject, since, until, set_by FROM pauses

-- name: paused_batches
SELECT batch_id, hold_since AS since, hold_until AS until, hold_message AS set_by
FROM batches WHERE hold_reason IS NOT NULL AND hold_reason = 'paused'

-- name: put_pause
INSERT INTO pauses (subject, since, until, set_by) VALUES (:subject, :now, :until, :by)
ON CONFLICT (subject) DO UPDATE SET since = excluded.since, until = excluded.until, set_by = excluded.set_by

-- name: end_pauses
DELETE FROM pauses WHERE :subject = '*' OR subject = :subject

-- name: end_pauses_that_are_over
DELETE FROM pauses WHERE until <= :now

-- name: pause_batch
UPDATE batches SET hold_reason = 'paused', hold_message = :by, hold_since = :now, hold_until = :until WHERE id = :batch

-- name: batches_whose_pause_is_over
SELECT * FROM batches WHERE hold_reason IS NOT NULL AND hold_reason = 'paused' AND hold_until <= :now

-- name: limits
SELECT model, rate, concurrency, since, set_by FROM limits

-- name: put_limit
INSERT INTO limits (model, rate, concurrency, since, set_by) VALUES (:model, :rate, :concurrency, :now, :by)
ON CONFLICT (model) DO UPDATE SET rate = excluded.rate, concurrency = excluded.concurrency, since = excluded.since,
    set_by = excluded.set_by

-- name: drop_limit
DELETE FROM limits WHERE model = :model

-- name: redis_mark
SELECT redis_id AS id, redis_place AS place, redis_seen_at AS seen_at, {now} - redis_seen_at AS age_s FROM schema_info

-- name: other_redis
SELECT redis_id AS id, redis_place AS place, redis_seen_at AS seen_at, {now} - redis_seen_at AS age_s
FROM schema_info WHERE NOT {redis_is_free}

-- name: mark_redis
UPDATE schema_info SET redis_id = :id, redis_place = :place, redis_seen_at = {now} WHERE {redis_is_free}
