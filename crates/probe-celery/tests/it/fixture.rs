//! A broker with a Celery application, on either transport.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use probe::DynChecks;
use probe_celery::KIND;
use probe_testkit::{RunOutcome, checks, component, run};
use stack::celery::{App, Pool, Release, Worker};
use stack::rabbit::{ADMIN_PASSWORD, ADMIN_USER, Rabbit};
use stack::redis::Redis;
use tokio::sync::Mutex;

use crate::TIMEOUT;

/// The queues of the application.
pub(crate) const QUEUES: [&str; 2] = ["high_priority", "low_priority"];

/// A broker of either kind.
pub(crate) enum Broker {
    Amqp(Rabbit),
    /// A virtual host of a server that other tests use as well.
    Shared(Arc<Rabbit>),
    Redis(Redis),
}

/// A broker and an application on it.
pub(crate) struct Fixture {
    pub(crate) broker: Broker,
    pub(crate) app: App,
    pub(crate) broker_url: String,
    pub(crate) result_backend: String,
}

/// The server of [`Fixture::amqp`], while a test uses it, and the number of its virtual hosts.
static SHARED: Mutex<(Weak<Rabbit>, usize)> = Mutex::const_new((Weak::new(), 0));
/// How many virtual hosts a shared server has.
const VIRTUAL_HOSTS: usize = 16;

impl Fixture {
    /// An application on a virtual host of its own, on a server that stays healthy.
    pub(crate) async fn amqp() -> Self {
        Self::amqp_with("{}").await
    }

    /// The same with additional settings of Celery, as a JSON object.
    pub(crate) async fn amqp_with(settings: &str) -> Self {
        let mut shared = SHARED.lock().await;
        let (server, number) = &mut *shared;
        let rabbit = server.upgrade().filter(|_| *number < VIRTUAL_HOSTS).unwrap_or_else(|| {
            *number = 0;
            let rabbit = Arc::new(Rabbit::start(&[]).unwrap());
            let add = format!(
                "[begin \
                     Host = list_to_binary(\"test\" ++ integer_to_list(N)), \
                     rabbit_vhost:add(Host, <<\"test\">>), \
                     rabbit_auth_backend_internal:set_permissions(<<\"{ADMIN_USER}\">>, Host, \
                         <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"test\">>) \
                 end || N <- lists:seq(1, {VIRTUAL_HOSTS})], ok."
            );
            assert_eq!(rabbit.ctl(&["eval", &add]).unwrap(), "ok");
            *server = Arc::downgrade(&rabbit);
            rabbit
        });
        *number += 1;
        let port = rabbit.port();
        let url = format!("amqp://{ADMIN_USER}:{ADMIN_PASSWORD}@127.0.0.1:{port}/test{number}");
        Self::new(Release::Current, Broker::Shared(rabbit), url, "rpc://".to_owned(), settings)
    }

    /// An application on a server of its own.
    pub(crate) fn private_amqp() -> Self {
        Self::private_amqp_with(&[])
    }

    /// The same with further lines of `rabbitmq.conf`.
    pub(crate) fn private_amqp_with(settings: &[&str]) -> Self {
        let rabbit = Rabbit::start(settings).unwrap();
        let url = rabbit.admin_url();
        Self::new(Release::Current, Broker::Amqp(rabbit), url, "rpc://".to_owned(), "{}")
    }

    pub(crate) fn redis() -> Self {
        Self::redis_with("{}")
    }

    /// An application on Redis with additional settings of Celery, as a JSON object.
    pub(crate) fn redis_with(settings: &str) -> Self {
        let redis = Redis::start(&[]).unwrap();
        let url = |database| format!("redis://127.0.0.1:{}/{database}", redis.port());
        let (broker, results) = (url(1), url(2));
        Self::new(Release::Current, Broker::Redis(redis), broker, results, settings)
    }

    /// An application with these URLs, which also are those of the section.
    pub(crate) fn new(
        release: Release,
        broker: Broker,
        broker_url: String,
        result_backend: String,
        settings: &str,
    ) -> Self {
        let app = App::of_release(release, &broker_url, &result_backend, settings).unwrap();
        Self { broker, app, broker_url, result_backend }
    }

    /// Starts a prefork worker with one child, on all queues.
    pub(crate) fn worker(&self, name: &str) -> Worker {
        self.app.worker(name, Pool::Prefork, &QUEUES).unwrap()
    }

    /// The Redis; panics on another transport.
    pub(crate) fn server(&self) -> &Redis {
        let Broker::Redis(redis) = &self.broker else { panic!("expected a Redis") };
        redis
    }

    /// The private `RabbitMQ`; panics with another broker.
    pub(crate) fn rabbit(&self) -> &Rabbit {
        let Broker::Amqp(rabbit) = &self.broker else { panic!("expected a private RabbitMQ") };
        rabbit
    }

    pub(crate) fn is_redis(&self) -> bool {
        matches!(self.broker, Broker::Redis(_))
    }

    pub(crate) fn port(&self) -> u16 {
        match &self.broker {
            Broker::Amqp(rabbit) => rabbit.port(),
            Broker::Shared(rabbit) => rabbit.port(),
            Broker::Redis(redis) => redis.port(),
        }
    }

    /// The TOML of the section, with additional lines.
    pub(crate) fn section(&self, lines: &str) -> String {
        let Self { broker_url, result_backend, .. } = self;
        format!("broker = '{broker_url}'\nresult_backend = '{result_backend}'\n{lines}")
    }

    /// The checks of the section, with additional lines.
    pub(crate) fn celery(&self, lines: &str) -> DynChecks {
        component(&KIND, "celery", &self.section(lines))
    }

    /// One run of all checks of the section, with additional lines.
    pub(crate) async fn run(&self, lines: &str) -> Outcomes {
        run_all(&self.celery(lines), TIMEOUT).await
    }

    /// Waits until the workers have taken every message from the queues.
    pub(crate) async fn wait_until_empty(&self) {
        let celery = self.celery(
            "max_messages = 0\nmax_silent = 9\nqueues = ['high_priority', 'low_priority']\n",
        );
        let started = Instant::now();
        while !run_all(&celery, TIMEOUT).await.all_working() {
            assert!(started.elapsed() < Duration::from_mins(1), "messages remain");
        }
    }
}

/// The outcome of each check.
pub(crate) struct Outcomes(BTreeMap<String, RunOutcome>);

impl Outcomes {
    /// The result of a check: `working`, or its line without the target.
    pub(crate) fn line(&self, name: &str) -> String {
        let line = match self.0.get(name) {
            Some(RunOutcome::Working) => return "working".to_owned(),
            Some(RunOutcome::Failed { line, .. } | RunOutcome::TimedOut { line, .. }) => line,
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

    pub(crate) fn all_working(&self) -> bool {
        self.0.values().all(RunOutcome::is_working)
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
