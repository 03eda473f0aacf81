-- What people ask: how do the gates stand, and open what is on hold.

-- args: gates [{gate, account, windows, ceiling}]. One row each, in order.
function ops.describe(args)
    local now_ms, rows = now_of(args), {}
    for _, asked in ipairs(list(args.gates)) do
        local gate, windows = asked.account .. ':' .. asked.lane, list(asked.windows)
        local wait, state, owner = closed_for_ms(gate, asked.account, windows, asked.ceiling, now_ms)
        local spent = {}
        for index, window in ipairs(windows) do spent[index] = spent_count(gate, window, now_ms) end
        rows[#rows + 1] = {
            reason = owner.hold_reason or state.hold_reason, message = owner.hold_message or state.hold_message,
            since_ms = tonumber(owner.hold_since or state.hold_since), until_ms = tonumber(state.until_ms),
            why = state.why, limit = learned_limit(state), probing = state.probe and true or false,
            in_flight = redis.call('ZCARD', permits_key(gate)), spent = spent,
            wait_ms = wait or 0, budget_wait_ms = budget_wait_ms(gate, windows, now_ms)}
    end
    return cjson.encode({now_ms = now_ms, rows = rows, suspended = redis.call('EXISTS', rq .. ':suspended') == 1})
end

-- The last hour's calls and refusals of these gates, by the minute, the oldest first.
function ops.hours(args)
    local minute, rows = math.floor(now_of(args) / MINUTE_MS), {}
    for index, asked in ipairs(args.gates) do
        local noted, calls, refused = hash(hour_key(asked)), {}, {}
        for at = 1, HOUR do
            local key = tostring(minute - HOUR + at)
            calls[at], refused[at] = tonumber(noted[key] or 0), tonumber(noted[key .. 'r'] or 0)
        end
        rows[index] = {calls = calls, refused = refused}
    end
    return cjson.encode(rows)
end

local function open(held)
    if not held.hold_reason then return 0 end
    held.hold_reason, held.hold_message, held.hold_since = nil, nil, nil
    return 1
end

-- Open the holds of these gates and of their accounts; one probe goes first. Returns how many were on hold.
function ops.resume(args)
    local opened, accounts = 0, {}
    for _, asked in ipairs(list(args.gates)) do
        local gate, account = asked.account .. ':' .. asked.lane, asked.account
        local state, owner = fields_of(gate_key(gate)), fields_of(account_key(account))
        accounts[account] = accounts[account] or open(owner)
        local was_held = open(state) + accounts[account]
        if was_held > 0 then
            opened = opened + 1
            owner.proven, owner.first_ms = nil, nil
            state.until_ms, state.alike, state.alike_jobs, state.mixed = nil, nil, nil, nil
            state.probe, state.probe_execution = 1, nil
        end
    end
    -- An account that opens opens all its lanes, asked for or not.
    for _, gate in ipairs(redis.call('SMEMBERS', GATES)) do
        if accounts[string.match(gate, '^[^:]*')] == 1 then fields_of(gate_key(gate)).probe = 1 end
    end
    redis.call('PUBLISH', 'chartq:wake', '*')
    return opened
end

-- Queued, delayed and started jobs of each lane: {lane, queued, scheduled, started}.
function ops.depths(args)
    local rows = {}
    for _, lane in ipairs(list(args.lanes)) do
        local queued, scheduled, started = 0, 0, 0
        for _, queue in ipairs(redis.call('ZRANGE', ring_key(lane), 0, -1)) do
            queued = queued + redis.call('LLEN', queue_key(queue))
                + math.max(0, tonumber(redis.call('HGET', BEYOND, queue) or 0))
            scheduled = scheduled + redis.call('ZCARD', scheduled_key(queue))
            started = started + redis.call('ZCARD', started_key(queue))
        end
        rows[#rows + 1] = {lane, queued, scheduled, started}
    end
    return cjson.encode(rows)
end
