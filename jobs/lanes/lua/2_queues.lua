-- RQ queues, one per lane and batch. Within a lane they take turns; within a queue the left end goes first.

-- A queue's place in its lane: by priority, then by who was served longest ago (a new queue: never).
local PRIORITY_STEP = 1e15

local function priority_of(queue)
    call.priorities[queue] = call.priorities[queue] or tonumber(redis.call('HGET', PRIORITIES, queue) or 1)
    return call.priorities[queue]
end

local function enter_ring(lane, queue)
    redis.call('ZADD', ring_key(lane), 'NX', priority_of(queue) * PRIORITY_STEP, queue)
    redis.call('ZADD', LANES, 'NX', 0, lane)
    redis.call('SADD', rq .. ':queues', queue_key(queue))
end

-- It was served just now.
local function note_turn(lane, queue)
    redis.call('ZADD', ring_key(lane), priority_of(queue) * PRIORITY_STEP + redis.call('INCR', TURN), queue)
end

-- Forget a queue that has nothing queued, delayed or started, so that dead batches cost nothing.
local function leave_ring_if_empty(lane, queue)
    write_members()
    if redis.call('EXISTS', queue_key(queue), scheduled_key(queue), started_key(queue)) > 0 then return end
    redis.call('ZREM', ring_key(lane), queue)
    if redis.call('EXISTS', ring_key(lane)) == 0 then redis.call('ZREM', LANES, lane) end
    redis.call('SREM', rq .. ':queues', queue_key(queue))
    redis.call('HDEL', PRIORITIES, queue)
    call.priorities[queue] = nil
end

local function is_open(status) return status == 'queued' or status == 'started' or status == 'scheduled' end

-- What RQ's own readers need to show the job; the question and the path stand in the ledger.
local function write_job(id, queue, args)
    local ended_in = redis.call('HGET', job_key(id), 'origin')
    if ended_in then
        redis.call('ZREM', finished_key(ended_in), id)
        redis.call('ZREM', failed_key(ended_in), id)
    end
    redis.call('DEL', job_key(id))
    redis.call('HSET', job_key(id), 'status', 'queued', 'origin', queue,
        'created_at', args.now_iso, 'enqueued_at', args.now_iso, 'timeout', args.timeout_s,
        'data', '["' .. args.task .. '",null,["' .. id .. '"],{}]')
end

