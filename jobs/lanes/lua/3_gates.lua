-- A gate: may this account call for this lane now, and if not, until when and why?
-- Hash fields: gen (generation: counts closings), until_ms, why, refusals (closings in a row without a success),
-- probe ('1': one call goes first), probe_execution, limit (concurrency in force; absent: the ceiling),
-- granted / passed (permits given, answers had, in this generation), learned (what passed before it was last
-- refused), edge ('1': learned was reached, and what was on its way then has ended), passes (answers ever),
-- alike / alike_jobs (what the first jobs failed with, and which), mixed ('1': they failed with this and that),
-- failures (transient, in a row), outage (ms since when), passed_begun_ms (of the calls that passed, when the last
-- began), away_since (ms), hold_reason / _message / _since, shut_ms (since when it has been refused without an answer),
-- longest_shut_ms (that, until an answer came, at most).

local FIRST_WAIT_MS, LONGEST_WAIT_MS = 1000, 15 * 60 * 1000
-- While a server is away people look at the clock: at first it is asked once a minute (the 7th to 16th time).
local OUTAGE_WAIT_MS, PATIENT_CLOSINGS = 60 * 1000, 16
-- An outage of a day is none: somebody has to look (a time-out that is too short looks the same).
local LONGEST_OUTAGE_MS = 24 * 3600 * 1000
local OUTAGE_FAILURES, OUTAGE_JOBS = 5, 3
-- An outage that so many probes in a row met, taken from here and there, was the server's: whoever failed begins anew.
local TRUE_OUTAGE_CLOSINGS = 3
-- An outage that is probed for so long with so few left (or all of them asked): the rest goes at once, and as soon as
-- each was asked in it, failures count. Nobody is left who could tell an outage from charts that always fail.
local LAST_RESORT_MS, FEW_LEFT = 60 * 1000, 32
-- A new account's first call goes alone, so that a wrong token costs one call; but no longer than this.
local PROVING_MS = 1000
-- Windows up to this many calls keep each call's time; larger ones count in sub-windows (bounded memory).
local EXACT_CALLS, SUBWINDOWS = 1000, 100
-- So many different jobs that fail alike are enough to say that every job will.
local ALIKE_JOBS = 5

-- Budget ------------------------------------------------------------------------------------------------
-- No interval of the window's length, wherever it lies, ever holds more than `calls` permits.

-- Calls reach the provider a little later than their permits were given, some sooner than others. So a permit
-- counts a little longer than the window (4 %, at most 1 s). Windows of a second or two are spread out, and then
-- 2 % will do: there a burst gains nothing, and two bursts a window apart would meet in one window of the provider's.
local GUARD, SPREAD_GUARD, LONGEST_GUARD_MS = 0.04, 0.02, 1000
local SPREAD_UP_TO_MS, SPREAD_PARTS = 2000, 10

local function guarded(window_ms)
    local guard = window_ms > SPREAD_UP_TO_MS and GUARD or SPREAD_GUARD
    return window_ms + math.min(window_ms * guard, LONGEST_GUARD_MS)
end

local function spread_wait_ms(key, calls, window_ms, now_ms)
    if window_ms > SPREAD_UP_TO_MS then return 0 end
    local burst = math.ceil(calls / SPREAD_PARTS)
    local earlier = redis.call('LINDEX', key, burst - 1)
    if not earlier then return 0 end
    return math.max(0, earlier + guarded(window_ms) * burst / calls - now_ms)
end

local function exact_wait_ms(key, calls, window_ms, now_ms)
    -- Newest first, so this is the permit `calls` permits ago.
    local oldest = redis.call('LINDEX', key, calls - 1) 
    local wait = spread_wait_ms(key, calls, window_ms, now_ms)
    if not oldest then return wait end
    return math.max(wait, oldest + guarded(window_ms) - now_ms)
end

