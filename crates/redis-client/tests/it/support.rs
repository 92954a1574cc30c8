//! A test probe that writes, reads and deletes a key and verifies its database.

use std::sync::Arc;
use std::time::Duration;

use probe::{Check, DynCheck, DynChecks, Failure, Kind, Section, Steps};
use probe_testkit::{RunOutcome, run, single};
use redis_client::{Canary, Command, Redis, Reply};
use stack::redis::Redis as Server;

/// A deadline far beyond any response time.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// The deadline of a run that is expected to time out.
pub(crate) const SHORT_TIMEOUT: Duration = Duration::from_millis(300);

/// One check.
pub(crate) const ONE: Kind = Kind { name: "one", build: build_one };
/// A group of checks, each of which expects its own name under the key `where`.
pub(crate) const MANY: Kind = Kind { name: "many", build: build_many };

/// A check that subscribes to a channel.
pub(crate) const SUBSCRIPTION: Kind = Kind { name: "subscription", build: build_subscription };

pub(crate) fn check(toml: &str) -> Arc<dyn DynCheck> {
    single(&ONE, "redis", toml)
}

/// A check of this server, without credentials or TLS.
pub(crate) fn check_of(server: &Server) -> Arc<dyn DynCheck> {
    check(&format!("url = 'redis://127.0.0.1:{}'", server.port()))
}

/// Runs a check once.
pub(crate) async fn execute(check: &Arc<dyn DynCheck>) -> RunOutcome {
    run(check, TIMEOUT).await
}

/// Runs a check with these settings once, and returns the line of its failure.
pub(crate) async fn failure(toml: &str) -> String {
    execute(&check(toml)).await.line().to_owned()
}

fn build_one(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let redis = Redis::read(section.shared(), &mut fields);
    fields.single(|| Some(TestCheck { redis: redis?, name: None }))
}

fn build_many(section: &Section<'_>) -> Option<DynChecks> {
    section.group_by_key(|name, fields| {
        let redis = Redis::read(section.shared(), fields)?;
        Some(TestCheck { redis, name: Some(name.as_str().to_owned()) })
    })
}

fn build_subscription(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let redis = Redis::read(section.shared(), &mut fields);
    fields.single(|| Some(SubscriptionCheck(redis?)))
}

struct SubscriptionCheck(Redis);

impl Check for SubscriptionCheck {
    fn target(&self) -> &str {
        self.0.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        self.0.subscribe(steps, &["channel".to_owned()]).await.map(drop)
    }
}

struct TestCheck {
    redis: Redis,
    name: Option<String>,
}

impl Check for TestCheck {
    fn target(&self) -> &str {
        self.redis.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let commands = |canary: &Canary| {
            let mut commands = vec![canary.write(), canary.read(), canary.delete()];
            if self.name.is_some() {
                commands.push(Command::new("where", "GET", ["where"]));
            }
            commands
        };
        let verify = |canary: &Canary, replies: &[Reply]| {
            let mut expected = vec![
                Reply::Text("OK".to_owned()),
                Reply::Text(canary.value().to_owned()),
                Reply::Number(1),
            ];
            expected.extend(self.name.clone().map(Reply::Text));
            if replies == expected {
                return Ok(());
            }
            Err(Failure::msg("compare", format!("expected {expected:?}, got {replies:?}")))
        };
        self.redis.execute_canaries(steps, "", commands, verify).await
    }
}
