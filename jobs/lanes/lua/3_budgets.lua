-- Budgets: no interval of the window's length, wherever it lies, ever holds more than `calls` permits.

-- Windows up to this many calls keep each call's time; larger ones count in sub-windows (bounded memory).
local EXACT_CALLS, SUBWINDOWS = 1000, 100

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
