//! The scripts of the store, each of which is one atomic step.

use redis_client::Script;

/// What every script begins with: the time of the store, and functions for numbers and for the fields of the key.
///
/// Other clients may have written anything to the key.
/// A number that is more than a day ahead of the store is read as 0, since the number of the next lease would not be greater.
/// A key that is no hash is removed (an expiry of 0 needs no further permission), since nothing else would ever replace it.
macro_rules! script {
    ($body:literal) => {
        Script::new(concat!(
            "local time = redis.call('TIME')\n",
            "local now = time[1] * 1000000 + time[2]\n",
            "local function number(value)\n",
            "  value = tonumber(value or 0) or 0\n",
            "  return value >= 0 and value < now + 86400000000 and value or 0\n",
            "end\n",
            "local function text(value) return string.format('%.0f', value) end\n",
            "local function fields(...)\n",
            "  local found = redis.pcall('HMGET', KEYS[1], ...)\n",
            "  if found.err and string.find(found.err, 'WRONGTYPE', 1, true) then\n",
            "    redis.call('PEXPIRE', KEYS[1], 0)\n",
            "  elseif not found.err then\n",
            "    return found\n",
            "  end\n",
            "  return redis.call('HMGET', KEYS[1], ...)\n",
            "end\n",
            $body
        ))
    };
}

/// Returns the record if it is younger than `ARGV[3]` and has at most `ARGV[10]` bytes, or else the lease for the owner `ARGV[1]`, or how long another owner holds it.
///
/// A lease lasts `ARGV[2]`. It is not given to its own owner again, so that a repeated request changes nothing. One that lasts more than twice as long has ended: it is from before the clock was set back, or from no replica.
/// Its number is greater than `ARGV[11]`, the highest that the replica knows, which this server may not: after a failover, its clock may be behind, and the key may be lost.
/// If another process than `ARGV[5]` ran the check less than `ARGV[6]` ago, that is asked, through its own channel, which begins with `ARGV[8]`, to run it again, and gets the lease if it reacts within `ARGV[7]`.
/// It is not asked if the replica knows a higher number than the key has: the other process may not know that number, and the replica would ignore its result.
/// After `ARGV[9]`, unless that is 0, the replica has stopped waiting: it gets nothing, since others would wait for its lease.
pub(super) static ACQUIRE: Script = script!(
    "local f = fields('completed', 'record', 'owner', 'until', 'fence', 'home', 'asked')
if tonumber(ARGV[9]) > 0 and now > tonumber(ARGV[9]) then
  return {'late', text(now), ''}
end
local age, max_age = now - number(f[1]), tonumber(ARGV[3])
if f[2] and #f[2] <= tonumber(ARGV[10]) and max_age > 0 and age < max_age and age > -1000000 then
  return {'record', text(now), f[2]}
end
local left = f[3] and number(f[4]) - now or 0
if left > 2 * ARGV[2] then
  left = 0
end
local fence, known = number(f[5]), tonumber(ARGV[11])
if left > 0 and f[3] ~= ARGV[1] then
  return {'held', text(now), text(left)}
end
if left <= 0 then
  if f[6] and f[6] ~= ARGV[5] and age < tonumber(ARGV[6]) and fence >= known then
    local since, wait = now - number(f[7]), tonumber(ARGV[7])
    if since < 0 or since > 10 * wait then
      redis.call('HSET', KEYS[1], 'asked', text(now))
      redis.call('PUBLISH', ARGV[8] .. ':' .. f[6], KEYS[1] .. '\\n?')
      return {'held', text(now), text(wait)}
    end
    if since < wait then
      return {'held', text(now), text(wait - since)}
    end
  end
  fence = math.max(fence + 1, known + 1, now)
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', text(now + tonumber(ARGV[2])), 'fence', text(fence), 'home', ARGV[5])
  redis.call('HDEL', KEYS[1], 'asked')
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return {'lease', text(now), text(fence)}"
);

/// Extends the lease `ARGV[2]` of the owner `ARGV[1]` to `ARGV[3]` from now, unless it has ended. Returns whether it has not.
pub(super) static RENEW: Script = script!(
    "local f = fields('owner', 'fence', 'until')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] or number(f[3]) < now then
  return 0
end
redis.call('HSET', KEYS[1], 'until', text(now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1"
);

/// Stores the record `ARGV[4]`, completed at `ARGV[3]`, and ends the lease `ARGV[2]` of the owner `ARGV[1]`, unless that has ended before. Returns whether it has not.
pub(super) static PUBLISH: Script = script!(
    "local f = fields('owner', 'fence', 'until', 'published')
if f[4] == ARGV[2] then
  return 1
end
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] or number(f[3]) < now then
  return 0
end
redis.call('HSET', KEYS[1], 'completed', ARGV[3], 'record', ARGV[4], 'published', ARGV[2])
redis.call('HDEL', KEYS[1], 'owner', 'until')
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PUBLISH', ARGV[6], KEYS[1] .. '\\n' .. ARGV[4])
return 1"
);

/// Uses every command that the others use, so that a store that refuses one is noticed. Returns the store's time.
pub(super) static PROBE: Script = script!(
    "fields('probed')
redis.call('HSET', KEYS[1], 'probed', text(now))
redis.call('HDEL', KEYS[1], 'asked')
redis.call('PEXPIRE', KEYS[1], 10000)
redis.call('PUBLISH', ARGV[1], '')
return {'probed', text(now)}"
);
