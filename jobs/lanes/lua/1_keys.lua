-- The key space, and what one call remembers of it. `chartq:*` is ours; `rq:*` is RQ's, kept so that `rq info` and
-- rq-dashboard tell the truth.
-- Every script is: these files, one after the other, then `ops[ARGV[1]](cjson.decode(ARGV[2]))`, `write_down()` and its reply.

local ops = {}
local rq = KEYS[1]      -- RQ_KEY_PREFIX, 'rq' unless somebody changed it

local LANES = 'chartq:lanes'        -- zset lane -> when it was last served (a counter, not a time)
local TURN = 'chartq:turn'          -- that counter
local GATES = 'chartq:gates'        -- set of '<account>:<lane>' that were ever used
local LEASES = 'chartq:leases'      -- zset job id -> ms after which its worker counts as lost
local WORKERS = 'chartq:workers'    -- hash worker -> JSON: its accounts, limits, when last seen
local EPOCH = 'chartq:epoch'        -- ms since which this Redis remembers us; gone after a FLUSHALL
local ALONE_TURN = 'chartq:alone-turn'      -- the worker that is emptying itself for a job that must run alone
local NEVER_MS = 24 * 3600 * 1000   -- a wait that only somebody's help ends
local REFUSED = 'chartq:refused'    -- list of ids set aside: forged, pickled, unknown
local CONTROLS = 'chartq:controls'  -- JSON: what people have paused and limited, from the ledger
local CLAIM = 'chartq:claim'        -- the store that works through this Redis; gone when nobody has spoken for a while
local CLOCK = 'chartq:clock'        -- 'told ahead': what Redis's clock last told, and how far our time is before it (ms)
local MAINTENANCE = 'chartq:maintenance'    -- the worker that looks after what is lost; for a moment
local ID = 'chartq:id'              -- this Redis's own name, drawn once: the ledger knows it by it
local BEYOND = 'chartq:beyond'        -- hash queue -> jobs that wait in the ledger alone, as the queue is full
local PRIORITIES = 'chartq:priorities'      -- hash queue -> 0 (high) | 2 (low); normal queues aren't in it

local function ring_key(lane) return 'chartq:ring:' .. lane end         -- zset queue -> priority and turn
local function gate_key(gate) return 'chartq:gate:' .. gate end         -- hash, see 4_gates.lua
local function account_key(account) return 'chartq:account:' .. account end     -- hash: hold_*, gen, proven, first_ms
local function hour_key(gate) return 'chartq:hour:' .. gate end         -- hash minute -> calls, minute .. 'r' -> refusals
local function permits_key(gate) return 'chartq:permits:' .. gate end   -- zset execution -> ms after which it is void
local function last_poll_key(client) return 'chartq:last-turn:' .. client end  -- hash number, reply; see 8_workers.lua
local function streak_key(gate) return 'chartq:failing:' .. gate end    -- hash job id -> attempts and begin; see 4_gates.lua
local function failers_key(gate) return 'chartq:failers:' .. gate end   -- hash job id -> answers before it first failed
local function spent_key(gate, window_ms) return 'chartq:spent:' .. gate .. ':' .. window_ms end

-- Jobs that were lost with their worker wait here; `pop` leaves them to `take_alone`.
local function alone_queue(lane) return lane .. '@alone' end

local function queue_key(queue) return rq .. ':queue:' .. queue end
local function job_key(id) return rq .. ':job:' .. id end
local function started_key(queue) return rq .. ':wip:' .. queue end
local function scheduled_key(queue) return rq .. ':scheduled:' .. queue end
local function finished_key(queue) return rq .. ':finished:' .. queue end
local function failed_key(queue) return rq .. ':failed:' .. queue end
local function execution_key(id, execution) return rq .. ':execution:' .. id .. ':' .. execution end
local function executions_key(id) return rq .. ':executions:' .. id end
local function worker_key(worker) return rq .. ':worker:' .. worker end
local function worker_executions_key(worker) return rq .. ':worker:' .. worker .. ':executions' end

-- What people have paused and limited (jobs/core/controls.py writes it); nil until somebody has brought it here.
local controls_read, controls = false, nil

local function controls_now()
    if not controls_read then
        local written = redis.call('GET', CONTROLS)
        controls_read, controls = true, written and cjson.decode(written) or nil
    end
    return controls
end

