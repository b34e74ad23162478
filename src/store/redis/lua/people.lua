-- Who there is: names, users, sessions, and who used whose store. A name, a session and a user lie in slots of their own; what is of one user
-- lies with its store.

-- Lives until then; 0: for ever.
local function live(key, life)
  if tonumber(life) > 0 then
    redis.call('PEXPIREAT', key, life)
  else
    redis.call('PERSIST', key)
  end
end

-- Takes a name. An account takes its own from a guest; the servers that know an account share it. KEYS: 1 name.
-- ARGV: id, the name as written, 1 for an account, life. Gives the holder's id.
local function take(keys, args)
  local holder, account = unpack(redis.call('HMGET', keys[1], 'id', 'account'))
  if holder and holder ~= args[1] and (args[3] ~= '1' or account == '1') then return { '!', 'taken', holder } end
  redis.call('HSET', keys[1], 'id', args[1], 'name', args[2], 'account', args[3])
  live(keys[1], args[4])
  return { '+', args[1] }
end

-- Whether the name is still this user's; then it is given a life, or let go without one. KEYS: 1 name. ARGV: id, life or nothing.
local function hold(keys, args)
  if redis.call('HGET', keys[1], 'id') ~= args[1] then return 0 end
  if args[2] then
    live(keys[1], args[2])
  else
    redis.call('UNLINK', keys[1])
  end
  return 1
end

-- Makes a user and its store, if they are not there. KEYS: those of the store, 5 user. ARGV: epoch, life, name, 1 for an account, standing.
local function enter(keys, args)
  local s = open(keys, '', args[1])
  s.life = tonumber(args[2])
  save(s)
  -- An account has the standing of the configuration until somebody changes that, or the configuration changes.
  if redis.call('HGET', keys[5], 'configured') ~= args[5] then
    redis.call('HSET', keys[5], 'standing', args[5], 'configured', args[5])
  end
  redis.call('HSET', keys[5], 'name', args[3], 'account', args[4])
  live(keys[1], args[2])
  live(keys[5], args[2])
  return { '+' }
end

-- A user's life, and that of all its keys, goes on. KEYS: 1 entries, then the others. ARGV: life.
local function prolong(keys, args)
  local s = open(keys, '', '')
  if not s then return 0 end
  s.life = tonumber(args[1])
  purge(s, PURGE_FOR_ROOM)
  save(s)
  for _, key in ipairs(keys) do redis.call('PEXPIREAT', key, args[1]) end
  return 1
end

-- KEYS: 1 user. ARGV: standing, and raise or set. Nothing but a raise keeps what a password gave.
local function rank(keys, args)
  local standing = redis.call('HGET', keys[1], 'standing')
  if not standing then return { '!', 'gone' } end
  if args[2] == 'set' then
    redis.call('HSET', keys[1], 'standing', args[1])
    redis.call('HDEL', keys[1], 'grant')
  elseif tonumber(standing) < tonumber(args[1]) then
    redis.call('HSET', keys[1], 'standing', args[1])
  end
  return { '+' }
end

-- Sets a field of what is there. KEYS: 1 user or session. ARGV: field, value, and a life or nothing.
local function note(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return { '!', 'gone' } end
  redis.call('HSET', keys[1], args[1], args[2])
  if args[3] then live(keys[1], args[3]) end
  return { '+' }
end

-- Opens a session. KEYS: 1 session. ARGV: life, then fields and values.
local function admit(keys, args)
  redis.call('HSET', keys[1], unpack(args, 2))
  live(keys[1], args[1])
  return { '+' }
end

-- Counts a session among its user's, for who ends them all. KEYS: 1 sessions (zset token -> until), 2 user. ARGV: token, until, now.
local function belong(keys, args)
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', '(' .. args[3])
  redis.call('ZADD', keys[1], args[2], args[1])
  local life = redis.call('PEXPIRETIME', keys[2])
  if life > 0 then redis.call('PEXPIREAT', keys[1], life) end
  return { '+' }
end

-- Puts an access on record. KEYS: 1 accesses (hash of what -> role, count, first, last), 2 their order, 3 user. ARGV: now, what, role.
local MAX_ACCESSES = 1000
local function witness(keys, args)
  local now = clock({ given = args[1], seen = 0 })
  local last = redis.call('ZREVRANGE', keys[2], 0, 0, 'WITHSCORES')
  local row = redis.call('HGET', keys[1], args[2])
  local _, count, first = nil, 0, now
  if row then
    _, count, first = unpack(cmsgpack.unpack(row))
  end
  redis.call('HSET', keys[1], args[2], cmsgpack.pack({ args[3], count + 1, first, now }))
  redis.call('ZADD', keys[2], last[2] and string.format('%.0f', tonumber(last[2]) + 1) or 1, args[2])
  if not row then
    if redis.call('ZCARD', keys[2]) > MAX_ACCESSES then
      redis.call('HDEL', keys[1], redis.call('ZPOPMIN', keys[2])[1])
    end
    local life = redis.call('PEXPIRETIME', keys[3])
    if life > 0 then
      redis.call('PEXPIREAT', keys[1], life)
      redis.call('PEXPIREAT', keys[2], life)
    end
  end
  return { '+' }
end

-- A write by somebody else: on record, and done, or refused with '-', in one step. KEYS: 1 accesses, 2 their order, 3 user, then those of `write`.
-- ARGV: what, role, then those of `write`.
local function visit(keys, args)
  local reply = write({ unpack(keys, 4) }, { unpack(args, 3) })
  if reply[1] == '!' and reply[2] == 'gone' then return reply end
  witness(keys, { args[3], args[1], args[2] })
  if reply[1] == '!' then reply[1] = '-' end
  return reply
end

-- The latest accesses before an order. KEYS: 1 accesses, 2 their order. ARGV: before or +inf, how many.
local function witnessed(keys, args)
  local some = redis.call('ZREVRANGEBYSCORE', keys[2], args[1], '-inf', 'WITHSCORES', 'LIMIT', 0, args[2])
  local reply = { '+' }
  for at = 1, #some, 2 do
    local row = redis.call('HGET', keys[1], some[at])
    if row then
      local role, count, first, last = unpack(cmsgpack.unpack(row))
      reply[#reply + 1] = { some[at + 1], some[at], role, count, first, last }
    end
  end
  return reply
end

register('take', take, {})
register('hold', hold, { 'allow-oom' })
register('enter', enter, {})
register('prolong', prolong, { 'allow-oom' })
register('rank', rank, { 'allow-oom' })
register('note', note, { 'allow-oom' })
register('admit', admit, {})
register('belong', belong, {})
register('witness', witness, { 'allow-oom' })
register('visit', visit, {})
register('witnessed', witnessed, { 'no-writes' })
