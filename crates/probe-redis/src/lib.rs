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

use probe::{Check, DynChecks, Failure, Grant, Kind, Section, Steps};
use redis_client::{Canary, Command, Redis};

/// The kind of section for one Redis.
pub const KIND: Kind = Kind { name: "redis", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let redis = Redis::read(section.shared(), &mut fields);
    let writable = fields.with_default("writable", true);
    let key_prefix = fields.with_default("key_prefix", String::new());
    fields.single(|| Some(RedisCheck { redis: redis?, writable, key_prefix }))
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
        self.redis.execute(steps, &self.commands()).await.map(drop)
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        let touches_a_key = self.writable || self.redis.is_cluster();
        let key = touches_a_key.then(|| Canary::pattern(&self.key_prefix));
        Ok(self.redis.grants(&self.commands(), key.as_slice()))
    }
}

impl RedisCheck {
    fn commands(&self) -> Vec<Command> {
        let canary = Canary::new(&self.key_prefix);
        match (self.writable, self.redis.is_cluster()) {
            (true, _) => vec![canary.write(), canary.delete()],
            (false, true) => vec![canary.read()],
            (false, false) => vec![Command::new("ping", "PING", [])],
        }
    }
}
