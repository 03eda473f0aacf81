-- Take: which jobs a worker gets now, each with a permit.

-- RQ's readers fail a started job that is older, by their own clock.
local STARTED_TTL_S = 24 * 3600

-- A job that was refused this often as the probe goes behind the others, and may become suspect.
local PROBE_REFUSALS = 3

-- A permit counts from when it is given, the provider counts a call from when it comes. So no more jobs of a lane with a
-- budget are taken while so many wait in the worker for their pictures, which it reads and prepares a few at a time.
local MOST_UNREADY, UNREADY_LOOK_MS = 4, 20

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
local windows_of = once(function(lane, args)
    local bare = string.match(lane, '^(.*):[^:]*$')
    return tightened(list(args.windows[lane] or args.windows[bare] or args.windows['*']), limit_of(lane))
end)

local function ceiling_of(lane, args)
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
            local windows = windows_of(lane, args)
            local wait, state, owner =
                closed_for_ms(account .. ':' .. lane, account, windows, ceiling_of(lane, args), now_ms)
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
        local windows, ceiling = windows_of(lane, args), ceiling_of(lane, args)
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
    local turn_of_alone, served, unready = kept(ALONE_TURN, args.lease_ms), {}, args.unready
    while #claims < most and #lanes > 0 do
        local still = {}
        for _, lane in ipairs(lanes) do
            local account, windows = args.accounts[string.match(lane, '^%a+')], windows_of(lane, args)
            if account and #claims < most then
                local reserved, ceiling = place_for_alone(args, lane, now_ms, turn_of_alone), ceiling_of(lane, args)
                local wait, state, owner =
                    closed_for_ms(account .. ':' .. lane, account, windows, ceiling, now_ms, reserved)
                local job, paused_ms = nil, lane_paused_for_ms(lane, now_ms)
                if paused_ms then wait = math.max(wait or 0, paused_ms) end
                if #claims >= args.want and not may_wait_in_hand(windows, ceiling, state, owner) then
                    wait = nil
                elseif not wait and #windows > 0 and (unready[lane] or 0) >= MOST_UNREADY then
                    wait = UNREADY_LOOK_MS
                elseif not wait then
                    job, wait = pop(lane, now_ms, refused, probing_of(account .. ':' .. lane, state))
                end
                if job then
                    claims[#claims + 1] = claim(args, lane, account, job, state, owner, #claims + 1, now_ms, windows)
                    still[#still + 1] = lane
                    served[lane], unready[lane] = #claims, (unready[lane] or 0) + 1
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