-- Put jobs on a lane's queue unless Redis has them already. args: lane, queue, priority, ids, task, ...
-- `window`: so many jobs the queue holds; others wait in the ledger alone (and are noted if `notes`), and from then on
-- only who brings them in the ledger's order (`in_order`) adds to it. Returns how many were new, and how many wait.
function ops.enqueue(args)
    local new, beyond = {}, 0
    local room = args.window and args.window - redis.call('LLEN', queue_key(args.queue)) or math.huge
    local is_full = redis.call('HEXISTS', BEYOND, args.queue) == 1
    if is_full and args.window and not args.in_order then room = 0 end
    for _, id in ipairs(list(args.ids)) do
        if not is_open(redis.call('HGET', job_key(id), 'status')) then
            if #new < room then
                write_job(id, args.queue, args)
                new[#new + 1] = id
            else
                beyond = beyond + 1
            end
        end
    end
    if args.notes and beyond > 0 then redis.call('HINCRBY', BEYOND, args.queue, beyond)
    elseif is_full and args.in_order then redis.call('HINCRBY', BEYOND, args.queue, -#new) end
    if #new > 0 then
        if args.priority ~= 1 then redis.call('HSET', PRIORITIES, args.queue, args.priority) end
        for first = 1, #new, 5000 do     -- Lua's stack bounds unpack
            redis.call('RPUSH', queue_key(args.queue), unpack(new, first, math.min(first + 4999, #new)))
        end
        enter_ring(args.lane, args.queue)
        redis.call('PUBLISH', 'chartq:wake', args.lane)
    end
    return {#new, beyond}
end

-- Queues with jobs that wait in the ledger, and less than half full.
function ops.half_empty(args)
    local found = {}
    for _, queue in ipairs(redis.call('HKEYS', BEYOND)) do
        if redis.call('LLEN', queue_key(queue)) * 2 < args.window then found[#found + 1] = queue end
    end
    return found
end

-- Nothing of this queue (of none, without `queue`) waits in the ledger alone any more, as far as anybody knows.
function ops.nothing_beyond(args)
    if args.queue then redis.call('HDEL', BEYOND, args.queue) else redis.call('DEL', BEYOND) end
    return 0
end

-- The ids that Redis doesn't know as open, in the order given.
function ops.unknown(args)
    local unknown = {}
    for _, id in ipairs(list(args.ids)) do
        if not is_open(redis.call('HGET', job_key(id), 'status')) then unknown[#unknown + 1] = id end
    end
    return unknown
end

-- Since when (ms) this Redis remembers us; from now on, if it has been flushed.
function ops.known_since(args)
    redis.call('SETNX', EPOCH, string.format('%d', now_of(args)))
    return redis.call('GET', EPOCH)
end

-- Drop what stands in a canceled batch's queue, at most `limit` jobs a call. Returns how many went.
function ops.drop(args)
    local ids = redis.call('LPOP', queue_key(args.queue), args.limit) or {}
    local delayed = redis.call('ZPOPMIN', scheduled_key(args.queue), args.limit)
    for index = 1, #delayed, 2 do ids[#ids + 1] = delayed[index] end
    for _, id in ipairs(ids) do redis.call('DEL', job_key(id)) end
    redis.call('HDEL', BEYOND, args.queue)
    leave_ring_if_empty(args.lane, args.queue)
    return #ids
end

-- Delayed jobs that are due come back at the front, but `behind` the others what failed in an outage: whether the
-- server is back, somebody else finds out. Returns ms until the next one is due, or nil.
local function wake_due(queue, now_ms)
    local key = scheduled_key(queue)
    local due = redis.call('ZRANGEBYSCORE', key, '-inf', now_ms / 1000, 'LIMIT', 0, 100)
    for _, id in ipairs(due) do
        redis.call('ZREM', key, id)
        local status, behind = unpack(redis.call('HMGET', job_key(id), 'status', 'behind'))
        if status == 'scheduled' then
            redis.call('HSET', job_key(id), 'status', 'queued')
            redis.call('HDEL', job_key(id), 'behind')
            redis.call(behind and 'RPUSH' or 'LPUSH', queue_key(queue), id)
        end
    end
    local next_due = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if next_due[2] then return math.max(0, tonumber(next_due[2]) * 1000 - now_ms) end
    return nil
end

local wake_delayed = once(wake_due)

-- Jobs that can't be asked about often lie side by side. So an outage is probed from here and there: the first one that
-- wasn't asked in it changes places with the queue's first. `probing`: {asked (key), from (a number)}. Whether there is one.
local GOLDEN_RATIO, PLACES_LOOKED_AT = 0.6180339887, 8

local function bring_unasked_forward(queue, probing)
    local key = queue_key(queue)
    local first, length = redis.call('LINDEX', key, 0), redis.call('LLEN', key)
    for step = 0, PLACES_LOOKED_AT - 1 do
        local place = math.floor(length * ((probing.from + step) * GOLDEN_RATIO % 1))
        local other = redis.call('LINDEX', key, place)
        if other and redis.call('HEXISTS', probing.asked, other) == 0 then
            redis.call('LSET', key, 0, other)
            redis.call('LSET', key, place, first)
            return true
        end
    end
    return false
end

-- The first queue with a job that can find out whether the provider is there again: in an outage one that wasn't asked in
-- it, whatever its priority; and none that must run alone. A job that is never answered would be the probe for ever.
local function queue_to_probe(lane, now_ms, probing)
    for _, queue in ipairs(redis.call('ZRANGE', ring_key(lane), 0, -1)) do
        if queue ~= alone_queue(lane) and redis.call('EXISTS', queue_key(queue)) == 1
            and not queue_paused_for_ms(queue, now_ms) and (not probing or bring_unasked_forward(queue, probing)) then
            return queue
        end
    end
    return nil
end

-- A queue's first job and what its hash says; or nil. Ids without a job's hash are set aside.
local function pop_from(queue, refused)
    while true do
        local id = redis.call('LPOP', queue_key(queue))
        if not id then return nil end
        local job = redis.pcall('HMGET', job_key(id), 'status', 'data', 'probe_refusals', 'passed_then')
        if job[1] == 'queued' and job[2] then
            return {id = id, queue = queue, data = job[2], probe_refusals = tonumber(job[3] or 0),
                    passed_then = tonumber(job[4] or 0)}
        end
        if not job[1] or not job[2] then refused[#refused + 1] = id end
    end
end

-- The lane's next job; or nil and ms until it is worth looking again.
local function pop(lane, now_ms, refused, probing)
    local soonest = nil
    local function look_in(wait_ms) if wait_ms then soonest = math.min(soonest or wait_ms, wait_ms) end end
    local queues = redis.call('ZRANGE', ring_key(lane), 0, -1)
    local first = probing and queue_to_probe(lane, now_ms, probing)
    if first then table.insert(queues, 1, first) end
    for _, queue in ipairs(queues) do
        look_in(wake_delayed(queue, now_ms))
        local job, paused_ms = nil, queue_paused_for_ms(queue, now_ms)
        if paused_ms then look_in(paused_ms)
        elseif queue ~= alone_queue(lane) then job = pop_from(queue, refused)
        elseif redis.call('EXISTS', queue_key(queue)) == 1 then look_in(1000) end
        if job then
            if #queues > 1 then note_turn(lane, queue) end
            return job
        end
        leave_ring_if_empty(lane, queue)
    end
    return nil, soonest
end

local function open_jobs(lane)
    local open = 0
    write_members()
    for _, queue in ipairs(redis.call('ZRANGE', ring_key(lane), 0, -1)) do
        open = open + redis.call('LLEN', queue_key(queue)) + redis.call('ZCARD', scheduled_key(queue)) +
            redis.call('ZCARD', started_key(queue))
    end
    return open
end
