-- Take, settle, keep alive: the worker's three moves. Each is one round trip, for any number of jobs.

local FINISHED_TTL_S, FAILED_TTL_S = 300, 24 * 3600    -- RQ's view only; the ledger keeps everything
-- RQ's readers fail a started job that is older, by their own clock.
local STARTED_TTL_S = 24 * 3600

-- A job that was refused this often as the probe goes behind the others, and may become suspect.
local PROBE_REFUSALS = 3

-- A time as RQ writes it. As text: Redis takes long over each number's digits.
local function in_seconds(at_ms) return string.format('%.3f', at_ms / 1000) end

-- RQ's bookkeeping of a started job, and our lease on it.
local function start(args, job, execution, now_ms)
    local id, key = job.id, execution_key(job.id, execution)
    local now_s, both = in_seconds(now_ms), id .. ':' .. execution
    redis.call('HSET', job_key(id), 'status', 'started', 'execution', execution, 'worker_name', args.worker,
        'started_at', args.now_iso, 'last_heartbeat', args.now_iso)
    redis.call('HSET', key, 'id', execution, 'job_id', id, 'worker_name', args.worker,
        'created_at', now_s, 'last_heartbeat', now_s)
    redis.call('EXPIRE', key, args.execution_ttl_s)
    redis.call('ZADD', executions_key(id), in_seconds(now_ms + args.execution_ttl_s * 1000), execution)
    redis.call('EXPIRE', executions_key(id), args.execution_ttl_s)
    later('ZADD', started_key(job.queue), in_seconds(now_ms + STARTED_TTL_S * 1000), both)
    later('SADD', worker_executions_key(args.worker), both)
    later('ZADD', LEASES, now_ms + args.lease_ms, id)
end

-- Is it this job that is refused, and not everybody? So it looks if others have passed since its last refusal, and
-- nobody was refused since. With nobody else there, if it takes twice as long as the provider ever took to let somebody
-- pass again.
local function is_suspect(job, state, now_ms)
    if job.probe_refusals < PROBE_REFUSALS then return false end
    if tonumber(state.refusals or 0) == 0 then return tonumber(state.passes or 0) > job.passed_then end
    local longest_ms = tonumber(state.longest_shut_ms or 0)
    return longest_ms > 0 and now_ms - tonumber(state.shut_ms or now_ms) > 2 * longest_ms
end

local function claim(args, lane, account, job, state, owner, index, now_ms, windows)
    local execution = args.executions[index]
    start(args, job, execution, now_ms)
    local gen, probe = grant(account, lane, state, owner, execution, windows, now_ms, args.lease_ms)
    local suspect = is_suspect(job, state, now_ms)
    return {job = job.id, execution = execution, queue = job.queue, lane = lane, account = account,
            generation = gen, probe = probe, suspect = suspect and 1 or 0, data = job.data,
            spent_ms = now_ms, alone = job.queue == alone_queue(lane) and 1 or 0}
end

