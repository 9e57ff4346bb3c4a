"""What Redis does in one step, in Lua: admit, settle, and open an account.

Amounts of money are whole nanodollars: Lua counts in doubles, which are exact up to 9 million USD of them. Moments
are Redis's own, so that machines need not agree on the time. Keys of one team share a hash tag, so that a cluster
keeps them together. Each rule has three keys: a hash of requests by the second, a hash of tokens by the second, a
sorted set of requests under way by the end of their lease. Each budget's window has three: a hash of ``spent``,
``held`` and ``since``, a sorted set of holds by the end of their lease, and a hash of what each of them holds.
"""

SHARED = """
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end
local function minute(key, second)
  local all, sum, newest = redis.call('HGETALL', key), 0, 0
  local held = {}
  for i = 1, #all, 2 do
    local at, count = tonumber(all[i]), tonumber(all[i + 1])
    if at <= second - 61 then
      redis.call('HDEL', key, all[i])
    else
      sum = sum + count
      held[#held + 1] = {at, count}
      if at > newest then newest = at end
    end
  end
  table.sort(held, function(a, b) return a[1] < b[1] end)
  return sum, newest, held
end
local function wait(held, excess, moment)
  local leaving = moment - 61
  for _, pair in ipairs(held) do
    if excess <= 0 then break end
    excess = excess - pair[2]
    leaving = pair[1]
  end
  return math.max(0, leaving + 61 - moment)
end
local function free(account, holds, amounts, id)
  local amount = redis.call('HGET', amounts, id)
  if amount then
    redis.call('HDEL', amounts, id)
    redis.call('ZREM', holds, id)
    redis.call('HINCRBY', account, 'held', -tonumber(amount))
  end
end
"""

ADMIT = (
    SHARED
    + """
-- KEYS: for each rule requests, tokens, running; then for each budget account, holds, amounts
-- ARGV: id, lease (s), tokens, worst (nano), rules, budgets; for each rule three limits (0: none); for each budget its
-- amount (nano) and how long its keys are kept (s)
local id, lease, tokens, worst = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local rules, budgets = tonumber(ARGV[5]), tonumber(ARGV[6])
local moment = now()
local second = math.floor(moment)
-- Let in already: the client repeats a call whose answer was lost with its connection.
if redis.call('ZSCORE', KEYS[3], id) then return {'ok', tostring(second)} end
local told = {'ok'}
for i = 0, rules - 1 do
  local rpm, tpm, most = tonumber(ARGV[7 + i * 3]), tonumber(ARGV[8 + i * 3]), tonumber(ARGV[9 + i * 3])
  local running = KEYS[3 + i * 3]
  redis.call('ZREMRANGEBYSCORE', running, '-inf', moment)
  if most > 0 and redis.call('ZCARD', running) >= most then return {'busy', i} end
  if rpm > 0 then
    local sum, newest, held = minute(KEYS[1 + i * 3], second)
    local reset = newest > 0 and newest + 61 - moment or 0
    if sum + 1 > rpm then return {'requests', i, tostring(wait(held, sum + 1 - rpm, moment)), tostring(reset)} end
    told[#told + 1] = {'requests', rpm, rpm - sum - 1, tostring(reset)}
  end
  if tpm > 0 then
    local sum, newest, held = minute(KEYS[2 + i * 3], second)
    local reset = newest > 0 and newest + 61 - moment or 0
    if sum > 0 and sum + tokens > tpm then
      local excess = sum + math.min(tokens, tpm) - tpm
      return {'tokens', i, math.max(0, tpm - sum), tostring(wait(held, excess, moment)), tostring(reset)}
    end
    told[#told + 1] = {'tokens', tpm, math.max(0, tpm - sum - tokens), tostring(reset)}
  end
end
local first = rules * 3
for i = 0, budgets - 1 do
  local account, holds, amounts = KEYS[first + 1 + i * 3], KEYS[first + 2 + i * 3], KEYS[first + 3 + i * 3]
  local amount = tonumber(ARGV[7 + rules * 3 + i * 2])
  for _, late in ipairs(redis.call('ZRANGEBYSCORE', holds, '-inf', moment)) do free(account, holds, amounts, late) end
  local spent = redis.call('HGET', account, 'spent')
  if not spent then return {'unopened', i} end
  local left = amount - tonumber(spent)
  local held = tonumber(redis.call('HGET', account, 'held') or '0')
  if left <= 0 or worst > left then return {'exceeded', i, string.format('%.0f', left)} end
  if held + worst > left then return {'reserved', i} end
end
for i = 0, rules - 1 do
  redis.call('HINCRBY', KEYS[1 + i * 3], second, 1)
  redis.call('EXPIRE', KEYS[1 + i * 3], 65)
  if tokens > 0 then
    redis.call('HINCRBY', KEYS[2 + i * 3], second, tokens)
    redis.call('EXPIRE', KEYS[2 + i * 3], 65)
  end
  redis.call('ZADD', KEYS[3 + i * 3], moment + lease, id)
  redis.call('EXPIRE', KEYS[3 + i * 3], math.ceil(lease) + 5)
end
for i = 0, budgets - 1 do
  local account, holds, amounts = KEYS[first + 1 + i * 3], KEYS[first + 2 + i * 3], KEYS[first + 3 + i * 3]
  local kept = ARGV[8 + rules * 3 + i * 2]
  redis.call('ZADD', holds, moment + lease, id)
  redis.call('HSET', amounts, id, ARGV[4])
  redis.call('HINCRBY', account, 'held', ARGV[4])
  redis.call('EXPIRE', account, kept)
  redis.call('EXPIRE', holds, kept)
  redis.call('EXPIRE', amounts, kept)
end
table.insert(told, 2, tostring(second))
return told
"""
)

