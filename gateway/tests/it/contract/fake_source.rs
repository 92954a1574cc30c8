//! A source of reports: fixed tokens, and a report that each test chooses.

use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gateway::http::ReportSource;
use gateway::maybe_ready::MaybeReady;
use gateway::overview::Overview;
use gateway::report::{CheckResult, ComponentResult, Report};
use gateway::runner::RunOptions;
use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// The valid tokens, as in `record.py`.
pub(super) const TOKENS: [&str; 8] =
    ["right-token", "tökén", "a+b", "with space", "100%", "semi;colon", "dot..dot", "~tilde"];

/// The `answer_timeout` of a source for which a test does not set one.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// A source and its only namespace. Clones share their state.
#[derive(Clone)]
pub(super) struct FakeSource(Arc<Inner>);

struct Inner {
    failure_status: StatusCode,
    answer_timeout: Duration,
    make_report: Box<dyn Fn() -> BoxFuture<'static, Report> + Send + Sync>,
    options: Mutex<Vec<RunOptions>>,
    peers: Mutex<Vec<IpAddr>>,
}

impl FakeSource {
    /// A source that returns [`report`].
    pub(super) fn new() -> Self {
        Self::with_report(|| async { report() })
    }

    /// A source that returns the results of `make_report`.
    pub(super) fn with_report<F>(make_report: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Report> + Send + 'static,
    {
        Self(Arc::new(Inner {
            failure_status: StatusCode::OK,
            answer_timeout: ANSWER_TIMEOUT,
            make_report: Box::new(move || make_report().boxed()),
            options: Mutex::default(),
            peers: Mutex::default(),
        }))
    }

    /// A source that returns [`report`] when it is released.
    ///
    /// The first semaphore gets a permit for each report that starts, and each permit of the second one releases a report.
    pub(super) fn held() -> (Self, Arc<Semaphore>, Arc<Semaphore>) {
        let (started, release) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (starting, releasing) = (started.clone(), release.clone());
        let source = Self::with_report(move || {
            let (started, release) = (starting.clone(), releasing.clone());
            async move {
                started.add_permits(1);
                release.acquire().await.expect("it stays open").forget();
                report()
            }
        });
        (source, started, release)
    }

    /// Sets the status code of a report with a failure.
    pub(super) fn with_failure_status(mut self, status: StatusCode) -> Self {
        self.inner_mut().failure_status = status;
        self
    }

    /// Sets the time that an answer may take.
    pub(super) fn with_answer_timeout(mut self, timeout: Duration) -> Self {
        self.inner_mut().answer_timeout = timeout;
        self
    }

    fn inner_mut(&mut self) -> &mut Inner {
        Arc::get_mut(&mut self.0).expect("it is changed before it is shared")
    }

    /// The options of each report so far.
    pub(super) fn options(&self) -> Vec<RunOptions> {
        self.0.options.lock().clone()
    }

    /// The peer of each token so far, right or wrong.
    pub(super) fn peers(&self) -> Vec<IpAddr> {
        self.0.peers.lock().clone()
    }
}

impl ReportSource for FakeSource {
    type Namespace = Self;

    fn authorize(
        self: &Arc<Self>,
        token: &str,
        credential: Option<&[u8]>,
        peer: IpAddr,
    ) -> MaybeReady<Option<Self>> {
        self.0.peers.lock().push(peer);
        let agreed = credential.is_none_or(|credential| credential == token.as_bytes());
        let namespace = (TOKENS.contains(&token) && agreed).then(|| Self::clone(self));
        MaybeReady::Left(ready(namespace))
    }

    fn name(_: &Self) -> String {
        "the-namespace".to_owned()
    }

    fn failure_status(namespace: &Self) -> StatusCode {
        namespace.0.failure_status
    }

    fn answer_timeout(namespace: &Self) -> Duration {
        namespace.0.answer_timeout
    }

    fn report(namespace: &Self, options: RunOptions) -> MaybeReady<Report> {
        namespace.0.options.lock().push(options);
        MaybeReady::Right(Box::pin((namespace.0.make_report)()))
    }

    fn overview(_: &Self) -> Overview {
        Overview::default()
    }
}

/// The report of `record.py`.
pub(super) fn report() -> Report {
    let result = |status: &str, microseconds| CheckResult {
        status: status.to_owned(),
        response_time: Duration::from_micros(microseconds),
    };
    let name = |name| probe::CheckName::new(name).expect("a name");
    let odd = "read: \"größe\"\t<b> \\ \u{1}\u{7f}\u{2028}\u{2029}";
    let cache =
        vec![(name("data"), result("working", 412)), (name("pages"), result(odd, 3_000_000))];
    let postgres = result("connect: connection refused (db:5432)", 100_000);
    let components = vec![
        ("cache".to_owned(), ComponentResult::Group(cache)),
        ("s3".to_owned(), ComponentResult::Group(vec![])),
        ("postgres".to_owned(), ComponentResult::Single(postgres)),
    ];
    Report { components: Arc::new(components.into()), age: None, has_critical_failure: true }
}
