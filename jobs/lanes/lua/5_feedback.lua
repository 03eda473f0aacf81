-- What an answer, a refusal or silence says of its gate: opened, closed, or on hold. The fields are those of 4_gates.lua;
-- docs/outages.md says why.

local FIRST_WAIT_MS, LONGEST_WAIT_MS = 1000, 15 * 60 * 1000
-- While a server is away people look at the clock: at first it is asked once a minute (the 7th to 16th time).
local OUTAGE_WAIT_MS, PATIENT_CLOSINGS = 60 * 1000, 16
-- An outage of a day is none: somebody has to look (a time-out that is too short looks the same).
local LONGEST_OUTAGE_MS = 24 * 3600 * 1000
local OUTAGE_FAILURES, OUTAGE_JOBS = 5, 3
-- An outage that so many probes in a row met, taken from here and there, was the server's: whoever failed begins anew.
local TRUE_OUTAGE_CLOSINGS = 3

-- Fewer at a time after the provider said "too many"; a probe's refusal says nothing about how many.
local function lowered_limit(gate, state, was_probe)
    if was_probe then return state.limit end
    local flying = redis.call('ZCARD', permits_key(gate)) + 1      -- the refused one has just left
    return math.max(1, math.floor(math.min(tonumber(state.limit or math.huge), flying) / 2))
end

-- 1 s, doubling to 15 min; a server that is away is asked once a minute for a while in between.
local function doubling_wait_ms(closings, away)
    local patient = away and PATIENT_CLOSINGS or 0
    if away and closings <= patient then return math.min(OUTAGE_WAIT_MS, FIRST_WAIT_MS * 2 ^ (closings - 1)) end
    local first = away and OUTAGE_WAIT_MS or FIRST_WAIT_MS
    return math.min(LONGEST_WAIT_MS, first * 2 ^ math.min(closings - patient - 1 + (away and 1 or 0), 20))
end

-- `held`: the fields of the gate, or of the account.
local function hold(held, outcome, now_ms)
    held.hold_reason, held.hold_message, held.hold_since = outcome.reason, outcome.message, now_ms
    add_to(held, 'gen', 1)
end

local function hold_if_endless(state, why, now_ms)
    state.away_since = state.away_since or now_ms
    if now_ms - tonumber(state.away_since) < LONGEST_OUTAGE_MS then return end
    state.away_since = nil
    hold(state, {reason = why, message = 'No call has come through for a day (' .. why ..
        '): check HF_BASE_URL, VISION_TIMEOUT and the provider, then: chartq resume'}, now_ms)
end

local closings = {}     -- {lane, why, until_ms} of this call, for the worker's log

