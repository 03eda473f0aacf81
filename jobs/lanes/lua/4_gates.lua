-- A gate: may this account call for this lane now, and if not, until when and why?
-- Hash fields: gen (generation: counts closings), until_ms, why, refusals (closings in a row without a success),
-- probe ('1': one call goes first), probe_execution, limit (concurrency in force; absent: the ceiling),
-- granted / passed (permits given, answers had, in this generation), learned (what passed before it was last
-- refused), edge ('1': learned was reached, and what was on its way then has ended), passes (answers ever),
-- alike / alike_jobs (what the first jobs failed with, and which), mixed ('1': with this and that, or one was answered),
-- failures (transient, in a row), outage (ms since when), passed_begun_ms (of the calls that passed, when the last
-- began), away_since (ms), hold_reason / _message / _since, shut_ms (since when it has been refused without an answer),
-- longest_shut_ms (that, until an answer came, at most).

-- An outage that is probed for so long with so few left (or all of them asked): the rest goes at once, and as soon as
-- each was asked in it, failures count. Nobody is left who could tell an outage from charts that always fail.
local LAST_RESORT_MS, FEW_LEFT = 60 * 1000, 32
-- So many different jobs that fail alike are enough to say that every job will.
local ALIKE_JOBS = 5
-- A new account's first call goes alone, so that a wrong token costs one call; but no longer than this.
local PROVING_MS = 1000

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

-- Where the first jobs fail alike, no more go than it takes to find out whether all do.
local function limit_of_first_jobs(state)
    return state.alike and math.max(1, ALIKE_JOBS - #cjson.decode(state.alike_jobs)) or nil
end

-- Late answers of an older generation don't hold up a probe. nil: no bound.
local function limit_in_force(state)
    if state.probe then return nil end
    local learned, first = learned_limit(state), limit_of_first_jobs(state)
    return learned and first and math.min(learned, first) or learned or first
end

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
    if state.probe_execution then
        write_members()
        if redis.call('ZSCORE', permits_key(gate), state.probe_execution) then return 1000, state, owner end
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
    later('ZADD', permits_key(gate), now_ms + lease_ms, execution)
    if not call.known[gate] then redis.call('SADD', GATES, gate) end
    call.known[gate] = true
    if nears_edge(state) then state.edge, state.limit = 1, 1 end
    add_to(state, 'granted', 1)
    if state.probe and not all_may_go(gate, lane, state, now_ms) then state.probe_execution = execution end
    if not owner.proven and not owner.first_ms then owner.first_ms = now_ms end
    return generation(state, owner), state.probe and 1 or 0
end
