-- The chat's rooms: what must happen atomically in one room, and the list of all rooms.
--
-- KEYS of a room, all of one slot:
--   1 record   string  the room's record
--   2 events   stream  <sequence>-0 -> the event
--   3 members  hash    user -> number of leases, latest lease, role, name
--   4 order    zset    the members, all of score 0: listings are ordered by their ids
--   5 servers  zset    server -> time at which its leases lapse
--   6 leases   hash    of one server: lease -> user, sequence of the latest event before the join
-- A member has one lease for each of its streams. Users, servers and leases are numbers of 8 bytes,
-- big-endian.
--
-- A room without members exists as long as Redis keeps its record: for the idle time after its last
-- use.

-- Epoch, sequence, sequence after which the history begins, number of messages in it, its bytes;
-- then the name.
local ROOM = '<c8I8I8I8I8'
local ROOM_HEAD = 40
-- Kind, role, user, time, length of the name; then the name and the text.
local EVENT = '<BBc8I8H'
local EVENT_HEAD = 20
local JOINED, LEFT, MESSAGE = 1, 2, 3
-- Size that an event counts for beside its name and text.
local EVENT_BYTES = 160
-- Number of messages beyond the limit that are kept, so that not every event trims the stream.
local SLACK = 64
-- Number of message ids that are remembered for each user.
local MAX_MESSAGE_IDS = 1000

-- Limits are the idle time, messages, bytes: three consecutive arguments from `at` on. A function
-- that adds no event needs none.
local function open_room(keys, args, at)
  local record = redis.call('GET', keys[1])
  if not record then return nil end
  local r = { keys = keys }
  r.epoch, r.sequence, r.from, r.counted, r.bytes = struct.unpack(ROOM, record)
  r.name = string.sub(record, ROOM_HEAD + 1)
  if at then
    r.idle, r.max_messages, r.max_bytes = args[at], tonumber(args[at + 1]), tonumber(args[at + 2])
  end
  return r
end

-- Opens a room; if it does not exist and the arguments have an epoch and a name from `new` on,
-- creates it.
local function open_or_create_room(keys, args, at, new)
  local r = open_room(keys, args, at)
  if r or not args[new] then return r end
  redis.call('UNLINK', keys[2], keys[3], keys[4], keys[5])
  return {
    keys = keys, epoch = args[new], name = args[new + 1],
    sequence = 0, from = 0, counted = 0, bytes = 0,
    idle = args[at], max_messages = tonumber(args[at + 1]), max_bytes = tonumber(args[at + 2]),
  }
end

-- Saves the record: with the idle time as its lifetime if there are no members, else without one.
local function save_room(r, joined)
  local record = struct.pack(ROOM, r.epoch, r.sequence, r.from, r.counted, r.bytes) .. r.name
  if redis.call('EXISTS', r.keys[4]) == 1 then
    redis.call('SET', r.keys[1], record)
    if joined then redis.call('PERSIST', r.keys[2]) end
  else
    redis.call('SET', r.keys[1], record, 'PX', r.idle)
    redis.call('PEXPIRE', r.keys[2], r.idle)
  end
end

