-- name: answered
SELECT job_id FROM jobs
WHERE job_id IN :job_ids... AND EXISTS (SELECT 1 FROM answers WHERE answers.job = jobs.id)
    AND (:count_rehearsals = 1 OR NOT rehearsal)

-- name: tokens_spent
SELECT question_id, COUNT(*) AS answers, SUM(prompt_tokens) AS prompt_tokens,
    SUM(COALESCE(completion_tokens, 0)) AS completion_tokens
FROM jobs
WHERE status = 'finished' AND prompt_tokens > 0 AND (:count_rehearsals = 1 OR NOT rehearsal)
    AND question_id IN (SELECT id FROM questions WHERE lane = :lane)
GROUP BY question_id

-- name: job
SELECT {shown}, answers.raw AS raw_json, jobs.id, jobs.question_id, jobs.image_sha256, jobs.execution_id, jobs.losses,
    jobs.created_at, jobs.queued_at, jobs.started_at
FROM (
    SELECT 0 AS position, '' AS custom_id, jobs.image, jobs.id AS job, jobs.status AS member_status
    FROM jobs WHERE jobs.job_id = :job_id
) AS page
{joined_to_page}

-- name: statuses_of_jobs
SELECT job_id, status FROM jobs WHERE job_id IN :job_ids...

-- name: place_of_job
SELECT members.custom_id, members.image, batches.batch_id FROM members JOIN batches ON batches.id = members.batch
WHERE members.job = :job AND (:owner = '' OR batches.owner = :owner) ORDER BY members.batch DESC, members.position LIMIT 1

-- name: failures
SELECT jobs.job_id, jobs.error_type, jobs.error_message, jobs.status_code
FROM members JOIN jobs ON jobs.id = members.job
WHERE members.batch = :batch AND {member_status} = 'failed'
ORDER BY members.position, members.custom_id

-- name: asked_by_others
SELECT batches.batch_id, COUNT(*) AS jobs
FROM members JOIN jobs ON jobs.id = members.job JOIN batches ON batches.id = jobs.asked_by AND batches.deleted_at IS NULL
WHERE members.batch = :batch AND jobs.asked_by < :batch
GROUP BY batches.id, batches.batch_id ORDER BY COUNT(*) DESC, batches.id

-- name: results_page
SELECT {shown}, CASE WHEN :with_raw = 1 THEN answers.raw END AS raw_json
FROM (
    SELECT members.position, members.custom_id, members.image, members.job, {member_status} AS member_status
    FROM members JOIN jobs ON jobs.id = members.job
    WHERE members.batch = :batch AND members.position >= :position
        AND (members.position > :position OR members.custom_id > :custom_id)
        AND (:status = '' OR {member_status} = :status)
    ORDER BY members.position, members.custom_id LIMIT :page
) AS page
{joined_to_page}
ORDER BY page.position, page.custom_id

-- name: results_window
SELECT {shown}, NULL AS raw_json
FROM (
    SELECT members.position, members.custom_id, members.image, members.job, {member_status} AS member_status
    FROM members JOIN jobs ON jobs.id = members.job
    WHERE members.batch = :batch AND {fits}
    ORDER BY members.position, members.custom_id LIMIT :page OFFSET :skipped
) AS page
{joined_to_page}
ORDER BY page.position, page.custom_id

-- name: count_results
SELECT COUNT(*) AS found
FROM members JOIN jobs ON jobs.id = members.job
WHERE members.batch = :batch AND {fits}

-- name: unasked_answers
SELECT page.position, page.custom_id, page.job_id, page.finished_at, answers.text,
    COALESCE(asked.image_sha256, '') AS image_sha256, COALESCE(charts.image, '') AS image
FROM (
    SELECT members.position, members.custom_id, members.job, jobs.job_id, jobs.finished_at
    FROM members JOIN jobs ON jobs.id = members.job
    WHERE members.batch = :batch AND members.position >= :position
        AND (members.position > :position OR members.custom_id > :custom_id)
        AND {member_status} = 'finished'
        AND NOT EXISTS (
            SELECT 1 FROM members AS asked
            WHERE asked.batch = :stage AND asked.custom_id = members.custom_id
                AND asked.source_job = jobs.job_id AND asked.source_at = jobs.finished_at
        )
    ORDER BY members.position, members.custom_id LIMIT :page
) AS page
JOIN answers ON answers.job = page.job
LEFT JOIN members AS charts ON charts.batch = :charts AND charts.custom_id = page.custom_id
LEFT JOIN jobs AS asked ON asked.id = charts.job
ORDER BY page.position, page.custom_id

-- name: sources_of
SELECT members.custom_id, members.source_job, answers.text,
    (SELECT asked.image FROM members AS asked WHERE asked.job = jobs.id LIMIT 1) AS image
FROM members JOIN jobs ON jobs.job_id = members.source_job JOIN answers ON answers.job = jobs.id
WHERE members.batch = :batch AND members.custom_id IN :custom_ids...

-- name: latest
SELECT {shown}, answers.raw AS raw_json
FROM (
    SELECT members.position, members.custom_id, members.image, members.job, {member_status} AS member_status
    FROM (
        SELECT members.position, members.job
        FROM members JOIN jobs ON jobs.id = members.job
        WHERE members.batch = :batch AND {member_status} = :status
        ORDER BY jobs.finished_at DESC LIMIT :limit
    ) AS newest
    JOIN members ON members.batch = :batch AND members.position = newest.position AND members.job = newest.job
    JOIN jobs ON jobs.id = members.job
    LIMIT :limit
) AS page
{joined_to_page}
ORDER BY jobs.finished_at DESC, page.position DESC

-- name: calls
SELECT SUM(jobs.attempts) AS attempts, SUM(jobs.throttled) AS refused
FROM members JOIN jobs ON jobs.id = members.job WHERE members.batch = :batch

-- name: names_of_jobs
SELECT jobs.job_id, members.custom_id FROM members JOIN jobs ON jobs.id = members.job WHERE members.batch = :batch
