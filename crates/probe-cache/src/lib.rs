//! Asks each cache alias to keep, return and forget a value, as the application's cache does.
//!
//! ```toml
//! [cache]
//! data = "redis://cache:6379/1"
//!
//! [cache.pages]
//! url = "rediss://health:${env:REDIS_PASSWORD}@cache:6379/2"
//! key_prefix = ":1:"    # where the user may only touch keys of the application
//! connection = "kept"   # "fresh": a new connection for each run
//! # ca, certificate, private_key: PEM
//! ```
//!
//! The key is `<key_prefix>health-gateway:<random>`; it is written with an expiry, read and removed in one round trip.
//! The user needs `+set`, `+get`, `+del` and that key pattern, with a database other than 0 also `+select`.

use probe::{Check, DynChecks, Failure, Grant, Kind, Section, Steps};
use redis_client::{Answer, Canary, Command, Redis};

/// The kind of section that holds caches, each under its alias.
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
        let canary = Canary::new(&self.key_prefix);
        let answers = self.redis.ask(steps, &commands(&canary)).await?;
        judge(&answers, canary.value())
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        let commands = commands(&Canary::new(&self.key_prefix));
        Ok(self.redis.grants(&commands, &[Canary::pattern(&self.key_prefix)]))
    }
}

fn commands(canary: &Canary) -> [Command; 3] {
    [canary.write(), canary.read(), canary.delete()]
}

/// Whether the cache gave back what it was given and then removed it.
fn judge(answers: &[Answer], written: &str) -> Result<(), Failure> {
    match answers {
        [_, Answer::Text(read), Answer::Number(1)] if read == written => Ok(()),
        [_, Answer::Nil, _] => Err(Failure::msg("read", "the value that was just written is gone")),
        [_, Answer::Text(read), _] if read == written => {
            Err(Failure::msg("delete", "the value was gone before it could be deleted"))
        }
        _ => Err(Failure::msg("read", "another value came back than was written")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(read: Answer, removed: i64, expected: &str) {
        let answers = [Answer::Text("OK".into()), read, Answer::Number(removed)];
        let line =
            judge(&answers, "v").map_or_else(|failure| failure.render(""), |()| String::new());
        assert_eq!(line, expected);
    }

    #[test]
    fn a_cache_that_forgets_is_not_one_that_confuses() {
        check(Answer::Text("v".into()), 1, "");
        check(Answer::Nil, 0, "read: the value that was just written is gone");
        check(Answer::Text("w".into()), 1, "read: another value came back than was written");
        check(Answer::Text("v".into()), 0, "delete: the value was gone before it could be deleted");
    }
}