-- Removes the oldest events until the history is within its limits.
local function trim_history(r)
  local some = redis.call('XRANGE', r.keys[2], '-', '+', 'COUNT', 2 * SLACK)
  for _, old in ipairs(some) do
    local fits = r.counted <= r.max_messages and r.bytes <= r.max_bytes
    if r.sequence - r.from <= 1 or fits then break end
    r.bytes = r.bytes - EVENT_BYTES - 2 * (#old[2][2] - EVENT_HEAD)
    if string.byte(old[2][2]) == MESSAGE then r.counted = r.counted - 1 end
    r.from = tonumber(string.match(old[1], '%d+'))
  end
  redis.call('XTRIM', r.keys[2], 'MINID', string.format('%.0f-0', r.from + 1))
end

local function append_event(r, now, kind, user, role, name, text)
  r.sequence = r.sequence + 1
  local event = struct.pack(EVENT, kind, tonumber(role), user, now, #name) .. name .. text
  redis.call('XADD', r.keys[2], string.format('%.0f-0', r.sequence), 'e', event)
  r.bytes = r.bytes + EVENT_BYTES + 2 * (#event - EVENT_HEAD)
  if kind == MESSAGE then r.counted = r.counted + 1 end
  if r.counted >= r.max_messages + SLACK or r.bytes >= r.max_bytes + r.max_bytes / 16 then
    trim_history(r)
  end
end

local function given_or_engine_time(given)
  return clock({ given = given, seen = 0 })
end

-- Servers whose leases have lapsed, up to 16.
local function lapsed_servers(keys, now)
  local until_now = string.format('%.0f', now)
  return redis.call('ZRANGEBYSCORE', keys[5], '-inf', until_now, 'LIMIT', 0, 16)
end

local MEMBER = '<I8c8B'
local MEMBER_HEAD = 17

-- Adds a lease for a stream of a user. KEYS: of a room, with the leases of the server.
-- ARGV: now, server, limits, lease, lease time, maximum number of members, number of members to
-- return, user, role, name; then, if the room may be created, its epoch and name.
local function join_room(keys, args)
  local r = open_or_create_room(keys, args, 3, 13)
  if not r then return { '!', 'room' } end
  local lease, user, role, name = args[6], args[10], args[11], args[12]
  local before, now = r.sequence, given_or_engine_time(args[1])
  local known = redis.call('HGET', keys[6], lease)
  if known then
    -- The call was sent again.
    before = struct.unpack('<I8', known, 9)
  else
    local member, leases = redis.call('HGET', keys[3], user), 0
    if member then
      leases = struct.unpack('<I8', member)
    elseif redis.call('ZCARD', keys[4]) >= tonumber(args[8]) then
      return { '!', 'members' }
    end
    redis.call('HSET', keys[6], lease, user .. struct.pack('<I8', before))
    local packed = struct.pack(MEMBER, leases + 1, lease, tonumber(role))
    redis.call('HSET', keys[3], user, packed .. name)
    if not member then
      redis.call('ZADD', keys[4], 0, user)
      append_event(r, now, JOINED, user, role, name, '')
    end
  end
  redis.call('ZADD', keys[5], now + tonumber(args[7]), args[2])
  save_room(r, true)
  local some = redis.call('ZRANGE', keys[4], 0, tonumber(args[9]) - 1)
  local members = redis.call('HMGET', keys[3], unpack(some))
  return { '+', r.epoch, before, r.sequence, r.from, r.name, redis.call('ZCARD', keys[4]), members }
end

-- Ends leases. A user that has none left is no longer a member: it is appended to the reply, with
-- its latest lease.
local function end_leases(r, now, leases, reply)
  for _, lease in ipairs(leases) do
    local known = redis.call('HGET', r.keys[6], lease)
    local user = known and string.sub(known, 1, 8)
    local member = user and redis.call('HGET', r.keys[3], user)
    if known then redis.call('HDEL', r.keys[6], lease) end
    if member then
      local count, latest, role = struct.unpack(MEMBER, member)
      local name = string.sub(member, MEMBER_HEAD + 1)
      if count > 1 then
        redis.call('HSET', r.keys[3], user, struct.pack(MEMBER, count - 1, latest, role) .. name)
      else
        redis.call('HDEL', r.keys[3], user)
        redis.call('ZREM', r.keys[4], user)
        append_event(r, now, LEFT, user, role, name, '')
        reply[#reply + 1] = user
        reply[#reply + 1] = latest
      end
    end
  end
end

-- Ends leases that a server names. KEYS: as `join_room`. ARGV: now, server, limits, leases.
local function leave_room(keys, args)
  local r, reply = open_room(keys, args, 3), { '+' }
  if not r then
    redis.call('UNLINK', keys[6])
    return reply
  end
  end_leases(r, given_or_engine_time(args[1]), { unpack(args, 6) }, reply)
  if redis.call('EXISTS', keys[6]) == 0 then redis.call('ZREM', keys[5], args[2]) end
  save_room(r)
  return reply
end

-- Ends some leases of a server whose leases have lapsed. KEYS: as `join_room`, with the leases of
-- that server. ARGV: now, server, limits, number of leases.
local function expire_leases(keys, args)
  local r, reply, now = open_room(keys, args, 3), { '+', 0 }, given_or_engine_time(args[1])
  local lapses = redis.call('ZSCORE', keys[5], args[2])
  if not r or not lapses or tonumber(lapses) > now then return reply end
  end_leases(r, now, redis.call('HRANDFIELD', keys[6], args[6]), reply)
  reply[2] = redis.call('HLEN', keys[6])
  if reply[2] == 0 then redis.call('ZREM', keys[5], args[2]) end
  save_room(r)
  return reply
end

-- Renews a server's leases, and returns the room's state. KEYS: as `join_room`. ARGV: now, server,
-- lease time.
local function renew_leases(keys, args)
  local r = open_room(keys)
  if not r then return { '!', 'room' } end
  local leases, now = redis.call('HLEN', keys[6]), given_or_engine_time(args[1])
  if leases > 0 then redis.call('ZADD', keys[5], now + tonumber(args[3]), args[2]) end
  return { '+', r.epoch, r.sequence, r.from, leases, lapsed_servers(keys, now) }
end

-- Replaces the epoch, because events that some server has read under it are lost. KEYS: 1 record.
-- ARGV: the epoch, the new one.
local function replace_epoch(keys, args)
  if redis.call('GETRANGE', keys[1], 0, 7) ~= args[1] then return { '+' } end
  redis.call('SETRANGE', keys[1], 0, args[2])
  return { '+' }
end

-- Returns the name, the number of members, and the servers whose leases have lapsed. KEYS: of a
-- room. ARGV: now.
local function peek_room(keys, args)
  local r = open_room(keys)
  if not r then return { '!', 'room' } end
  local lapsed = lapsed_servers(keys, given_or_engine_time(args[1]))
  return { '+', r.name, redis.call('ZCARD', keys[4]), lapsed }
end

-- Returns the next members after a user. KEYS: of a room. ARGV: user or '', number of members.
local function room_members(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return { '!', 'room' } end
  local first = args[1] == '' and '-' or '(' .. args[1]
  local some = redis.call('ZRANGEBYLEX', keys[4], first, '+', 'LIMIT', 0, args[2])
  if #some == 0 then return { '+' } end
  return { '+', some, redis.call('HMGET', keys[3], unpack(some)) }
end

-- A user's recent messages that had ids: '' -> epoch, first number, next number;
-- 'n<number>' -> time, sequence, fingerprint, id; 'i<id>' -> number.
local RECENT = '<c8I8I8'
local function open_recent(key, epoch)
  local packed = redis.call('HGET', key, '')
  local recent = { first = 0, next = 0 }
  if packed then
    local of
    of, recent.first, recent.next = struct.unpack(RECENT, packed)
    -- They belong to an earlier room of this name.
    if of ~= epoch then
      redis.call('UNLINK', key)
      recent.first, recent.next = 0, 0
    end
  end
  return recent
end

local function forget_recent(key, recent, now)
  while recent.first < recent.next do
    local known = redis.call('HGET', key, numbered('n', recent.first))
    local in_time = known and struct.unpack('<I8', known) + ID_WINDOW > now
    if in_time and recent.next - recent.first <= MAX_MESSAGE_IDS then return end
    if known then
      redis.call('HDEL', key, numbered('n', recent.first), 'i' .. string.sub(known, 33))
    end
    recent.first = recent.first + 1
  end
end

-- Publishes a message. KEYS: of a room, and with an id the user's recent messages.
-- ARGV: now, user, role, name, text, limits, id, fingerprint; then, if the room may be created, its
-- epoch and name.
local function publish_message(keys, args)
  local r, id = open_or_create_room(keys, args, 6, 11), args[9]
  if not r then return { '!', 'room' } end
  local now, recent = given_or_engine_time(args[1]), nil
  if id ~= '' then
    recent = open_recent(keys[6], r.epoch)
    forget_recent(keys[6], recent, now)
    local number = redis.call('HGET', keys[6], 'i' .. id)
    if number then
      -- A write, so that waiting for the replicas covers the message that is repeated.
      redis.call('HSET', keys[6], '', struct.pack(RECENT, r.epoch, recent.first, recent.next))
      local known = redis.call('HGET', keys[6], 'n' .. number)
      if string.sub(known, 17, 32) ~= args[10] then return { '!', 'reused' } end
      return { '+', r.epoch, struct.unpack('<I8', known, 9) }
    end
  end
  append_event(r, now, MESSAGE, args[2], args[3], args[4], args[5])
  save_room(r)
  if recent then
    redis.call('HSET', keys[6],
      numbered('n', recent.next), struct.pack('<I8I8', now, r.sequence) .. args[10] .. id,
      'i' .. id, string.format('%.0f', recent.next))
    recent.next = recent.next + 1
    forget_recent(keys[6], recent, now)
    redis.call('HSET', keys[6], '', struct.pack(RECENT, r.epoch, recent.first, recent.next))
    redis.call('PEXPIRE', keys[6], ID_WINDOW)
  end
  return { '+', r.epoch, r.sequence }
end

-- Puts a name on the list of rooms, which also has rooms that ended a moment ago.
-- KEYS: 1 list (hash name -> number, time, creator, mark), 2 order (zset name, by number), 3 the
-- last number. ARGV: now, name, creator, mark, maximum number of rooms, time for which a name that
-- leads to no room is left to its creator.
local ROOM_ENTRY = '<I8I8c8c8'
local function reserve_room(keys, args)
  local now, known = given_or_engine_time(args[1]), redis.call('HGET', keys[1], args[2])
  if known then
    local _, time = struct.unpack(ROOM_ENTRY, known)
    return { '+', now - time >= tonumber(args[6]) and 'old' or 'recent' }
  end
  if redis.call('HLEN', keys[1]) >= tonumber(args[5]) then return { '!', 'rooms' } end
  local number = redis.call('INCR', keys[3])
  redis.call('HSET', keys[1], args[2], struct.pack(ROOM_ENTRY, number, now, args[3], args[4]))
  redis.call('ZADD', keys[2], number, args[2])
  return { '+', 'new' }
end

-- Takes a name that leads to no room off the list, if it has been there for long enough, and
-- returns the creator and its mark. KEYS: as `reserve_room`. ARGV: now, name, minimum time.
local function unregister_room(keys, args)
  local known = redis.call('HGET', keys[1], args[2])
  if not known then return { '+' } end
  local _, time, creator, mark = struct.unpack(ROOM_ENTRY, known)
  if given_or_engine_time(args[1]) - time < tonumber(args[3]) then return { '+' } end
  redis.call('HDEL', keys[1], args[2])
  redis.call('ZREM', keys[2], args[2])
  return { '+', creator, mark }
end

-- Adds a room to a user's list. KEYS: 1 list (hash name -> mark), 2 user. ARGV: name, mark, maximum
-- number of rooms, 1 to replace the mark of an entry that is there.
local function add_to_list(keys, args)
  local deadline = redis.call('PEXPIRETIME', keys[2])
  if deadline == -2 then return { '!', 'gone' } end
  local known = redis.call('HEXISTS', keys[1], args[1]) == 1
  if not known and redis.call('HLEN', keys[1]) >= tonumber(args[3]) then
    return { '!', 'list', redis.call('HGETALL', keys[1]) }
  end
  if not known or args[4] == '1' then redis.call('HSET', keys[1], args[1], args[2]) end
  if deadline > 0 then redis.call('PEXPIREAT', keys[1], deadline) end
  return { '+', known and 0 or 1 }
end

-- Removes a room from a user's list, if it has this mark. KEYS: 1 list. ARGV: name, mark.
local function remove_from_list(keys, args)
  if redis.call('HGET', keys[1], args[1]) == args[2] then redis.call('HDEL', keys[1], args[1]) end
  return { '+' }
end

register('join_room', join_room, {})
register('leave_room', leave_room, { 'allow-oom' })
register('expire_leases', expire_leases, { 'allow-oom' })
register('renew_leases', renew_leases, { 'allow-oom' })
register('replace_epoch', replace_epoch, { 'allow-oom' })
register('peek_room', peek_room, { 'no-writes' })
register('room_members', room_members, { 'no-writes' })
register('publish', publish_message, {})
register('reserve_room', reserve_room, {})
register('unregister_room', unregister_room, { 'allow-oom' })
register('add_to_list', add_to_list, {})
register('remove_from_list', remove_from_list, { 'allow-oom' })
