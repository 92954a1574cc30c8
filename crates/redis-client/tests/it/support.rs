//! A probe of the tests' own: it writes, reads and deletes a key, and looks whether its database is the one it asked for.

use std::sync::Arc;
use std::time::Duration;

use probe::{Check, DynCheck, DynChecks, Failure, Kind, Section, Steps};
use probe_testkit::{Outcome, run, single};
use redis_client::{Answer, Canary, Command, Redis};
use stack::redis::Redis as Server;

/// Far longer than any answer takes, so that only silence is cut.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long silence is listened to.
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

/// One check.
pub(crate) const ONE: Kind = Kind { name: "one", build: build_one };
/// A group of checks; each must find its own name under the key `where`.
pub(crate) const MANY: Kind = Kind { name: "many", build: build_many };

pub(crate) fn check(toml: &str) -> Arc<dyn DynCheck> {
    single(&ONE, "redis", toml)
}

/// A check of the plain server on this port.
pub(crate) fn check_of(server: &Server) -> Arc<dyn DynCheck> {
    check(&format!("url = 'redis://127.0.0.1:{}'", server.port()))
}

pub(crate) async fn ask(check: &Arc<dyn DynCheck>) -> Outcome {
    run(check, PATIENCE).await
}

/// The line of one failing run of a check with these settings.
pub(crate) async fn failure(toml: &str) -> String {
    ask(&check(toml)).await.line().to_owned()
}

fn build_one(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let redis = Redis::read(section.shared(), &mut fields);
    fields.single(|| Some(Ask { redis: redis?, name: None }))
}

fn build_many(section: &Section<'_>) -> Option<DynChecks> {
    section.group_by_key(|name, fields| {
        let redis = Redis::read(section.shared(), fields)?;
        Some(Ask { redis, name: Some(name.as_str().to_owned()) })
    })
}

struct Ask {
    redis: Redis,
    name: Option<String>,
}

impl Check for Ask {
    fn target(&self) -> &str {
        self.redis.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let canary = Canary::new("");
        let mut commands = vec![canary.write(), canary.read(), canary.delete()];
        let mut expected = vec![
            Answer::Text("OK".to_owned()),
            Answer::Text(canary.value().to_owned()),
            Answer::Number(1),
        ];
        if let Some(name) = &self.name {
            commands.push(Command::new("where", "GET", ["where"]));
            expected.push(Answer::Text(name.clone()));
        }
        let answers = self.redis.ask(steps, &commands).await?;
        if answers == expected {
            return Ok(());
        }
        Err(Failure::msg("judge", format!("expected {expected:?}, got {answers:?}")))
    }
}