SETTLE = (
    SHARED
    + """
-- KEYS: for each rule tokens, running; then for each budget account, holds, amounts
-- ARGV: id, rules, budgets, the second of admission (0: not known), what to add to its tokens, whether this may have been
-- run before (1); for each budget the cost (nano)
local id, rules, budgets, at, more = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local second = math.floor(now())
-- Over already: the client repeats a call whose answer was lost with its connection.
if ARGV[6] == '1' and not redis.call('ZSCORE', KEYS[2], id) then return 0 end
for i = 0, rules - 1 do
  redis.call('ZREM', KEYS[2 + i * 2], id)
  if more ~= 0 and at > second - 61 then
    redis.call('HINCRBY', KEYS[1 + i * 2], at, more)
    redis.call('EXPIRE', KEYS[1 + i * 2], 65)
  end
end
for i = 0, budgets - 1 do
  local base = rules * 2 + i * 3
  local account = KEYS[base + 1]
  free(account, KEYS[base + 2], KEYS[base + 3], id)
  local cost = ARGV[7 + i]
  if cost ~= '0' then
    if redis.call('HEXISTS', account, 'spent') == 1 then redis.call('HINCRBY', account, 'spent', cost) end
    if redis.call('HEXISTS', account, 'since') == 1 then redis.call('HINCRBY', account, 'since', cost) end
  end
end
return 1
"""
)

RENEW = (
    SHARED
    + """
-- KEYS: for each rule running; then for each budget account, holds, amounts
-- ARGV: id, lease (s), rules, budgets, worst (nano), how long a budget's keys are kept (s)
local id, lease, rules, budgets, worst = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local until_s = now() + lease
for i = 1, rules do
  redis.call('ZADD', KEYS[i], until_s, id)
  redis.call('EXPIRE', KEYS[i], math.ceil(lease) + 5)
end
for i = 0, budgets - 1 do
  local account, holds, amounts = KEYS[rules + 1 + i * 3], KEYS[rules + 2 + i * 3], KEYS[rules + 3 + i * 3]
  redis.call('ZADD', holds, until_s, id)
  if redis.call('HSETNX', amounts, id, worst) == 1 then
    -- Its lease was over, or Redis has lost what it held.
    redis.call('HINCRBY', account, 'held', worst)
    for _, key in ipairs({account, holds, amounts}) do redis.call('EXPIRE', key, ARGV[6]) end
  end
end
return 1
"""
)

OPEN = """
-- KEYS: account; ARGV: what is spent by the ledger (nano), how long the key is kept (s)
local since = redis.call('HGET', KEYS[1], 'since') or '0'
redis.call('HSET', KEYS[1], 'spent', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'spent', since)
redis.call('HDEL', KEYS[1], 'since')
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