-- Close after a refusal or in an outage: for the hint, or for 1 s doubling to 15 min.
local function close(gate, state, windows, outcome, why, now_ms)
    local refusals, hint_ms, passed = tonumber(state.refusals or 0) + 1, outcome.hint_ms or 0, tonumber(state.passed or 0)
    local away = why == 'outage' or why == 'unreachable'
    local wait = hint_ms > 0 and hint_ms or doubling_wait_ms(refusals, away)
    wait = wait + math.min(wait * 0.05, 1000) * (outcome.jitter or 0)
    if away then hold_if_endless(state, why, now_ms) end
    if away then state.shut_ms = nil else state.shut_ms = state.shut_ms or now_ms end
    add_to(state, 'gen', 1)
    state.refusals, state.why, state.until_ms = refusals, why, math.floor(now_ms + wait)
    state.granted, state.passed = 0, 0
    closings[#closings + 1] = {outcome.lane, why, math.floor(now_ms + wait)}
    if why == 'throttled' then
        state.limit = lowered_limit(gate, state, outcome.was_probe)
        if passed > 0 then state.learned = passed end
    end
    state.edge, state.probe_execution = nil, nil
    -- A known budget says by itself when to go on; without one a single call finds out.
    if #windows == 0 or why ~= 'throttled' then state.probe = 1 end
end

-- What failed since nobody who began later was answered: per job the attempts, and when the last of them began.
local function streak_entry(written)
    local attempts, begun_ms = written:match('^(%d+) (%d+)$')
    return {attempts = tonumber(attempts), begun_ms = tonumber(begun_ms)}
end

-- Streaks and failers mostly are.
local function is_empty(key)
    if call.empty[key] == nil then call.empty[key] = redis.call('EXISTS', key) == 0 end
    return call.empty[key]
end

local function streak_of(gate)
    local streak = {}
    if is_empty(streak_key(gate)) then return streak end
    for job, written in pairs(hash(streak_key(gate))) do streak[job] = streak_entry(written) end
    return streak
end

local function in_streak(gate, job)
    local written = redis.call('HGET', streak_key(gate), job)
    return written and streak_entry(written) or nil
end

local function note_in_streak(gate, job, attempts, begun_ms)
    call.empty[streak_key(gate)] = false
    redis.call('HSET', streak_key(gate), job, string.format('%d %d', attempts, begun_ms))
end

-- An answer to a call that began before the failing ones says nothing about a server that has gone away since.
local function shorten_streak(gate, begun_ms)
    for job, failed in pairs(streak_of(gate)) do
        if failed.begun_ms < begun_ms then redis.call('HDEL', streak_key(gate), job) end
    end
end

local function succeed(gate, state, begun_ms, ceiling, now_ms)
    shorten_streak(gate, begun_ms)
    if state.outage and tonumber(state.refusals or 0) >= TRUE_OUTAGE_CLOSINGS then redis.call('DEL', failers_key(gate)) end
    local shut_ms = now_ms - tonumber(state.shut_ms or now_ms)
    if shut_ms > tonumber(state.longest_shut_ms or 0) then
        state.longest_shut_ms = math.floor(shut_ms)
    end
    state.outage, state.until_ms, state.why, state.away_since, state.shut_ms = nil, nil, nil, nil, nil
    state.probe, state.probe_execution, state.refusals, state.failures = nil, nil, 0, 0
    add_to(state, 'passed', 1)
    local limit = tonumber(state.limit or 0)
    if limit > 0 then
        limit = limit + 1 / limit
        state.limit = limit < (ceiling or 1000) and string.format('%.6f', limit) or nil
    end
end

-- The attempts of the streak, job id -> count; from now on they count as given back.
local function take_back_attempts(gate)
    local spent = {}
    for job, failed in pairs(streak_of(gate)) do
        if failed.attempts > 0 then
            spent[job] = failed.attempts
            if redis.call('EXISTS', job_key(job)) == 1 then redis.call('HSET', job_key(job), 'behind', 1) end
        end
        note_in_streak(gate, job, 0, failed.begun_ms)
    end
    return spent
end

-- Is it this job's own fault? So it looks if a call that began later was answered, or if others have passed since the job
-- first failed. Once somebody who has failed is answered, it was the server, and everybody begins anew.
local function fails_alone(gate, state, outcome)
    local passed_then = redis.call('HGET', failers_key(gate), outcome.job)
    if not passed_then then
        call.empty[failers_key(gate)] = false
        redis.call('HSET', failers_key(gate), outcome.job, state.passes or 0)
        redis.call('PEXPIRE', failers_key(gate), LONGEST_OUTAGE_MS)
    elseif tonumber(state.passes or 0) > tonumber(passed_then) then
        return true
    end
    return tonumber(state.passed_begun_ms or 0) > outcome.spent_ms
end

-- A transient failure. Returns the attempts to give back when it looks like an outage.
local function fail(gate, state, windows, outcome, current, now_ms)
    local streak, job = streak_key(gate), outcome.job
    local alone, before = fails_alone(gate, state, outcome), in_streak(gate, job)
    local asked_before = before ~= nil
    note_in_streak(gate, job, (before and before.attempts or 0) + 1, outcome.spent_ms)
    redis.call('PEXPIRE', streak, LONGEST_OUTAGE_MS)
    if not state.outage then
        if alone then return {} end
        add_to(state, 'failures', 1)
        if state.failures < OUTAGE_FAILURES or redis.call('HLEN', streak) < OUTAGE_JOBS then return {} end
        state.outage = now_ms
    elseif alone and not asked_before then
        return take_back_attempts(gate)     -- another one finds out
    end
    local counts = asked_before and all_were_asked(gate, outcome.lane, state, now_ms)
    if current then close(gate, state, windows, outcome, 'outage', now_ms) end
    if counts then note_in_streak(gate, job, 0, outcome.spent_ms) end
    return take_back_attempts(gate)
end

-- Connections are refused: what was cut off just before was its going, however few calls were on their way. Returns the
-- attempts to give back.
local function gone_away(gate, state, now_ms)
    if state.outage or is_empty(streak_key(gate)) or redis.call('HLEN', streak_key(gate)) < OUTAGE_JOBS then return {} end
    state.outage = now_ms
    return take_back_attempts(gate)
end

local function not_alike(state) state.alike, state.alike_jobs, state.mixed = nil, nil, 1 end

-- The first jobs of a lane fail, each for the same reason, and none was ever answered (the worker looks that up, and
-- then names no kind): so will be all others.
local function note_alike(state, outcome, now_ms)
    if state.mixed then return end
    if state.alike and state.alike ~= outcome.kind then return not_alike(state) end
    local jobs = cjson.decode(state.alike_jobs or '[]')
    for _, job in ipairs(jobs) do if job == outcome.job then return end end
    jobs[#jobs + 1] = outcome.job
    state.alike, state.alike_jobs = outcome.kind, cjson.encode(jobs)
    if #jobs < ALIKE_JOBS or state.hold_reason then return end
    hold(state, {reason = 'every_job', message = 'The first ' .. #jobs .. ' jobs failed alike and none was answered: '
        .. (outcome.error or outcome.kind) .. ' - mend the cause, then chartq resume lets as many more find out'}, now_ms)
end

-- Trouble that ended with nobody there to see it, on another day, says nothing about today. It is forgotten once: its
-- closing too, or today's failures would be forgotten each in its turn, and never be an outage.
local function forget_old_trouble(gate, state, now_ms)
    if now_ms - tonumber(state.until_ms or now_ms) <= LONGEST_WAIT_MS then return end
    for _, field in ipairs({'until_ms', 'away_since', 'outage', 'refusals', 'failures', 'shut_ms'}) do
        state[field] = nil
    end
    redis.call('DEL', streak_key(gate))
end

-- A permit that no call was made with: it costs nothing of the budget.
local function never_used(gate, state, owner, outcome, windows)
    refund(gate, windows, outcome.spent_ms)
    if generation(state, owner) == outcome.generation then add_to(state, 'granted', -1) end
    owner.first_ms = nil
end

local HOUR, MINUTE_MS = 60, 60 * 1000       -- minutes

-- The last hour's calls, and those of them that were refused, by the minute: for people to look at.
local function note_call(gate, verdict)
    if verdict == 'unused' or verdict == 'gone' then return end
    call.calls[gate] = (call.calls[gate] or 0) + 1
    if verdict == 'throttled' or verdict == 'suspect' then call.refused[gate] = (call.refused[gate] or 0) + 1 end
end

local function write_calls(now_ms)
    local minute = math.floor(now_ms / MINUTE_MS)
    for gate, number in pairs(call.calls) do
        local key = hour_key(gate)
        if redis.call('HINCRBY', key, minute, number) == number then
            for _, noted in ipairs(redis.call('HKEYS', key)) do
                if tonumber(string.match(noted, '%d+')) <= minute - HOUR then redis.call('HDEL', key, noted) end
            end
            redis.call('PEXPIRE', key, 2 * HOUR * MINUTE_MS)
        end
        if call.refused[gate] then redis.call('HINCRBY', key, minute .. 'r', call.refused[gate]) end
    end
    call.calls, call.refused = {}, {}
end

-- What an answer (or its absence) teaches the gate. `outcome.verdict`: ok | throttled | unreachable | transient |
-- hold | suspect | unused | gone. Only a permit of the current generation may open or close. Returns attempts to
-- give back, and whether this refusal closed the gate.
local function feedback(outcome, windows, ceiling, now_ms)
    local gate = outcome.account .. ':' .. outcome.lane
    if not end_permit(gate, outcome.execution) then return {} end
    local state, owner = fields_of(gate_key(gate)), fields_of(account_key(outcome.account))
    local verdict = outcome.verdict
    local current = generation(state, owner) == outcome.generation
    note_call(gate, verdict)
    forget_old_trouble(gate, state, now_ms)
    outcome.was_probe = state.probe_execution == outcome.execution
    if verdict == 'unused' then
        never_used(gate, state, owner, outcome, windows)
        return {}
    end
    if not owner.proven and verdict ~= 'hold' and verdict ~= 'unreachable' and verdict ~= 'gone' then
        owner.proven = 1
    end
    if verdict == 'ok' then
        add_to(state, 'passes', 1)
        state.passed_begun_ms = math.max(tonumber(state.passed_begun_ms or 0), outcome.spent_ms)
        if outcome.to == 'finished' then not_alike(state) elseif outcome.kind then note_alike(state, outcome, now_ms) end
        if outcome.to == 'finished' and not is_empty(failers_key(gate))
            and redis.call('HDEL', failers_key(gate), outcome.job) == 1 then redis.call('DEL', failers_key(gate)) end
        if current then succeed(gate, state, outcome.spent_ms, ceiling, now_ms) end
    elseif verdict == 'transient' then
        return fail(gate, state, windows, outcome, current, now_ms)
    elseif verdict == 'unreachable' then
        if current then close(gate, state, windows, outcome, outcome.why, now_ms) end
        return gone_away(gate, state, now_ms)
    elseif current and verdict == 'throttled' then
        close(gate, state, windows, outcome, outcome.why, now_ms)
        return {}, true
    elseif current and verdict == 'suspect' and outcome.why and tonumber(state.refusals or 0) == 0 then
        -- Perhaps it is the provider's limit after all, which another one finds out at once. The hint may be its alone.
        outcome.hint_ms = nil
        close(gate, state, windows, outcome, outcome.why, now_ms)
    elseif current and verdict == 'hold' then
        hold(outcome.scope == 'account' and owner or state, outcome, now_ms)
    end
    return {}
end
