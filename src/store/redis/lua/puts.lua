-- Plain puts: of one key, without an expiry or a request id, in a store where nothing expires and
-- that is not watched, as most are. The same as `write` with the fewest calls and strings, which
-- are what a put costs. They return a revision or a refusal for each put; nil if the store is not
-- such, and 0 if it does not exist: then nothing was done.

-- Checks a put. Returns a refusal, or nil and the store's bytes with it.
local function check_put(s, key, value, old, wanted)
  local refused = wanted and check({ revision = old and header(old) }, wanted)
  if refused then return refused end
  local all = s.bytes + #value
  if old then
    all = all + 9 - #old
  else
    all = all + #key + OVERHEAD
    s.count = s.count or count(s)
    if s.count >= tonumber(s.most_keys) then
      return { '!', 'keys', string.format('%.0f', s.count) }
    end
  end
  if all > s.most_bytes then
    local bytes = #key + #value + OVERHEAD
    return { '!', 'bytes', string.format('%.0f', bytes), string.format('%.0f', all) }
  end
  return nil, all
end

-- KEYS: 1 entries, 2 order.
-- ARGV: key, value, flags as a byte, maximum bytes, maximum keys, if_revision if given.
local function put(keys, args)
  local key, value = args[1], args[2]
  local found = redis.call('HMGET', keys[1], '', key)
  local record, old = found[1], found[2]
  if not record then return 0 end
  if #record ~= PLAIN_BYTES then return false end
  local epoch, revision, bytes, deadline = struct.unpack(PLAIN_RECORD, record)
  local all = bytes + #value
  if old and not args[6] then
    all = all + 9 - #old
  end
  if not old or args[6] or all > tonumber(args[4]) then
    local s = { keys = keys, bytes = bytes, most_bytes = tonumber(args[4]), most_keys = args[5] }
    local refused
    refused, all = check_put(s, key, value, old, args[6])
    if refused then return refused end
  end
  revision = revision + 1
  redis.call('HSET', keys[1], '', struct.pack(PLAIN_RECORD, epoch, revision, all, deadline),
    key, args[3] .. struct.pack('<I8', revision) .. value)
  if not old then
    redis.call('ZADD', keys[2], 0, key)
    if bytes == 0 then made({ deadline = deadline }, keys[2]) end
  end
  return revision
end

-- Several puts, each as if it were alone. ARGV: maximum bytes, maximum keys, then for each put:
-- key, value, flags as a byte, if_revision or ''.
local function puts(keys, args)
  local fetch = { 'HMGET', keys[1], '' }
  for at = 3, #args, 4 do fetch[#fetch + 1] = args[at] end
  local found = redis.call(unpack(fetch))
  local record = found[1]
  if not record then return 0 end
  if #record ~= PLAIN_BYTES then return false end
  local s = { keys = keys, most_bytes = tonumber(args[1]), most_keys = args[2] }
  local epoch, revision, bytes, deadline = struct.unpack(PLAIN_RECORD, record)
  local empty = bytes == 0
  s.bytes = bytes
  local reply, view, write, new = {}, {}, { 'HSET', keys[1], '', '' }, { 'ZADD', keys[2] }
  for at = 3, #args, 4 do
    local key, value, wanted, number = args[at], args[at + 1], args[at + 3], (at + 1) / 4
    local old = view[key] or found[number + 1]
    local refused, all = check_put(s, key, value, old, wanted ~= '' and wanted)
    if refused then
      reply[number] = refused
    else
      revision, s.bytes = revision + 1, all
      local entry = args[at + 2] .. struct.pack('<I8', revision) .. value
      view[key] = entry
      write[#write + 1] = key
      write[#write + 1] = entry
      if not old then
        new[#new + 1] = 0
        new[#new + 1] = key
        s.count = s.count + 1
      end
      reply[number] = revision
    end
  end
  if #write > 4 then
    write[4] = struct.pack(PLAIN_RECORD, epoch, revision, s.bytes, deadline)
    redis.call(unpack(write))
  end
  if #new > 2 then
    redis.call(unpack(new))
    if empty then made({ deadline = deadline }, keys[2]) end
  end
  return reply
end

register('put', put, {})
register('puts', puts, {})
