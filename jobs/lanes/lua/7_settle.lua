-- Settle: each outcome is heard by its gate, and its job moves on.

local FINISHED_TTL_S, FAILED_TTL_S = 300, 24 * 3600    -- RQ's view only; the ledger keeps everything

-- What is written once for all jobs of a call: registries (ttl_s), workers (what they have done), queues (their lane).
local function nothing_touched() return {registries = {}, workers = {}, queues = {}} end

local function note_end(touched, outcome, registry, ttl_s)
    local done = touched.workers[outcome.worker] or {jobs = {}, took_s = 0}
    local count = outcome.to == 'finished' and 'successful_job_count' or 'failed_job_count'
    done.jobs[count], done.took_s = (done.jobs[count] or 0) + 1, done.took_s + (outcome.took_s or 0)
    touched.workers[outcome.worker], touched.registries[registry] = done, ttl_s
end

local function write_touched(touched, args, now_ms)
    write_members()
    for registry, ttl_s in pairs(touched.registries) do
        redis.call('ZREMRANGEBYSCORE', registry, '-inf', now_ms / 1000)
        redis.call('EXPIRE', registry, ttl_s)
    end
    for worker, done in pairs(touched.workers) do
        for count, jobs in pairs(done.jobs) do redis.call('HINCRBY', worker_key(worker), count, jobs) end
        redis.call('HINCRBYFLOAT', worker_key(worker), 'total_working_time', done.took_s)
        redis.call('EXPIRE', worker_key(worker), args.execution_ttl_s)
    end
    for queue, lane in pairs(touched.queues) do leave_ring_if_empty(lane, queue) end
end

-- What becomes of a job whose execution ended. Ignored unless this execution still holds the job.
local function move(outcome, args, now_ms, touched)
    local id, execution, queue, lane = outcome.job, outcome.execution, outcome.queue, outcome.lane
    if redis.call('HGET', job_key(id), 'execution') ~= execution then return 0 end
    redis.call('DEL', execution_key(id, execution), executions_key(id))
    later('ZREM', started_key(queue), id .. ':' .. execution)
    later('SREM', worker_executions_key(outcome.worker), id .. ':' .. execution)
    later('ZREM', LEASES, id)
    redis.call('HDEL', job_key(id), 'execution')
    local to = outcome.to
    if queue == alone_queue(lane) and (to == 'delay' or to == 'back') then
        redis.call('HSET', job_key(id), 'failed_alone', 1, 'behind', 1)
    end
    if to == 'finished' or to == 'failed' then
        local ttl_s = to == 'finished' and FINISHED_TTL_S or FAILED_TTL_S
        local registry = to == 'finished' and finished_key(queue) or failed_key(queue)
        redis.call('HSET', job_key(id), 'status', to, 'ended_at', args.now_iso)
        if outcome.error then redis.call('HSET', job_key(id), 'exc_info', outcome.error) end
        redis.call('EXPIRE', job_key(id), ttl_s)
        later('ZADD', registry, now_ms / 1000 + ttl_s, id)
        note_end(touched, outcome, registry, ttl_s)
    elseif to == 'drop' then
        redis.call('DEL', job_key(id))
    elseif to == 'refuse' then
        redis.call('DEL', job_key(id))
        redis.call('LPUSH', REFUSED, id)
        redis.call('LTRIM', REFUSED, 0, 999)
    elseif to == 'delay' then
        redis.call('HSET', job_key(id), 'status', 'scheduled')
        redis.call('ZADD', scheduled_key(queue), (now_ms + outcome.delay_ms) / 1000, id)
        enter_ring(lane, queue)
    else
        local target = to == 'alone' and alone_queue(lane) or queue
        redis.call('HSET', job_key(id), 'status', 'queued', 'origin', target)
        redis.call(to == 'back' and 'RPUSH' or 'LPUSH', queue_key(target), id)
        enter_ring(lane, target)
    end
    touched.queues[queue] = lane
    return 1
end

-- From now on it is compared with those that pass after it.
local function note_refusal(outcome)
    local gate = outcome.account .. ':' .. outcome.lane
    redis.call('HSET', job_key(outcome.job), 'passed_then', fields_of(gate_key(gate)).passes or 0)
end

-- Three times refused as the probe: behind the others.
local function count_probe_refusal(outcome)
    local refusals = redis.call('HINCRBY', job_key(outcome.job), 'probe_refusals', 1)
    if refusals < PROBE_REFUSALS then return end
    note_refusal(outcome)
    if outcome.to == 'front' then outcome.to = 'back' end
end

local function forget_failer(outcome)
    local gate = outcome.account .. ':' .. outcome.lane
    redis.call('HDEL', streak_key(gate), outcome.job)
    redis.call('HDEL', failers_key(gate), outcome.job)
end

-- outcomes: {job, execution, queue, lane, account, generation, spent_ms, worker, verdict?, to?, ...}. A verdict
-- speaks to the gate, `to` moves the job; either may be absent.
local function settle(args, now_ms)
    local give_back, moved, touched = {}, {}, nothing_touched()
    for _, outcome in ipairs(list(args.outcomes)) do
        if outcome.verdict then
            local windows = windows_of(outcome.lane, args)
            local spent, closed = feedback(outcome, windows, ceiling_of(outcome.lane, args), now_ms)
            for job, attempts in pairs(spent) do give_back[#give_back + 1] = {job, attempts} end
            -- With a known budget there are no probes: every closing is somebody's doing.
            if closed and (outcome.probe == 1 or #windows > 0) then
                count_probe_refusal(outcome)
            elseif outcome.verdict == 'suspect' and outcome.why then
                note_refusal(outcome)
            end
        end
        if outcome.to == 'failed' and outcome.account ~= '' then forget_failer(outcome) end
        if outcome.to and move(outcome, args, now_ms, touched) == 1 then moved[#moved + 1] = outcome.job end
    end
    write_calls(now_ms)
    write_touched(touched, args, now_ms)
    return give_back, moved
end