-- A permit counts until the whole sub-window that it fell into has left the window.
local function counted_wait_ms(key, calls, window_ms, now_ms)
    local step = window_ms / SUBWINDOWS
    local counts, total, slots = hash(key), 0, {}
    for slot, count in pairs(counts) do
        if (tonumber(slot) + 1) * step + window_ms <= now_ms then
            redis.call('HDEL', key, slot)
        else
            total = total + count
            slots[#slots + 1] = tonumber(slot)
        end
    end
    if total < calls then return 0 end
    table.sort(slots)
    for _, slot in ipairs(slots) do
        total = total - counts[tostring(slot)]
        if total < calls then return math.max(0, (slot + 1) * step + window_ms - now_ms) end
    end
    return window_ms
end

local function is_exact(window) return window[1] <= EXACT_CALLS end

local function log_key(gate, window)
    return spent_key(gate, window[2]) .. (is_exact(window) and ':times' or ':counts')
end

local function slot_of(at_ms, window_ms)
    return string.format('%d', math.floor(at_ms / (window_ms / SUBWINDOWS)))
end

local function budget_wait_ms(gate, windows, now_ms)
    local wait = 0
    for _, window in ipairs(windows) do
        local waits = is_exact(window) and exact_wait_ms or counted_wait_ms
        wait = math.max(wait, waits(log_key(gate, window), window[1], window[2], now_ms))
    end
    return wait
end

local function spend(gate, windows, now_ms)
    for _, window in ipairs(windows) do
        local key = log_key(gate, window)
        if is_exact(window) then
            redis.call('LPUSH', key, now_ms)
            redis.call('LTRIM', key, 0, EXACT_CALLS - 1)
        else
            redis.call('HINCRBY', key, slot_of(now_ms, window[2]), 1)
        end
        redis.call('PEXPIREAT', key, string.format('%d', now_ms + window[2] * 2))
    end
end

-- Only for a permit that was never used for a call.
local function refund(gate, windows, at_ms)
    for _, window in ipairs(windows) do
        local key, slot = log_key(gate, window), slot_of(at_ms, window[2])
        if is_exact(window) then
            redis.call('LREM', key, 1, string.format('%d', at_ms))
        elseif tonumber(redis.call('HGET', key, slot) or 0) > 0 then
            redis.call('HINCRBY', key, slot, -1)
        end
    end
end

local function spent_count(gate, window, now_ms)
    local key, count = log_key(gate, window), 0
    if is_exact(window) then
        for _, at_ms in ipairs(redis.call('LRANGE', key, 0, window[1] - 1)) do
            if at_ms + window[2] <= now_ms then break end
            count = count + 1
        end
        return count
    end
    counted_wait_ms(key, window[1], window[2], now_ms)     -- forgets what has left the window
    for _, calls in pairs(hash(key)) do count = count + calls end
    return count
end

-- Admission ---------------------------------------------------------------------------------------------

local function in_flight(gate, now_ms)
    if not call.flying[gate] then
        redis.call('ZREMRANGEBYSCORE', permits_key(gate), '-inf', now_ms)
        call.flying[gate] = redis.call('ZCARD', permits_key(gate))
    end
    return call.flying[gate]
end

-- Whether there was such a permit: else it was heard before (a repeated command) or has run out.
local function end_permit(gate, execution)
    call.flying[gate] = nil
    return redis.call('ZREM', permits_key(gate), execution) == 1
end

-- Near the count at which the provider last said no, one at a time goes on: it costs one refusal, not many.
local function nears_edge(state)
    local learned = tonumber(state.learned or 0)
    return learned > 0 and not state.probe and not state.edge and tonumber(state.granted or 0) >= learned
end

-- Calls at a time that the provider's refusals leave; nil: no bound.
local function learned_limit(state) return nears_edge(state) and 1 or tonumber(state.limit) end

-- Late answers of an older generation don't hold up a probe.
local function limit_in_force(state) return not state.probe and learned_limit(state) or nil end

local function concurrency(state, ceiling)
    return math.max(1, math.floor(math.min(limit_in_force(state) or math.huge, ceiling or math.huge)))
end

-- nil if a permit may be given now; else ms to wait (at most; an answer may come sooner). `reserved`: places of
-- the concurrency that are kept for somebody else.
local function closed_for_ms(gate, account, windows, ceiling, now_ms, reserved)
    local state, owner = fields_of(gate_key(gate)), fields_of(account_key(account))
    if owner.hold_reason or state.hold_reason then return NEVER_MS, state, owner end
    local until_ms = tonumber(state.until_ms or 0)
    if until_ms > now_ms then return until_ms - now_ms, state, owner end
    if not owner.proven and owner.first_ms and now_ms < owner.first_ms + PROVING_MS then
        return owner.first_ms + PROVING_MS - now_ms, state, owner
    end
    local now_flying = in_flight(gate, now_ms)
    if state.probe and state.probe_execution and redis.call('ZSCORE', permits_key(gate), state.probe_execution) then
        return 1000, state, owner
    end
    local kept_free = not state.probe and reserved or 0
    if now_flying >= concurrency(state, ceiling) - kept_free then return 1000, state, owner end
    local wait = budget_wait_ms(gate, windows, now_ms)
    if wait > 0 then return wait, state, owner end
    return nil, state, owner
end

local function generation(state, owner) return (state.gen or '0') .. '.' .. (owner.gen or '0') end

-- nil, or how many jobs are left and how many of them were asked in this outage, once it has lasted long enough.
local function last_resort(gate, lane, state, now_ms)
    if not state.outage or now_ms - tonumber(state.outage) < LAST_RESORT_MS then return nil end
    return open_jobs(lane), redis.call('HLEN', streak_key(gate))
end

local function all_may_go(gate, lane, state, now_ms)
    local left, asked = last_resort(gate, lane, state, now_ms)
    return left and left <= math.max(asked, FEW_LEFT)
end

local function all_were_asked(gate, lane, state, now_ms)
    local left, asked = last_resort(gate, lane, state, now_ms)
    return left and left <= asked
end

-- How an outage's next probe is chosen; nil: the first in the queue goes.
local function probing_of(gate, state)
    if not (state.probe and state.outage) then return nil end
    return {asked = streak_key(gate), from = tonumber(state.refusals or 0)}
end

-- Give a permit for `execution`. Returns its generation and whether it is the probe.
local function grant(account, lane, state, owner, execution, windows, now_ms, lease_ms)
    local gate = account .. ':' .. lane
    spend(gate, windows, now_ms)
    call.flying[gate] = in_flight(gate, now_ms) + 1
    redis.call('ZADD', permits_key(gate), now_ms + lease_ms, execution)
    if not call.known[gate] then redis.call('SADD', GATES, gate) end
    call.known[gate] = true
    if nears_edge(state) then state.edge, state.limit = 1, 1 end
    add_to(state, 'granted', 1)
    if state.probe and not all_may_go(gate, lane, state, now_ms) then state.probe_execution = execution end
    if not owner.proven and not owner.first_ms then owner.first_ms = now_ms end
    return generation(state, owner), state.probe and 1 or 0
end

-- Feedback ----------------------------------------------------------------------------------------------

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

-- The first jobs of a lane fail, each for the same reason, and none was ever answered (the worker looks that up, and
-- then names no kind): so will be all others.
local function note_alike(state, outcome, now_ms)
    if state.mixed then return end
    if state.alike and state.alike ~= outcome.kind then
        state.alike, state.alike_jobs, state.mixed = nil, nil, 1
        return
    end
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
    if not owner.proven then owner.first_ms = nil end
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
    if outcome.was_probe then state.probe_execution = nil end
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
        if outcome.kind then note_alike(state, outcome, now_ms) end
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
