-- The worker's moves: poll (settle, then take), heartbeat, leave, and what another has left behind. Each is one round
-- trip, for any number of jobs.

-- For `rq info`: what the worker is doing.
local function show_state(args, taken)
    write_members()
    local busy = redis.call('EXPIRE', worker_executions_key(args.worker), args.execution_ttl_s) == 1
    redis.call('HSET', worker_key(args.worker), 'state', taken.suspended and 'suspended' or busy and 'busy' or 'idle')
    redis.call('EXPIRE', worker_key(args.worker), args.execution_ttl_s)
end

-- A poll may run though its worker never hears the reply: the connection broke, or the time was up. So a worker
-- numbers its polls (`client`, `number`), and says which reply was the last to arrive (`heard`).
local LAST_POLL_TTL_S = 3600

local function last_turn(args)
    return tonumber(redis.call('HGET', last_poll_key(args.client), 'number') or 0)
end

local function last_reply(args) return cjson.decode(redis.call('HGET', last_poll_key(args.client), 'reply')) end

local function keep_turn(args, reply)
    redis.call('HSET', last_poll_key(args.client), 'number', args.number, 'reply', reply)
    redis.call('EXPIRE', last_poll_key(args.client), LAST_POLL_TTL_S)
end

local function still_held(args, claims, now_ms)
    local held = {}
    for _, claim in ipairs(claims) do
        if redis.call('HGET', job_key(claim.job), 'execution') == claim.execution then
            redis.call('ZADD', LEASES, now_ms + args.lease_ms, claim.job)
            redis.call('ZADD', permits_key(claim.account .. ':' .. claim.lane), now_ms + args.lease_ms, claim.execution)
            held[#held + 1] = claim
        end
    end
    return held
end

-- The same poll once more: the same reply. Also one that was held up until its worker had gone on: nobody listens.
local function told_before(args, now_ms)
    if args.number > last_turn(args) then return nil end
    local reply = last_reply(args)
    reply.claims, reply.now_ms = still_held(args, reply.claims, now_ms), now_ms
    return cjson.encode(reply)
end

-- What was given with a reply that never arrived comes back as it was, permits included. Returns the attempts that
-- it was to give back.
local function take_back_unheard(args, now_ms)
    if last_turn(args) <= args.heard then return {} end
    local reply, touched = last_reply(args), nothing_touched()
    for index = #reply.claims, 1, -1 do     -- each goes to the front: the first one last
        local claim = reply.claims[index]
        local gate = claim.account .. ':' .. claim.lane
        claim.worker, claim.to = args.worker, 'front'
        end_permit(gate, claim.execution)     -- or it has run out by itself
        never_used(gate, fields_of(gate_key(gate)), fields_of(account_key(claim.account)), claim, windows_of(claim.lane, args))
        move(claim, args, now_ms, touched)
    end
    write_touched(touched, args, now_ms)
    return list(reply.give_back)
end

-- One poll of a worker's loop: settle what has ended, then take what is wanted.
function ops.poll(args)
    local now_ms = keep_now(args)
    local again = told_before(args, now_ms)
    if again then return again end
    local unheard = take_back_unheard(args, now_ms)
    local give_back, moved = settle(args, now_ms)
    for _, spent in ipairs(unheard) do give_back[#give_back + 1] = spent end
    local reply = take(args, now_ms)
    reply.give_back, reply.moved, reply.closings, reply.now_ms = give_back, moved, closings, now_ms
    for _, id in ipairs(reply.refused) do redis.call('LPUSH', REFUSED, id) end
    if #reply.refused > 0 then redis.call('LTRIM', REFUSED, 0, 999) end
    if reply.suspended or #reply.claims + #moved > 0 then show_state(args, reply) end
    local written = cjson.encode(reply)
    keep_turn(args, written)
    return written
end

-- Another worker's jobs, and what becomes of them. Returns how many moved.
function ops.move(args)
    local _, moved = settle(args, now_of(args))
    return #moved
end

-- What the workers publish; who hasn't spoken since `since_s` is forgotten.
local function live_workers(since_s)
    local live = {}
    for worker, entry in pairs(hash(WORKERS)) do
        local readable, fields = pcall(cjson.decode, entry)
        if readable and type(fields) == 'table' and (tonumber(fields.seen_s) or 0) >= since_s then live[#live + 1] = entry
        else redis.call('HDEL', WORKERS, worker) end
    end
    return live
end

-- The worker lives, and so does all it has in flight. What Redis has forgotten is written anew.
-- Returns the other workers' entries, and whether this Redis is new to us.
function ops.heartbeat(args)
    local now_ms = keep_now(args)
    local lost = {}
    for _, claim in ipairs(list(args.claims)) do
        local id, execution, gate = claim.job, claim.execution, claim.account .. ':' .. claim.lane
        local job = redis.call('HMGET', job_key(id), 'status', 'execution')
        if job[2] == execution then
            redis.call('ZADD', LEASES, now_ms + args.lease_ms, id)
            redis.call('ZADD', permits_key(gate), 'XX', now_ms + args.lease_ms, execution)
            redis.call('HSET', execution_key(id, execution), 'last_heartbeat', now_ms / 1000)
            redis.call('EXPIRE', execution_key(id, execution), args.execution_ttl_s)
            redis.call('EXPIRE', executions_key(id), args.execution_ttl_s)
            redis.call('ZADD', executions_key(id), now_ms / 1000 + args.execution_ttl_s, execution)
            redis.call('ZADD', started_key(claim.queue), now_ms / 1000 + STARTED_TTL_S, id .. ':' .. execution)
            redis.call('SADD', worker_executions_key(args.worker), id .. ':' .. execution)
            redis.call('HSET', job_key(id), 'last_heartbeat', args.now_iso)
        elseif not job[1] then
            write_job(id, claim.queue, args)
            start(args, {id = id, queue = claim.queue}, execution, now_ms)
            redis.call('ZADD', permits_key(gate), now_ms + args.lease_ms, execution)
            redis.call('SADD', rq .. ':queues', queue_key(claim.queue))
        else
            lost[#lost + 1] = execution     -- somebody else's now
        end
    end
    write_members()
    redis.call('EXPIRE', worker_executions_key(args.worker), args.execution_ttl_s)
    args.entry.seen_s = now_ms / 1000
    local entry = cjson.encode(args.entry)
    redis.call('HSET', WORKERS, args.worker, entry)
    for _, account in pairs(args.entry.accounts) do redis.call('HSET', account_key(account), 'entry', entry) end
    redis.call('SETNX', EPOCH, string.format('%d', now_ms))
    return cjson.encode({now_ms = now_ms, workers = live_workers(now_ms / 1000 - args.live_s), lost = lost,
                         known_since_ms = tonumber(redis.call('GET', EPOCH)),
                         queues = redis.call('SMEMBERS', rq .. ':queues')})
end

function ops.leave(args)
    take_back_unheard(args, now_of(args))
    redis.call('DEL', last_poll_key(args.client))
    redis.call('HDEL', WORKERS, args.worker)
    if redis.call('GET', ALONE_TURN) == args.worker then redis.call('DEL', ALONE_TURN) end
    return 0
end

-- Jobs whose worker is lost, with the execution that held them: {job, execution, queue, worker}...
function ops.expired(args)
    local found, now_ms = {}, now_of(args)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now_ms, 'LIMIT', 0, args.limit)) do
        local job = redis.call('HMGET', job_key(id), 'status', 'execution', 'origin', 'worker_name')
        if job[1] == 'started' and job[2] and job[3] then
            found[#found + 1] = {id, job[2], job[3], job[4]}
        else
            redis.call('ZREM', LEASES, id)
        end
    end
    return cjson.encode({now_ms = now_ms, found = found})
end
