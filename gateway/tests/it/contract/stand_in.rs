//! What stands behind the face in these tests: tokens that are known, and a report that a test decides.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gateway::http::Authority;
use gateway::report::{CheckResult, ComponentResult, Report};
use gateway::runner::RunOptions;
use http::StatusCode;
use tokio::sync::Semaphore;

/// The tokens that are right, as in `record.py`.
pub(super) const TOKENS: [&str; 8] =
    ["right-token", "tökén", "a+b", "with space", "100%", "semi;colon", "dot..dot", "~tilde"];

/// A namespace and its authority in one; clones are the same one.
#[derive(Clone)]
pub(super) struct StandIn(Arc<Inner>);

struct Inner {
    failure_status: StatusCode,
    answer: Box<dyn Fn() -> BoxFuture<'static, Report> + Send + Sync>,
    asked: Mutex<Vec<RunOptions>>,
    peers: Mutex<Vec<IpAddr>>,
}

impl StandIn {
    /// Answers with [`report`].
    pub(super) fn reporting() -> Self {
        Self::answering(|| async { report() })
    }

    /// Answers with what `answer` makes.
    pub(super) fn answering<F>(answer: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Report> + Send + 'static,
    {
        Self::with_status(StatusCode::OK, answer)
    }

    /// Answers with [`report`] when it is let go; the semaphores tell of each answer that is begun, and let one go for each permit.
    pub(super) fn held() -> (Self, Arc<Semaphore>, Arc<Semaphore>) {
        let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (beginning, going) = (begun.clone(), go.clone());
        let stand_in = Self::answering(move || {
            let (begun, go) = (beginning.clone(), going.clone());
            async move {
                begun.add_permits(1);
                go.acquire().await.expect("it stays open").forget();
                report()
            }
        });
        (stand_in, begun, go)
    }

    /// Answers likewise, with a status code of its own if something is not working.
    pub(super) fn with_status<F>(
        failure_status: StatusCode,
        answer: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Report> + Send + 'static,
    {
        Self(Arc::new(Inner {
            failure_status,
            answer: Box::new(move || answer().boxed()),
            asked: Mutex::default(),
            peers: Mutex::default(),
        }))
    }

    /// What has been asked for so far.
    pub(super) fn asked(&self) -> Vec<RunOptions> {
        self.0.asked.lock().expect("no test panics here").clone()
    }

    /// Who has asked so far, with whatever token.
    pub(super) fn peers(&self) -> Vec<IpAddr> {
        self.0.peers.lock().expect("no test panics here").clone()
    }
}

impl Authority for StandIn {
    type Namespace = Self;

    async fn authorize(&self, token: &str, header: Option<&[u8]>, peer: IpAddr) -> Option<Self> {
        self.0.peers.lock().expect("no test panics here").push(peer);
        let agreed = header.is_none_or(|header| header == token.as_bytes());
        (TOKENS.contains(&token) && agreed).then(|| self.clone())
    }

    fn name(_: &Self) -> String {
        "the-namespace".to_owned()
    }

    fn failure_status(namespace: &Self) -> StatusCode {
        namespace.0.failure_status
    }

    async fn ask(namespace: &Self, ask: RunOptions) -> Report {
        namespace.0.asked.lock().expect("no test panics here").push(ask);
        (namespace.0.answer)().await
    }
}

/// The report of `record.py`.
pub(super) fn report() -> Report {
    let line = |status: &str, microseconds| CheckResult {
        status: status.to_owned(),
        response_time: Duration::from_micros(microseconds),
    };
    let name = |name| probe::CheckName::new(name).expect("a name");
    let odd = "read: \"größe\"\t<b> \\ \u{1}\u{7f}\u{2028}\u{2029}";
    let cache = vec![(name("data"), line("working", 412)), (name("pages"), line(odd, 3_000_000))];
    let postgres = line("connect: connection refused (db:5432)", 100_000);
    let components = vec![
        ("cache".to_owned(), ComponentResult::Group(cache)),
        ("s3".to_owned(), ComponentResult::Group(vec![])),
        ("postgres".to_owned(), ComponentResult::Single(postgres)),
    ];
    Report { components: Arc::new(components.into()), age: None }
}
