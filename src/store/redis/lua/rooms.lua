-- The chat's rooms: everything that must happen at one instant in one of them, and the list of all.
--
-- KEYS of a room, all of one slot:
--   1 room     string  the room's record
--   2 events   stream  <sequence>-0 -> the event
--   3 members  hash    user -> how many seats, the latest seat, role, name
--   4 order    zset    the members, all of score 0: listings go by their ids
--   5 fronts   zset    front end -> until when it holds its seats
--   6 seats    hash    of one front end: seat -> user, and where the room stood before it came
-- A member has a seat for each of its streams. Users, front ends and seats are numbers of 8 bytes, the first the highest.
--
-- A room without members lives as long as Redis keeps its record: that long after its last use.

-- Epoch, sequence, the sequence that the kept events begin behind, how many of them are messages, their bytes; then the name.
local ROOM = '<c8I8I8I8I8'
local ROOM_HEAD = 40
-- Kind, role, user, time, length of the name; then the name and the text.
local EVENT = '<BBc8I8H'
local EVENT_HEAD = 20
local JOINED, LEFT, MESSAGE = 1, 2, 3
local EVENT_BYTES = 160
local SLACK = 64
-- How many ids of a user are remembered.
local MAX_SAID = 1000

local function open_room(keys)
  local record = redis.call('GET', keys[1])
  if not record then return nil end
  local r = { keys = keys }
  r.epoch, r.sequence, r.from, r.counted, r.bytes = struct.unpack(ROOM, record)
  r.name = string.sub(record, ROOM_HEAD + 1)
  return r
end

local function make_room(keys, epoch, name)
  redis.call('UNLINK', keys[2], keys[3], keys[4], keys[5])
  return { keys = keys, epoch = epoch, sequence = 0, from = 0, counted = 0, bytes = 0, name = name }
end

-- Without members it lives on for so long; with some, for ever.
local function save_room(r, idle, came)
  local record = struct.pack(ROOM, r.epoch, r.sequence, r.from, r.counted, r.bytes) .. r.name
  if redis.call('EXISTS', r.keys[4]) == 1 then
    redis.call('SET', r.keys[1], record)
    if came then redis.call('PERSIST', r.keys[2]) end
  else
    redis.call('SET', r.keys[1], record, 'PX', idle)
    redis.call('PEXPIRE', r.keys[2], idle)
  end
end