-- The workers' windows and those that somebody has set meanwhile: of each length the smaller.
local function tightened(windows, limit)
    if not limit then return windows end
    local merged, place = {}, {}
    for _, some in ipairs({windows, limit.windows}) do
        for _, window in ipairs(some) do
            local calls, length = window[1], window[2]
            if place[length] then merged[place[length]] = {math.min(merged[place[length]][1], calls), length}
            else merged[#merged + 1], place[length] = {calls, length}, #merged + 1 end
        end
    end
    return merged
end

-- A model's own budget also holds for `model:provider`.
local function windows_of(args, lane)
    local bare = string.match(lane, '^(.*):[^:]*$')
    return tightened(list(args.windows[lane] or args.windows[bare] or args.windows['*']), limit_of(lane))
end

local function ceiling_of(args, lane)
    local limit = limit_of(lane)
    local set = limit and limit.concurrency > 0 and limit.concurrency or nil
    if args.ceiling and set then return math.min(args.ceiling, set) end
    return args.ceiling or set
end

-- Whether a job waits that must run alone, and is next. One that came back failed takes its turn with the other queues: a
-- few that are never answered would keep everybody waiting where few calls may be in flight.
local function lone_job_is_next(lane, now_ms)
    local alone, ring = alone_queue(lane), ring_key(lane)
    local job = redis.call('LINDEX', queue_key(alone), 0)
    if not job then return false end
    if not redis.pcall('HGET', job_key(job), 'failed_alone') then return true end     -- forged, it may be any type
    for _, queue in ipairs(redis.call('ZRANGE', ring, 0, -1)) do
        if queue == alone then return true end
        if redis.call('EXISTS', queue_key(queue)) == 1 and not queue_paused_for_ms(queue, now_ms) then return false end
    end
    return true
end

-- A job that was lost with its worker runs alone. One worker at a time empties itself for such jobs.
-- Returns 'none', 'drain' (take nothing, somebody is waiting for you to be empty) or a claim.
local function take_alone(args, lanes, now_ms, refused)
    for _, lane in ipairs(lanes) do
        local queue, account = alone_queue(lane), args.accounts[string.match(lane, '^%a+')]
        wake_delayed(queue, now_ms)
        if account and lone_job_is_next(lane, now_ms) then
            local windows = windows_of(args, lane)
            local wait, state, owner =
                closed_for_ms(account .. ':' .. lane, account, windows, ceiling_of(args, lane), now_ms)
            wait = wait or lane_paused_for_ms(lane, now_ms)
            local others_first = state.probe
                and queue_to_probe(lane, now_ms, probing_of(account .. ':' .. lane, state))
            local turn = kept(ALONE_TURN, args.lease_ms)
            if not wait and not others_first and (not turn or turn == args.worker) then
                redis.call('SET', ALONE_TURN, args.worker, 'PX', args.lease_ms)
                if args.in_flight > 0 then return 'drain' end
                local job = pop_from(queue, refused)
                if job then
                    note_turn(lane, queue)
                    return claim(args, lane, account, job, state, owner, 1, now_ms, windows)
                end
            end
        end
    end
    return 'none'
end

-- A place is kept for the job that another worker is emptying itself for, or it would never find one free.
local function place_for_alone(args, lane, now_ms, turn)
    if not turn or turn == args.worker then return 0 end
    write_members()
    local has_one = redis.call('EXISTS', started_key(alone_queue(lane))) == 1
    return not has_one and lone_job_is_next(lane, now_ms) and 1 or 0
end

-- A job may wait in a worker's hand for a call to end only where nothing counts when calls begin, or how many there are.
local function may_wait_in_hand(windows, ceiling, state, owner)
    return #windows == 0 and not ceiling and not limit_in_force(state) and not state.probe and owner.proven
end

-- Nobody has told this Redis yet what is paused: it is new, or has lost everything. Or another project has it now.
local function needs_controls(args) return not controls_now() or controls.store ~= args.store end

local function is_suspended() return redis.call('EXISTS', rq .. ':suspended') == 1 end

-- Whether something speaks against beginning them: {lane, queue}... of the jobs that wait in the worker's hand.
local function is_recalled(args, now_ms)
    local in_hand = list(args.in_hand)
    if #in_hand > 0 and (needs_controls(args) or is_suspended()) then return true end
    for _, job in ipairs(in_hand) do
        local lane, account = job[1], args.accounts[string.match(job[1], '^%a+')]
        local windows, ceiling = windows_of(args, lane), ceiling_of(args, lane)
        local closed_ms, state, owner = closed_for_ms(account .. ':' .. lane, account, windows, ceiling, now_ms)
        if closed_ms or lane_paused_for_ms(lane, now_ms) or queue_paused_for_ms(job[2], now_ms)
            or not may_wait_in_hand(windows, ceiling, state, owner) then return true end
    end
    return false
end

-- Whoever was served last is the last one next time. `served`: lane -> its last claim's place among all.
local function note_served(served)
    local lanes = {}
    for lane in pairs(served) do lanes[#lanes + 1] = lane end
    table.sort(lanes, function(one, other) return served[one] < served[other] end)
    for _, lane in ipairs(lanes) do redis.call('ZADD', LANES, 'XX', redis.call('INCR', TURN), lane) end
end

-- Up to `want` jobs with a permit each, and up to `ahead` more to wait in the worker's hand, lanes in turn: {claims,
-- refused (ids set aside), wait_ms (when to look again), waiting (lanes that will have work without anybody's help,
-- lost workers' jobs besides), recalled (those in hand are to come back), suspended, needs_controls}.
local function take(args, now_ms)
    local claims, refused, wait_ms, waiting, most = {}, {}, 1000, 0, args.want + args.ahead
    local recalled = is_recalled(args, now_ms)
    local function taken()
        return {claims = claims, refused = refused, wait_ms = wait_ms, waiting = waiting, recalled = recalled}
    end
    if most < 1 then return taken() end
    if needs_controls(args) then
        return {claims = claims, refused = refused, wait_ms = 0, waiting = 1, recalled = recalled, needs_controls = true}
    end
    if is_suspended() then
        return {claims = claims, refused = refused, wait_ms = wait_ms, waiting = 1, recalled = recalled, suspended = true}
    end
    -- Half a lease without a heartbeat: that worker is lost or about to be, and its jobs will be here again.
    if redis.call('ZCOUNT', LEASES, '-inf', now_ms + args.lease_ms / 2) > 0 then waiting = 1 end
    for _, queue in ipairs(redis.call('HKEYS', BEYOND)) do     -- maintenance is about to fill it
        if redis.call('LLEN', queue_key(queue)) == 0 then waiting = 1 end
    end
    local lanes = redis.call('ZRANGE', LANES, 0, -1)
    local alone = take_alone(args, lanes, now_ms, refused)
    if alone ~= 'none' then
        waiting = 1
        if alone ~= 'drain' then claims[1] = alone end
        return taken()
    end
    local turn_of_alone, served = kept(ALONE_TURN, args.lease_ms), {}
    while #claims < most and #lanes > 0 do
        local still = {}
        for _, lane in ipairs(lanes) do
            local account, windows = args.accounts[string.match(lane, '^%a+')], windows_of(args, lane)
            if account and #claims < most then
                local reserved, ceiling = place_for_alone(args, lane, now_ms, turn_of_alone), ceiling_of(args, lane)
                local wait, state, owner =
                    closed_for_ms(account .. ':' .. lane, account, windows, ceiling, now_ms, reserved)
                local job, paused_ms = nil, lane_paused_for_ms(lane, now_ms)
                if paused_ms then wait = math.max(wait or 0, paused_ms) end
                if #claims >= args.want and not may_wait_in_hand(windows, ceiling, state, owner) then
                    wait = nil
                elseif not wait then
                    job, wait = pop(lane, now_ms, refused, probing_of(account .. ':' .. lane, state))
                end
                if job then
                    claims[#claims + 1] = claim(args, lane, account, job, state, owner, #claims + 1, now_ms, windows)
                    still[#still + 1] = lane
                    served[lane] = #claims
                elseif wait then
                    wait_ms = math.min(wait_ms, math.max(wait, 1))
                    if wait < NEVER_MS then waiting = waiting + 1 end
                end
            end
        end
        lanes = still
    end
    note_served(served)
    return taken()
end

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
            local windows = windows_of(args, outcome.lane)
            local spent, closed = feedback(outcome, windows, ceiling_of(args, outcome.lane), now_ms)
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
        never_used(gate, fields_of(gate_key(gate)), fields_of(account_key(claim.account)), claim, windows_of(args, claim.lane))
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
