//! The scripts of the store, each of which is one atomic step.

use redis_client::Script;

/// What every script begins with: the time of the store, and functions for numbers.
macro_rules! script {
    ($body:literal) => {
        Script::new(concat!(
            "local time = redis.call('TIME')\n",
            "local now = time[1] * 1000000 + time[2]\n",
            "local function number(value) return tonumber(value or 0) or 0 end\n",
            "local function text(value) return string.format('%.0f', value) end\n",
            $body
        ))
    };
}

/// Returns the record if it is younger than `ARGV[3]`, or else the lease for the owner `ARGV[1]`, or how long another owner holds it.
///
/// A lease lasts `ARGV[2]`. It is not given to its own owner again, so that a repeated request changes nothing.
/// If another process than `ARGV[5]` ran the check less than `ARGV[6]` ago, that is asked, through its own channel, which begins with `ARGV[8]`, to run it again, and gets the lease if it reacts within `ARGV[7]`.
/// After `ARGV[9]`, unless that is 0, the replica has stopped waiting: it gets nothing, since others would wait for its lease.
pub(super) static ACQUIRE: Script = script!(
    "local f = redis.call('HMGET', KEYS[1], 'completed', 'record', 'owner', 'until', 'fence', 'home', 'asked')
if number(ARGV[9]) > 0 and now > number(ARGV[9]) then
  return {'late', text(now), ''}
end
local age = now - number(f[1])
if f[2] and age < number(ARGV[3]) and age > -1000000 then
  return {'record', text(now), f[2]}
end
local left = f[3] and number(f[4]) - now or 0
local fence = number(f[5])
if left > 0 and f[3] ~= ARGV[1] then
  return {'held', text(now), text(left)}
end
if left <= 0 then
  if f[6] and f[6] ~= ARGV[5] and age < number(ARGV[6]) then
    local since, wait = now - number(f[7]), number(ARGV[7])
    if since < wait then
      return {'held', text(now), text(wait - since)}
    end
    if since > 10 * wait then
      redis.call('HSET', KEYS[1], 'asked', text(now))
      redis.call('PUBLISH', ARGV[8] .. ':' .. f[6], KEYS[1] .. '\\n?')
      return {'held', text(now), text(wait)}
    end
  end
  fence = math.max(fence + 1, now)
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', text(now + number(ARGV[2])), 'fence', text(fence), 'home', ARGV[5])
  redis.call('HDEL', KEYS[1], 'asked')
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return {'lease', text(now), text(fence)}"
);

/// Extends the lease `ARGV[2]` of the owner `ARGV[1]` to `ARGV[3]` from now, unless it has ended. Returns whether it has not.
pub(super) static RENEW: Script = script!(
    "local f = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'until')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] or number(f[3]) < now then
  return 0
end
redis.call('HSET', KEYS[1], 'until', text(now + number(ARGV[3])))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1"
);

/// Stores the record `ARGV[4]`, completed at `ARGV[3]`, and ends the lease `ARGV[2]` of the owner `ARGV[1]`, unless that has ended before. Returns whether it has not.
pub(super) static PUBLISH: Script = script!(
    "local f = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'until', 'published')
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
    "redis.call('HMGET', KEYS[1], 'probed')
redis.call('HSET', KEYS[1], 'probed', text(now))
redis.call('HDEL', KEYS[1], 'asked')
redis.call('PEXPIRE', KEYS[1], 10000)
redis.call('PUBLISH', ARGV[1], '')
return {'probed', text(now)}"
);