-- Takes the oldest events off the stream until there are no more messages and bytes than are to be kept.
local function trim(r, most, most_bytes)
  local some = redis.call('XRANGE', r.keys[2], '-', '+', 'COUNT', 2 * SLACK)
  for _, old in ipairs(some) do
    if r.sequence - r.from <= 1 or (r.counted <= most and r.bytes <= most_bytes) then break end
    r.bytes = r.bytes - EVENT_BYTES - 2 * (#old[2][2] - EVENT_HEAD)
    if string.byte(old[2][2]) == MESSAGE then r.counted = r.counted - 1 end
    r.from = tonumber(string.match(old[1], '%d+'))
  end
  redis.call('XTRIM', r.keys[2], 'MINID', string.format('%.0f-0', r.from + 1))
end

-- Puts an event on the stream. A few more are kept than are to be, so that not each of them has one taken off.
local function happen(r, now, kind, user, role, name, text, most, most_bytes)
  r.sequence = r.sequence + 1
  local event = struct.pack(EVENT, kind, tonumber(role), user, now, #name) .. name .. text
  redis.call('XADD', r.keys[2], string.format('%.0f-0', r.sequence), 'e', event)
  r.bytes = r.bytes + EVENT_BYTES + 2 * (#event - EVENT_HEAD)
  if kind == MESSAGE then r.counted = r.counted + 1 end
  if r.counted >= most + SLACK or r.bytes >= most_bytes + most_bytes / 16 then trim(r, most, most_bytes) end
end

local MEMBER = '<I8c8B'
local MEMBER_HEAD = 17

-- A user takes a seat. KEYS: of a room, with those of the front end's seats. ARGV: now, user, role, name, front end, seat, for how long the front
-- end holds its seats, how long a room without members lives, most messages, most bytes, most members, how many members to name; then, if
-- the room is to be made, its epoch and name.
local function attend(keys, args)
  local r = open_room(keys)
  if not r then
    if not args[13] then return { '!', 'room' } end
    r = make_room(keys, args[13], args[14])
  end
  local user, before, now = args[2], r.sequence, clock({ given = args[1], seen = 0 })
  local seat = redis.call('HGET', keys[6], args[6])
  if seat then
    -- Sent again.
    before = struct.unpack('<I8', seat, 9)
  else
    local member, seats = redis.call('HGET', keys[3], user), 0
    if member then
      seats = struct.unpack('<I8', member)
    elseif redis.call('ZCARD', keys[4]) >= tonumber(args[11]) then
      return { '!', 'members' }
    end
    redis.call('HSET', keys[6], args[6], user .. struct.pack('<I8', before))
    redis.call('HSET', keys[3], user, struct.pack(MEMBER, seats + 1, args[6], tonumber(args[3])) .. args[4])
    if not member then
      redis.call('ZADD', keys[4], 0, user)
      happen(r, now, JOINED, user, args[3], args[4], '', tonumber(args[9]), tonumber(args[10]))
    end
  end
  redis.call('ZADD', keys[5], now + tonumber(args[7]), args[5])
  save_room(r, args[8], true)
  local some = redis.call('ZRANGE', keys[4], 0, tonumber(args[12]) - 1)
  return { '+', r.epoch, before, r.sequence, r.from, r.name, redis.call('ZCARD', keys[4]), redis.call('HMGET', keys[3], unpack(some)) }
end

-- Takes seats from their members; who has none left has left. Adds those to the reply, with their latest seats.
local function vacate(r, now, seats, most, most_bytes, reply)
  for _, seat in ipairs(seats) do
    local taken = redis.call('HGET', r.keys[6], seat)
    local user = taken and string.sub(taken, 1, 8)
    local member = user and redis.call('HGET', r.keys[3], user)
    if taken then redis.call('HDEL', r.keys[6], seat) end
    if member then
      local count, latest, role = struct.unpack(MEMBER, member)
      local name = string.sub(member, MEMBER_HEAD + 1)
      if count > 1 then
        redis.call('HSET', r.keys[3], user, struct.pack(MEMBER, count - 1, latest, role) .. name)
      else
        redis.call('HDEL', r.keys[3], user)
        redis.call('ZREM', r.keys[4], user)
        happen(r, now, LEFT, user, role, name, '', most, most_bytes)
        reply[#reply + 1] = user
        reply[#reply + 1] = latest
      end
    end
  end
end

-- Seats are given up. KEYS: as `attend`. ARGV: now, front end, how long a room without members lives, most messages, most bytes, seats.
local function depart(keys, args)
  local r, reply = open_room(keys), { '+' }
  if not r then
    redis.call('UNLINK', keys[6])
    return reply
  end
  vacate(r, clock({ given = args[1], seen = 0 }), { unpack(args, 6) }, tonumber(args[4]), tonumber(args[5]), reply)
  if redis.call('EXISTS', keys[6]) == 0 then redis.call('ZREM', keys[5], args[2]) end
  save_room(r, args[3])
  return reply
end

-- A front end that does not hold its seats any more loses some of them. KEYS: as `attend`, with that front end's seats. ARGV: now, front end,
-- how long a room without members lives, most messages, most bytes, how many.
local function evict(keys, args)
  local r, reply, now = open_room(keys), { '+', 0 }, clock({ given = args[1], seen = 0 })
  local held = redis.call('ZSCORE', keys[5], args[2])
  if not r or not held or tonumber(held) > now then return reply end
  local seats = redis.call('HRANDFIELD', keys[6], args[6])
  vacate(r, now, seats, tonumber(args[4]), tonumber(args[5]), reply)
  reply[2] = redis.call('HLEN', keys[6])
  if reply[2] == 0 then redis.call('ZREM', keys[5], args[2]) end
  save_room(r, args[3])
  return reply
end

-- Where the room stands; a front end with seats in it holds them on. KEYS: as `attend`. ARGV: now, front end, for how long.
-- Tells which front ends hold theirs no more.
local function hold_seats(keys, args)
  local r = open_room(keys)
  if not r then return { '!', 'room' } end
  local seats, now = redis.call('HLEN', keys[6]), clock({ given = args[1], seen = 0 })
  if seats > 0 then redis.call('ZADD', keys[5], now + tonumber(args[3]), args[2]) end
  local lapsed = redis.call('ZRANGEBYSCORE', keys[5], '-inf', string.format('%.0f', now), 'LIMIT', 0, 16)
  return { '+', r.epoch, r.sequence, r.from, seats, lapsed }
end

-- The room goes on under another epoch: what came after some place in this one is not what it was. KEYS: 1 room. ARGV: the epoch, the next.
local function restart_room(keys, args)
  if redis.call('GETRANGE', keys[1], 0, 7) ~= args[1] then return { '+' } end
  redis.call('SETRANGE', keys[1], 0, args[2])
  return { '+' }
end

-- How many front ends hold their seats no more, and how many members there are. KEYS: of a room. ARGV: now.
local function glance(keys, args)
  local r = open_room(keys)
  if not r then return { '!', 'room' } end
  local now = string.format('%.0f', clock({ given = args[1], seen = 0 }))
  return { '+', r.name, redis.call('ZCARD', keys[4]), redis.call('ZRANGEBYSCORE', keys[5], '-inf', now, 'LIMIT', 0, 16) }
end

-- The next members behind a user. KEYS: of a room. ARGV: user or nothing, how many.
local function members(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return { '!', 'room' } end
  local first = args[1] == '' and '-' or '(' .. args[1]
  local some = redis.call('ZRANGEBYLEX', keys[4], first, '+', 'LIMIT', 0, args[2])
  if #some == 0 then return { '+' } end
  return { '+', some, redis.call('HMGET', keys[3], unpack(some)) }
end

-- What a user said lately under ids: '' -> epoch, first number, next number; 'n<number>' -> time, sequence, fingerprint, id; 'i<id>' -> number.
local SAID = '<c8I8I8'
local function open_said(key, epoch)
  local packed = redis.call('HGET', key, '')
  local said = { first = 0, next = 0 }
  if packed then
    local of
    of, said.first, said.next = struct.unpack(SAID, packed)
    -- Of a room that was there before this one.
    if of ~= epoch then
      redis.call('UNLINK', key)
      said.first, said.next = 0, 0
    end
  end
  return said
end

local function forget_said(key, said, now, most)
  while said.first < said.next do
    local known = redis.call('HGET', key, numbered('n', said.first))
    if known and said.next - said.first <= most and struct.unpack('<I8', known) + ID_WINDOW > now then return end
    if known then redis.call('HDEL', key, numbered('n', said.first), 'i' .. string.sub(known, 33)) end
    said.first = said.first + 1
  end
end

-- Says something. KEYS: of a room, and with an id what the user said lately. ARGV: now, user, role, name, text, how long a room without
-- members lives, most messages, most bytes, id, fingerprint; then, if the room is to be made, its epoch and name.
local function say(keys, args)
  local r, id = open_room(keys), args[9]
  if not r then
    if not args[11] then return { '!', 'room' } end
    r = make_room(keys, args[11], args[12])
  end
  local now, said = clock({ given = args[1], seen = 0 }), nil
  if id ~= '' then
    said = open_said(keys[6], r.epoch)
    forget_said(keys[6], said, now, MAX_SAID)
    local number = redis.call('HGET', keys[6], 'i' .. id)
    if number then
      -- A write, so that a wait for the replicas covers what it repeats.
      redis.call('HSET', keys[6], '', struct.pack(SAID, r.epoch, said.first, said.next))
      local known = redis.call('HGET', keys[6], 'n' .. number)
      if string.sub(known, 17, 32) ~= args[10] then return { '!', 'reused' } end
      return { '+', r.epoch, struct.unpack('<I8', known, 9) }
    end
  end
  happen(r, now, MESSAGE, args[2], args[3], args[4], args[5], tonumber(args[7]), tonumber(args[8]))
  save_room(r, args[6])
  if said then
    redis.call('HSET', keys[6],
      numbered('n', said.next), struct.pack('<I8I8', now, r.sequence) .. args[10] .. id,
      'i' .. id, string.format('%.0f', said.next))
    said.next = said.next + 1
    forget_said(keys[6], said, now, MAX_SAID)
    redis.call('HSET', keys[6], '', struct.pack(SAID, r.epoch, said.first, said.next))
    redis.call('PEXPIRE', keys[6], ID_WINDOW)
  end
  return { '+', r.epoch, r.sequence }
end

-- The rooms that there are, or were a moment ago. KEYS: 1 list (hash name -> id, time, maker, mark), 2 their order (zset name, by id),
-- 3 the last id. ARGV: now, name, maker, mark, most, for how long an entry that leads to no room is left to who made it.
local CLAIM = '<I8I8c8c8'
local function claim_room(keys, args)
  local now, claimed = clock({ given = args[1], seen = 0 }), redis.call('HGET', keys[1], args[2])
  if claimed then
    local _, time = struct.unpack(CLAIM, claimed)
    return { '+', now - time >= tonumber(args[6]) and 'old' or 'known' }
  end
  if redis.call('HLEN', keys[1]) >= tonumber(args[5]) then return { '!', 'rooms' } end
  local id = redis.call('INCR', keys[3])
  redis.call('HSET', keys[1], args[2], struct.pack(CLAIM, id, now, args[3], args[4]))
  redis.call('ZADD', keys[2], id, args[2])
  return { '+', 'new' }
end

-- A room that is no more is taken off the list, if it has been there for so long. KEYS: as `claim_room`. ARGV: now, name, how long.
-- Gives its maker, and the mark of what the maker made.
local function strike_room(keys, args)
  local claimed = redis.call('HGET', keys[1], args[2])
  if not claimed then return { '+' } end
  local _, time, maker, mark = struct.unpack(CLAIM, claimed)
  if clock({ given = args[1], seen = 0 }) - time < tonumber(args[3]) then return { '+' } end
  redis.call('HDEL', keys[1], args[2])
  redis.call('ZREM', keys[2], args[2])
  return { '+', maker, mark }
end

-- A user is to be in one more room, or has made one more. KEYS: 1 list (hash name -> mark), 2 user. ARGV: name, mark, most, 1 to replace the mark.
local function enlist(keys, args)
  local life = redis.call('PEXPIRETIME', keys[2])
  if life == -2 then return { '!', 'gone' } end
  local there = redis.call('HEXISTS', keys[1], args[1]) == 1
  if not there and redis.call('HLEN', keys[1]) >= tonumber(args[3]) then
    return { '!', 'list', redis.call('HGETALL', keys[1]) }
  end
  if not there or args[4] == '1' then redis.call('HSET', keys[1], args[1], args[2]) end
  if life > 0 then redis.call('PEXPIREAT', keys[1], life) end
  return { '+', there and 0 or 1 }
end

-- No more, if the mark is this one. KEYS: 1 list. ARGV: name, mark.
local function delist(keys, args)
  if redis.call('HGET', keys[1], args[1]) == args[2] then redis.call('HDEL', keys[1], args[1]) end
  return { '+' }
end

register('attend', attend, {})
register('depart', depart, { 'allow-oom' })
register('evict', evict, { 'allow-oom' })
register('hold_seats', hold_seats, { 'allow-oom' })
register('restart_room', restart_room, { 'allow-oom' })
register('glance', glance, { 'no-writes' })
register('members', members, { 'no-writes' })
register('say', say, {})
register('claim_room', claim_room, {})
register('strike_room', strike_room, { 'allow-oom' })
register('enlist', enlist, {})
register('delist', delist, { 'allow-oom' })