-- What a call asks again and again by the same name is worked out once in it: nothing that it depends on changes meanwhile.
local function once(work_out)
    local known = {}
    return function(name, ...)
        if known[name] == nil then known[name] = work_out(name, ...) or false end
        return known[name] or nil
    end
end

-- `org/name:provider` has what `org/name` has, if it has none of its own.
local function of_model(lane, name)
    local model = string.match(lane, '^%a+:(.*)$') or lane
    return name(model) or name(string.match(model, '^(.*):[^:]*$') or model)
end

-- ms for which these subjects stay paused, the longest; nil: none of them is.
local function paused_for_ms(subjects, now_ms)
    local longest = nil
    for _, subject in ipairs(subjects) do
        local until_ms = controls and controls.pauses[subject]
        if until_ms == -1 then return NEVER_MS end
        if until_ms and until_ms > now_ms then longest = math.max(longest or 0, until_ms - now_ms) end
    end
    return longest
end

local lane_paused_for_ms = once(function(lane, now_ms)
    if not controls_now() then return nil end
    local model = string.match(lane, '^%a+:(.*)$') or lane
    return paused_for_ms({'*', 'model ' .. model, 'model ' .. (string.match(model, '^(.*):[^:]*$') or model)}, now_ms)
end)

local queue_paused_for_ms = once(function(queue, now_ms)
    if not controls_now() then return nil end
    return paused_for_ms({'batch ' .. string.match(queue, '[^@]*$')}, now_ms)
end)

local limit_of = once(function(lane)
    return controls_now() and of_model(lane, function(model) return controls.limits[model] end)
end)

-- Our time. It never goes back: a gate would stay closed, and a dead worker's jobs its own, for as long as Redis's clock
-- was set back. Then it goes on from where it was, a tenth slower, until the two agree; where that clock leaps ahead, or
-- nobody has looked for a minute, they agree the sooner.
local SLOWER, LEAP_MS = 0.1, 60 * 1000

-- What Redis's clock tells, and how far ours is before it.
local function clocks()
    local time = redis.call('TIME')
    local wall_ms = time[1] * 1000 + math.floor(time[2] / 1000)
    local told_ms, ahead_ms = string.match(redis.call('GET', CLOCK) or '', '^(%d+) (%S+)$')
    if not told_ms then return wall_ms, 0 end
    local passed_ms = wall_ms - told_ms
    if passed_ms < 0 then return wall_ms, ahead_ms - passed_ms end
    local slower_ms = math.min(passed_ms, LEAP_MS) * SLOWER + math.max(0, passed_ms - LEAP_MS)
    return wall_ms, math.max(0, ahead_ms - slower_ms)
end

-- A rehearsal brings its own, and tests that drive 34 hours in a second.
local function now_of(args)
    if args.now_ms then return args.now_ms end
    local wall_ms, ahead_ms = clocks()
    return math.floor(wall_ms + ahead_ms)
end

-- The workers' polls and heartbeats keep it: while there are none, nothing waits for it.
local function keep_now(args)
    if args.now_ms then return args.now_ms end
    local wall_ms, ahead_ms = clocks()
    redis.call('SET', CLOCK, string.format('%d %.1f', wall_ms, ahead_ms))
    return math.floor(wall_ms + ahead_ms)
end

-- Our time, for dates in the ledger.
function ops.now(args) return string.format('%d', now_of(args)) end

-- What a key says that lives for so long at most. One that is to live longer is over: Redis's clock was set back.
local function kept(key, longest_ms)
    return redis.call('PTTL', key) <= longest_ms and redis.call('GET', key) or nil
end

-- One worker at a time looks after what is lost. args: token, ttl_ms. Whether it is this one's turn.
function ops.maintain(args)
    local holder = kept(MAINTENANCE, args.ttl_ms)
    if holder and holder ~= args.token then return 0 end
    redis.call('SET', MAINTENANCE, args.token, 'PX', args.ttl_ms)
    return 1
end

-- The place of another ledger that works through this Redis, or whose jobs are here. In one that is `ours` alone, jobs
-- say nothing: that ledger may be gone; and it is gone if ours is where it was.
local function other_ledger(args)
    local here = controls_now()
    if not here or here.store == args.store or (args.ours and here.label == args.label) then return nil end
    if not kept(CLAIM, args.claim_ms) and (args.ours or redis.call('EXISTS', LANES) == 0) then return nil end
    return here.label or 'another one'
end

