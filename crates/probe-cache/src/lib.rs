//! Checks that each cache alias stores, returns and deletes a value.
//!
//! ```toml
//! [cache]
//! data = "redis://cache:6379/1"
//!
//! [cache.pages]
//! url = "rediss://health:${env:REDIS_PASSWORD}@cache:6379/2"
//! key_prefix = ":1:"    # if the user may only access the application's keys
//! connection = "kept"   # "fresh": a new connection for each run
//! # ca, certificate, private_key: PEM
//! ```
//!
//! The key is `<key_prefix>health-gateway:<random>`. It is written with an expiry, read and deleted in one round trip, in a cluster on each primary.
//! The user needs `+set`, `+get`, `+del` and the pattern of that key. A database other than 0 also needs `+select`.

use probe::{Check, DynChecks, Failure, Grant, Kind, Section, Steps};
use redis_client::{Canary, Command, Redis, Reply};

/// The kind of section for a group of caches, each under its alias.
pub const KIND: Kind = Kind { name: "cache", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    section.group_by_key(|_, fields| {
        let redis = Redis::read(section.shared(), fields);
        let key_prefix = fields.with_default("key_prefix", String::new());
        Some(CacheCheck { redis: redis?, key_prefix })
    })
}

struct CacheCheck {
    redis: Redis,
    key_prefix: String,
}

impl Check for CacheCheck {
    fn target(&self) -> &str {
        self.redis.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let verify = |canary: &Canary, replies: &[Reply]| verify(replies, canary.value());
        self.redis.execute_canaries(steps, &self.key_prefix, commands, verify).await
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        let commands = commands(&Canary::new(&self.key_prefix));
        Ok(self.redis.grants(&commands, &[Canary::pattern(&self.key_prefix)]))
    }
}

fn commands(canary: &Canary) -> Vec<Command> {
    vec![canary.write(), canary.read(), canary.delete()]
}

/// Verifies that the cache returned the written value, and then deleted it.
fn verify(replies: &[Reply], written: &str) -> Result<(), Failure> {
    match replies {
        [_, Reply::Text(read), Reply::Number(1)] if read == written => Ok(()),
        [_, Reply::Nil, _] => Err(Failure::msg("read", "the value that was just written is gone")),
        [_, Reply::Text(read), _] if read == written => {
            Err(Failure::msg("delete", "the value was gone before it could be deleted"))
        }
        _ => Err(Failure::msg("read", "the cache returned a value other than the one written")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(read: Reply, removed: i64, expected: &str) {
        let replies = [Reply::Text("OK".into()), read, Reply::Number(removed)];
        let line =
            verify(&replies, "v").map_or_else(|failure| failure.render(""), |()| String::new());
        assert_eq!(line, expected);
    }

    #[test]
    fn a_lost_value_and_a_wrong_value_are_distinguished() {
        check(Reply::Text("v".into()), 1, "");
        check(Reply::Nil, 0, "read: the value that was just written is gone");
        check(
            Reply::Text("w".into()),
            1,
            "read: the cache returned a value other than the one written",
        );
        check(Reply::Text("v".into()), 0, "delete: the value was gone before it could be deleted");
    }
}
