//! Checks that Redis answers and accepts writes.
//!
//! ```toml
//! [redis]
//! url = "rediss://health:${env:REDIS_PASSWORD}@sessions:6379"
//! writable = true       # false: a replica or a full server is healthy as well
//! key_prefix = "app:"   # if the user may only access the application's keys
//! connection = "kept"   # "fresh": a new connection for each run
//! # ca, certificate, private_key: PEM
//! ```
//!
//! If the server must be writable, the check writes its own key with an expiry and deletes it in the same round trip.
//! Only a real write detects all of these: full memory, a replica, a failing disk and missing replicas.
//! The user needs `+set`, `+del` and `~<key_prefix>health-gateway:*` for that, or `+ping` without writes.
//! A database other than 0 also needs `+select`.
//! A cluster answers `PING` even while it is down.
//! Without writes, the check of a cluster therefore reads a key that does not exist, which needs `+get`.
//! Each primary of a cluster gets a key of its own.

use probe::{Check, DynChecks, Failure, Grant, Kind, Section, Steps};
use redis_client::{Canary, Command, Redis};

/// The kind of section for one Redis.
pub const KIND: Kind = Kind { name: "redis", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let redis = Redis::read(section.shared(), &mut fields);
    let writable = fields.with_default("writable", true);
    let key_prefix = fields.with_default("key_prefix", String::new());
    fields.single(|| {
        let redis = redis?;
        let redis = if writable { redis } else { redis.for_reads(section.shared()) };
        Some(RedisCheck { redis, writable, key_prefix })
    })
}

struct RedisCheck {
    redis: Redis,
    writable: bool,
    key_prefix: String,
}

impl Check for RedisCheck {
    fn target(&self) -> &str {
        self.redis.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        if !self.touches_a_key() {
            return self.redis.execute(steps, &[ping()]).await.map(drop);
        }
        let commands = |canary: &Canary| self.commands(canary);
        self.redis.execute_canaries(steps, &self.key_prefix, commands, |_, _| Ok(())).await
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        if !self.touches_a_key() {
            return Ok(self.redis.grants(&[ping()], &[]));
        }
        let commands = self.commands(&Canary::new(&self.key_prefix));
        Ok(self.redis.grants(&commands, &[Canary::pattern(&self.key_prefix)]))
    }
}

impl RedisCheck {
    fn touches_a_key(&self) -> bool {
        self.writable || self.redis.is_cluster()
    }

    fn commands(&self, canary: &Canary) -> Vec<Command> {
        if self.writable { vec![canary.write(), canary.delete()] } else { vec![canary.read()] }
    }
}

/// A server that refuses writes because it cannot save refuses `PING` as well, although it still serves reads.
fn ping() -> Command {
    Command::new("ping", "PING", []).accepting("MISCONF")
}
