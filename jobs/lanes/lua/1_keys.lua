-- The key space. `chartq:*` is ours; `rq:*` is RQ's, kept so that `rq info` and rq-dashboard tell the truth.
-- Every script is: these files, one after the other, then `return ops[ARGV[1]](cjson.decode(ARGV[2]))`.

local ops = {}
local rq = KEYS[1]      -- RQ_KEY_PREFIX, 'rq' unless somebody changed it

local LANES = 'chartq:lanes'        -- zset lane -> when it was last served (a counter, not a time)
local TURN = 'chartq:turn'          -- that counter
local GATES = 'chartq:gates'        -- set of '<account>:<lane>' that were ever used
local LEASES = 'chartq:leases'      -- zset job id -> ms after which its worker counts as lost
local WORKERS = 'chartq:workers'    -- hash worker -> JSON: its accounts, limits, when last seen
local EPOCH = 'chartq:epoch'        -- ms since which this Redis remembers us; gone after a FLUSHALL
local ALONE_TURN = 'chartq:alone-turn'      -- the worker that is emptying itself for a job that must run alone
local REFUSED = 'chartq:refused'    -- list of ids set aside: forged, pickled, unknown
local PRIORITIES = 'chartq:priorities'      -- hash queue -> 0 (high) | 2 (low); normal queues aren't in it

local function ring_key(lane) return 'chartq:ring:' .. lane end         -- zset queue -> priority and turn
local function gate_key(gate) return 'chartq:gate:' .. gate end         -- hash, see 3_gates.lua
local function account_key(account) return 'chartq:account:' .. account end     -- hash: hold_*, gen, proven, first_ms
local function permits_key(gate) return 'chartq:permits:' .. gate end   -- zset execution -> ms after which it is void
local function last_turn_key(desk) return 'chartq:last-turn:' .. desk end  -- hash number, reply; see 4_work.lua
local function streak_key(gate) return 'chartq:streak:' .. gate end     -- hash job id -> attempts since the last success
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

-- Redis's clock unless the caller brings one (tests drive 34 hours in a second).
local function now_of(args)
    if args.now_ms then return args.now_ms end
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function list(value) if type(value) == 'table' then return value end return {} end