-- Some of the jobs that wait here.
local function some_jobs()
    local jobs = {}
    for _, lane in ipairs(redis.call('ZRANGE', LANES, 0, 9)) do
        for _, queue in ipairs(redis.call('ZRANGE', ring_key(lane), 0, 9)) do
            for _, id in ipairs(redis.call('LRANGE', queue_key(queue), 0, 9)) do jobs[#jobs + 1] = id end
        end
    end
    return jobs
end

-- Whose this Redis is. args: store, label, ours, claim_ms, new_id (its name, if it has none yet).
function ops.owner(args)
    local id = redis.call('GET', ID)
    if not id and args.new_id then
        redis.call('SET', ID, args.new_id)
        id = args.new_id
    end
    -- Before there were controls nobody said whose the jobs are.
    local jobs = not args.ours and not controls_now() and some_jobs() or {}
    return cjson.encode({id = id, other = other_ledger(args), jobs = jobs})
end

-- Bring the ledger's controls here, unless newer ones of the same ledger are here already, and claim this Redis for it. If
-- another ledger has it, that one's place is returned. args: store, label, version, json, ours, claim_ms.
function ops.set_controls(args)
    local here = controls_now()
    local other = other_ledger(args)
    if other then return other end
    redis.call('SET', CLAIM, args.store, 'PX', args.claim_ms)
    if here and here.store == args.store and here.version >= args.version then return 0 end
    redis.call('SET', CONTROLS, args.json)
    redis.call('PUBLISH', 'chartq:wake', '*')
    return 1
end

local function list(value) if type(value) == 'table' then return value end return {} end

local function hash(key)
    local flat, fields = redis.call('HGETALL', key), {}
    for index = 1, #flat, 2 do fields[flat[index]] = flat[index + 1] end
    return fields
end

-- One call settles and takes many jobs. What all of them read or change alike is read once and written once, at the end:
-- `write_down` (this file's last function) runs after every operation.
local call = {
    fields = {}, before = {},       -- key -> fields of a gate's or an account's hash, as they are and as they were
    members = {ZREM = {}, SREM = {}, ZADD = {}, SADD = {}},       -- command -> key -> what follows
    flying = {},        -- gate -> permits in force
    known = {},         -- gates that stand in GATES
    empty = {},         -- key -> whether it is
    calls = {}, refused = {},       -- gate -> how many ended
    priorities = {},    -- queue -> priority
}

-- The hash of a gate or an account: read its fields, and set them (nil: forget). Nobody else may write to these hashes.
local function fields_of(key)
    if not call.fields[key] then
        local fields, before = hash(key), {}
        for field, value in pairs(fields) do before[field] = value end
        call.fields[key], call.before[key] = fields, before
    end
    return call.fields[key]
end

local function add_to(fields, field, number) fields[field] = tonumber(fields[field] or 0) + number end

local function write_fields(key, fields, before)
    local changed, gone = {}, {}
    for field, value in pairs(fields) do
        if type(value) == 'number' and value % 1 == 0 then value = string.format('%d', value) end    -- never 1.7e+12
        if before[field] ~= value then
            changed[#changed + 1] = field
            changed[#changed + 1] = value
        end
    end
    for field in pairs(before) do
        if fields[field] == nil then gone[#gone + 1] = field end
    end
    if #changed > 0 then redis.call('HSET', key, unpack(changed)) end
    if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
end

-- A registry's new member with its score ('ZADD'), or one that joins ('SADD') or leaves ('ZREM', 'SREM'). Whoever reads a
-- registry calls `write_members` before.
local function later(command, key, first, second)
    local following = call.members[command][key]
    if not following then
        following = {}
        call.members[command][key] = following
    end
    following[#following + 1] = first
    if second then following[#following + 1] = second end
end

local MOST_ARGUMENTS = 4000     -- Lua's stack bounds unpack; even, as a score and its member stay together

local function write_members()
    for _, command in ipairs({'ZREM', 'SREM', 'ZADD', 'SADD'}) do
        for key, following in pairs(call.members[command]) do
            for first = 1, #following, MOST_ARGUMENTS do
                redis.call(command, key, unpack(following, first, math.min(first + MOST_ARGUMENTS - 1, #following)))
            end
        end
        if next(call.members[command]) then call.members[command] = {} end
    end
end

local function write_down()
    for key, fields in pairs(call.fields) do write_fields(key, fields, call.before[key]) end
    write_members()
end
