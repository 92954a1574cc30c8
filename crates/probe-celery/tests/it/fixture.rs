//! A private broker with a Celery application, on either transport.

use std::collections::BTreeMap;
use std::time::Duration;

use probe::DynChecks;
use probe_celery::KIND;
use probe_testkit::{Outcome, checks, component, run};
use stack::celery::{App, Pool, Worker};
use stack::rabbit::Rabbit;
use stack::redis::Redis;

use crate::TIMEOUT;

/// The queues of the application.
pub(crate) const QUEUES: [&str; 2] = ["high_priority", "low_priority"];

/// A broker of either kind.
pub(crate) enum Broker {
    Amqp(Rabbit),
    Redis(Redis),
}

/// A broker and an application on it.
pub(crate) struct Fixture {
    pub(crate) broker: Broker,
    pub(crate) app: App,
}

impl Fixture {
    pub(crate) fn amqp() -> Self {
        let rabbit = Rabbit::start(&[]).unwrap();
        let app = App::new(&rabbit.admin_url(), "rpc://").unwrap();
        Self { broker: Broker::Amqp(rabbit), app }
    }

    pub(crate) fn redis() -> Self {
        Self::redis_with("{}")
    }

    /// An application on Redis with additional settings of Celery, as a JSON object.
    pub(crate) fn redis_with(settings: &str) -> Self {
        let redis = Redis::start(&[]).unwrap();
        let url = format!("redis://127.0.0.1:{}", redis.port());
        let app = App::with_settings(&format!("{url}/1"), &format!("{url}/2"), settings).unwrap();
        Self { broker: Broker::Redis(redis), app }
    }

    /// Starts a prefork worker with one child, on all queues.
    pub(crate) fn worker(&self, name: &str) -> Worker {
        self.app.worker(name, Pool::Prefork, &QUEUES).unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        match &self.broker {
            Broker::Amqp(rabbit) => rabbit.port(),
            Broker::Redis(redis) => redis.port(),
        }
    }

    /// The TOML of the section, with additional lines.
    pub(crate) fn section(&self, lines: &str) -> String {
        let port = self.port();
        let (broker, results) = match &self.broker {
            Broker::Amqp(rabbit) => (rabbit.admin_url(), "rpc://".to_owned()),
            Broker::Redis(_) => {
                (format!("redis://127.0.0.1:{port}/1"), format!("redis://127.0.0.1:{port}/2"))
            }
        };
        format!("broker = '{broker}'\nresult_backend = '{results}'\n{lines}")
    }

    /// The checks of the section, with additional lines.
    pub(crate) fn celery(&self, lines: &str) -> DynChecks {
        component(&KIND, "celery", &self.section(lines))
    }

    /// One run of all checks of the section, with additional lines.
    pub(crate) async fn run(&self, lines: &str) -> Outcomes {
        run_all(&self.celery(lines), TIMEOUT).await
    }
}

/// The outcome of each check.
pub(crate) struct Outcomes(BTreeMap<String, Outcome>);

impl Outcomes {
    /// The result of a check: `working`, or its line without the target.
    pub(crate) fn line(&self, name: &str) -> String {
        let line = match self.0.get(name) {
            Some(Outcome::Working) => return "working".to_owned(),
            Some(Outcome::Failed { line, .. } | Outcome::Cut { line, .. }) => line,
            None => panic!("there is no check `{name}`"),
        };
        line.rsplit_once(" (127.0.0.1:").map_or(line.as_str(), |(line, _)| line).to_owned()
    }

    #[track_caller]
    pub(crate) fn expect(&self, expected: &[(&str, &str)]) {
        let lines: Vec<_> = expected.iter().map(|(name, _)| (*name, self.line(name))).collect();
        let expected: Vec<_> =
            expected.iter().map(|(name, line)| (*name, (*line).to_owned())).collect();
        assert_eq!(lines, expected);
    }

    #[track_caller]
    pub(crate) fn expect_working(&self) {
        for (name, outcome) in &self.0 {
            assert!(outcome.is_working(), "`{name}`: {outcome:?}");
        }
    }
}

/// Runs all checks concurrently, as the gateway does.
pub(crate) async fn run_all(component: &DynChecks, deadline: Duration) -> Outcomes {
    let runs: Vec<_> = checks(component)
        .into_iter()
        .map(|(name, check)| (name, tokio::spawn(async move { run(&check, deadline).await })))
        .collect();
    let mut outcomes = BTreeMap::new();
    for (name, run) in runs {
        outcomes.insert(name, run.await.unwrap());
    }
    Outcomes(outcomes)
}
