-- Names, users, sessions and access logs. A name, a session and a user are each in a slot of their
-- own; all keys of a user are in the slot of its store.
--
-- A deadline is a point in time in Unix milliseconds; 0: none.

-- Sets the deadline of a key.
local function set_deadline(key, deadline)
  if tonumber(deadline) > 0 then
    redis.call('PEXPIREAT', key, deadline)
  else
    redis.call('PERSIST', key)
  end
end

-- Takes a name. An account takes its name from a guest; servers that know the same account share
-- it. Returns the holder's id. KEYS: 1 name. ARGV: id, name as written, 1 for an account, deadline.
local function take(keys, args)
  local holder, account = unpack(redis.call('HMGET', keys[1], 'id', 'account'))
  if holder and holder ~= args[1] and (args[3] ~= '1' or account == '1') then
    return { '!', 'taken', holder }
  end
  redis.call('HSET', keys[1], 'id', args[1], 'name', args[2], 'account', args[3])
  set_deadline(keys[1], args[4])
  return { '+', args[1] }
end

-- Sets the deadline of a name, or frees it without one, if it is still this user's. Returns 1 if it
-- is. KEYS: 1 name. ARGV: id, deadline or nothing.
local function hold(keys, args)
  if redis.call('HGET', keys[1], 'id') ~= args[1] then return 0 end
  if args[2] then
    set_deadline(keys[1], args[2])
  else
    redis.call('UNLINK', keys[1])
  end
  return 1
end

-- Makes a user and its store. An account may exist already; the id of a guest may not. An account
-- whose password is another one than before loses its sessions. KEYS: those of the store, 5 user.
-- ARGV: epoch, deadline, name, 1 for an account, privilege level, digest of the password's hash.
local function enter(keys, args)
  if args[4] == '0' and redis.call('EXISTS', keys[1], keys[5]) > 0 then return { '!', 'taken' } end
  local s = open(keys, '', args[1])
  s.deadline = tonumber(args[2])
  save(s)
  -- An account has the configured privilege level until a manager or the configuration changes it.
  if redis.call('HGET', keys[5], 'configured') ~= args[5] then
    redis.call('HSET', keys[5], 'standing', args[5], 'configured', args[5])
  end
  local password = redis.call('HGET', keys[5], 'password')
  if password and password ~= args[6] then
    redis.call('HINCRBY', keys[5], 'generation', 1)
  end
  redis.call('HSET', keys[5], 'name', args[3], 'account', args[4], 'password', args[6])
  set_deadline(keys[1], args[2])
  set_deadline(keys[5], args[2])
  return { '+' }
end

-- Extends the deadline of a user and of all its keys. KEYS: 1 entries, then the others.
-- ARGV: deadline.
local function prolong(keys, args)
  local s = open(keys, '', '')
  if not s then return 0 end
  s.deadline = tonumber(args[1])
  expire_some(s, EXPIRED_PER_REFUSAL)
  save(s)
  for _, key in ipairs(keys) do redis.call('PEXPIREAT', key, args[1]) end
  return 1
end

-- Replaces the accounts of the configurations. Returns those that are no longer among them.
-- KEYS: 1 set of ids. ARGV: ids.
local function name_accounts(keys, args)
  local now, reply = {}, { '+' }
  for _, id in ipairs(args) do now[id] = true end
  for _, id in ipairs(redis.call('SMEMBERS', keys[1])) do
    if not now[id] then
      reply[#reply + 1] = id
      redis.call('SREM', keys[1], id)
    end
  end
  for _, id in ipairs(args) do redis.call('SADD', keys[1], id) end
  return reply
end

-- Raises or sets a user's privilege level. Setting it revokes what passwords granted, and ends the
-- user's sessions if asked to: a session is of the generation that its user had when it was opened,
-- and ends with that. KEYS: 1 user. ARGV: privilege level, raise or set, and 1 to end the sessions.
local function set_role(keys, args)
  local standing = redis.call('HGET', keys[1], 'standing')
  if not standing then return { '!', 'gone' } end
  if args[2] == 'set' then
    redis.call('HSET', keys[1], 'standing', args[1])
    redis.call('HDEL', keys[1], 'grant')
    redis.call('HINCRBY', keys[1], 'roles', 1)
  elseif tonumber(standing) < tonumber(args[1]) then
    redis.call('HSET', keys[1], 'standing', args[1])
  end
  if args[3] == '1' then redis.call('HINCRBY', keys[1], 'generation', 1) end
  return { '+' }
end

-- Sets a field of a user or session that exists. KEYS: 1 user or session. ARGV: field, value, and a
-- deadline or nothing.
local function set_field(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return { '!', 'gone' } end
  redis.call('HSET', keys[1], args[1], args[2])
  if args[3] then set_deadline(keys[1], args[3]) end
  return { '+' }
end

-- Opens a session. KEYS: 1 session. ARGV: deadline, then fields and values.
local function open_session(keys, args)
  redis.call('HSET', keys[1], unpack(args, 2))
  set_deadline(keys[1], args[1])
  return { '+' }
end

-- Adds an access to the log. KEYS: 1 accesses (hash: what -> role, count, first and last time),
-- 2 their order, 3 user. ARGV: now, what, role.
local MAX_ACCESSES = 1000
local function record_access(keys, args)
  local deadline = redis.call('PEXPIRETIME', keys[3])
  -- Rows of an owner that is gone would never expire.
  if deadline == -2 then return { '!', 'gone' } end
  local now = clock({ given = args[1], seen = 0 })
  local last = redis.call('ZREVRANGE', keys[2], 0, 0, 'WITHSCORES')
  local row = redis.call('HGET', keys[1], args[2])
  local _, count, first = nil, 0, now
  if row then
    _, count, first = unpack(cmsgpack.unpack(row))
  end
  redis.call('HSET', keys[1], args[2], cmsgpack.pack({ args[3], count + 1, first, now }))
  local order = last[2] and string.format('%.0f', tonumber(last[2]) + 1) or 1
  redis.call('ZADD', keys[2], order, args[2])
  if not row then
    if redis.call('ZCARD', keys[2]) > MAX_ACCESSES then
      redis.call('HDEL', keys[1], redis.call('ZPOPMIN', keys[2])[1])
    end
    if deadline > 0 then
      redis.call('PEXPIREAT', keys[1], deadline)
      redis.call('PEXPIREAT', keys[2], deadline)
    end
  end
  return { '+' }
end

-- Runs a write by another user and records the access, in one step; a refusal that was recorded
-- begins with '-'. KEYS: 1 accesses, 2 their order, 3 user, then those of `write`.
-- ARGV: what, role, then those of `write`.
local function write_other(keys, args)
  local reply = write({ unpack(keys, 4) }, { unpack(args, 3) })
  if reply[1] == '!' and reply[2] == 'gone' then return reply end
  record_access(keys, { args[3], args[1], args[2] })
  if reply[1] == '!' then reply[1] = '-' end
  return reply
end

-- Returns the latest accesses from before an order. KEYS: 1 accesses, 2 their order. ARGV: (order
-- or +inf, maximum number.
local function accesses(keys, args)
  local some = redis.call('ZREVRANGEBYSCORE', keys[2], args[1], '-inf', 'WITHSCORES',
    'LIMIT', 0, args[2])
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
register('name_accounts', name_accounts, {})
register('set_role', set_role, { 'allow-oom' })
register('set_field', set_field, { 'allow-oom' })
register('open_session', open_session, {})
register('record_access', record_access, { 'allow-oom' })
register('write_other', write_other, {})
register('accesses', accesses, { 'no-writes' })
