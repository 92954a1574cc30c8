//! A running namespace: its access tokens, and the checks of its current configuration.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::Either;
use http::StatusCode;
use parking_lot::{Mutex, MutexGuard, RwLock};
use subtle::Choice;
use tokio::task::JoinSet;
use vault_client::Session;

use crate::config::{Authorization, Configuration};
use crate::maybe_ready::MaybeReady;
use crate::overview::Overview;
use crate::refresh::RefreshHandle;
use crate::report::Report;
use crate::runner::{CheckSample, ConcurrencyLimit, RunOptions, RunReport, Runner};
use crate::share::Store;
use crate::tokens::{Digest, Tokens};

/// The minimum time between two refreshes of secrets after rejected credentials.
const REJECTED_INTERVAL: Duration = Duration::from_secs(10);

/// A namespace that serves reports. Its configuration can be replaced.
#[derive(Debug)]
pub struct Namespace {
    snapshot: RwLock<Arc<Snapshot>>,
    tokens: Mutex<Tokens>,
    /// When rejected credentials last caused a refresh.
    rejected: Mutex<Option<Instant>>,
    refresh: RefreshHandle,
    reload: Mutex<ReloadSample>,
}

/// The state of a namespace, for its metrics and for `health-gateway probe`.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceSample {
    pub(crate) name: String,
    pub(crate) checks: Vec<CheckSample>,
    pub(crate) reload: ReloadSample,
    /// Whether the store of shared results is available, once it has been used.
    pub(crate) share_store_up: Option<bool>,
}

/// The state of a namespace's files and secrets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReloadSample {
    /// Whether the current files and secrets cannot be used.
    pub(crate) is_rejected: bool,
    /// When the configuration in use was loaded.
    pub(crate) installed: SystemTime,
    /// How many secrets could not be read the last time.
    pub(crate) unreadable_secrets: usize,
}

/// The state that was built from one configuration.
#[derive(Debug)]
struct Snapshot {
    name: String,
    authorization: Authorization,
    failure_status: StatusCode,
    answer_timeout: Duration,
    session: Option<Arc<Session>>,
    store: Option<Arc<Store>>,
    runner: Runner,
}

impl Namespace {
    /// A namespace with this configuration, which requests refreshes of its secrets through `refresh`.
    pub(crate) fn new(
        configuration: Configuration,
        limit: &ConcurrencyLimit,
        refresh: RefreshHandle,
    ) -> Self {
        let mut tokens = Tokens::default();
        if let Some(token) = &configuration.access.token {
            tokens.replace(token, Duration::ZERO);
        }
        Self {
            snapshot: RwLock::new(Arc::new(Snapshot::new(configuration, limit, None))),
            tokens: Mutex::new(tokens),
            rejected: Mutex::default(),
            refresh,
            reload: Mutex::new(ReloadSample {
                is_rejected: false,
                installed: SystemTime::now(),
                unreadable_secrets: 0,
            }),
        }
    }

    /// Replaces the configuration. Unchanged components keep their runs and results.
    pub(crate) fn install(&self, configuration: Configuration, limit: &ConcurrencyLimit) {
        if let Some(token) = &configuration.access.token {
            self.tokens().replace(token, configuration.access.grace);
        }
        let previous = self.snapshot();
        let snapshot = Arc::new(Snapshot::new(configuration, limit, Some(&previous.runner)));
        *self.snapshot.write() = snapshot;
        self.reload.lock().installed = SystemTime::now();
    }

    /// Records whether the current files and secrets cannot be used, and how many secrets could not be read.
    pub(crate) fn record_reload(&self, is_rejected: bool, unreadable_secrets: usize) {
        let mut reload = self.reload.lock();
        (reload.is_rejected, reload.unreadable_secrets) = (is_rejected, unreadable_secrets);
    }

    /// The state at `now`.
    pub(crate) fn sample(&self, now: SystemTime) -> NamespaceSample {
        let snapshot = self.snapshot();
        self.sample_of(&snapshot, &snapshot.runner, now)
    }

    fn sample_of(&self, snapshot: &Snapshot, runner: &Runner, now: SystemTime) -> NamespaceSample {
        NamespaceSample {
            name: snapshot.name.clone(),
            checks: runner.samples(now),
            reload: *self.reload.lock(),
            share_store_up: snapshot.store.as_ref().and_then(|store| store.is_up()),
        }
    }

    /// The state beyond the report at `now`, for the page.
    pub(crate) fn overview(&self, now: SystemTime) -> Overview {
        let snapshot = self.snapshot();
        let reload = *self.reload.lock();
        Overview {
            namespace: snapshot.name.clone(),
            checks: snapshot.runner.overview(now),
            rejected_since: reload.is_rejected.then_some(reload.installed),
            unreadable_secrets: reload.unreadable_secrets,
            is_store_down: snapshot.store.as_ref().and_then(|store| store.is_up()) == Some(false),
        }
    }

    /// Closes the session with Vault, so that its token does not outlive the process.
    pub(crate) async fn close(&self) {
        if let Some(session) = &self.snapshot().session {
            session.close().await;
        }
    }

    /// The namespace's name.
    pub fn name(&self) -> String {
        self.snapshot().name.clone()
    }

    /// The status code of an answer in which something is not working.
    pub fn failure_status(&self) -> StatusCode {
        self.snapshot.read().failure_status
    }

    /// The time limit of an answer.
    pub fn answer_timeout(&self) -> Duration {
        self.snapshot.read().answer_timeout
    }

    /// The names of all components, and of the checks in their groups, such as `cache.data`.
    pub(crate) fn names(&self) -> Vec<String> {
        self.snapshot().runner.names()
    }

    /// Runs all checks, or `only` the components and checks with these names. Also returns the state of what ran, in the order of the report.
    pub(crate) async fn report_with_sample(
        &self,
        only: &[String],
        options: RunOptions,
    ) -> (Report, NamespaceSample) {
        let snapshot = self.snapshot();
        let part = (!only.is_empty()).then(|| snapshot.runner.only(only));
        let runner = part.as_ref().unwrap_or(&snapshot.runner);
        let report = self.finish(runner.run(options).await);
        (report, self.sample_of(&snapshot, runner, SystemTime::now()))
    }

    /// Runs every check, unless the results of the last runs may be served.
    pub fn report(self: &Arc<Self>, options: RunOptions) -> MaybeReady<Report> {
        let snapshot = self.snapshot();
        if let Some(cached) = snapshot.runner.cached(options) {
            return Either::Left(ready(self.finish(cached)));
        }
        let namespace = self.clone();
        let run = async move { namespace.finish(snapshot.runner.run_checks(options).await) };
        Either::Right(Box::pin(run))
    }

    /// Returns the report of a run, and requests a refresh if it indicates outdated credentials.
    fn finish(&self, run: RunReport) -> Report {
        if run.refused {
            self.refresh_rejected();
        }
        run.report
    }

    /// Starts the runs that are due at `now`, unless the secrets have not been read yet, and adds them to `runs`. Returns when the next run is due.
    ///
    /// A run is shared with callers. If it has none, it ends when it is removed from `runs`.
    pub(crate) fn start_due(
        self: &Arc<Self>,
        now: Instant,
        runs: &mut JoinSet<()>,
    ) -> Option<Instant> {
        let snapshot = self.snapshot();
        if snapshot.session.is_some() && !self.refresh.is_complete() {
            return None;
        }
        let (started, next) = snapshot.runner.start_due(now);
        for run in started {
            let namespace = self.clone();
            runs.spawn(async move {
                if run.result().await.is_refused() {
                    namespace.refresh_rejected();
                }
            });
        }
        next
    }

    /// Whether a request with this token in its path, and this one in its header, is authorized.
    pub(crate) fn verify(&self, path: &Digest, header: Option<&Digest>) -> Choice {
        let tokens = self.tokens();
        let header = match (self.snapshot.read().authorization, header) {
            (Authorization::Ignored, _) | (Authorization::Optional, None) => Choice::from(1),
            (Authorization::Required, None) => Choice::from(0),
            (_, Some(header)) => tokens.verify(header),
        };
        tokens.verify(path) & header
    }

    /// Requests a refresh of the secrets, and waits until one that began at `since` or later ends.
    pub(crate) async fn refresh(&self, since: Instant) {
        if self.snapshot().session.is_some() {
            self.refresh.refresh(since).await;
        }
    }

    /// Waits until the secrets have been read for the first time, or reading them has failed.
    pub(crate) async fn first_load(&self) {
        if self.snapshot().session.is_some() {
            self.refresh.first().await;
        }
    }

    /// Requests that the secrets and the files be read again.
    pub(crate) fn reload(&self) {
        self.refresh.request();
    }

    /// Whether any access token is known yet.
    pub(crate) fn has_token(&self) -> bool {
        self.tokens().is_known()
    }

    /// Requests a refresh of the secrets after a backend rejected credentials, which may have been rotated in Vault.
    fn refresh_rejected(&self) {
        if self.snapshot().session.is_none() {
            return;
        }
        let mut rejected = self.rejected.lock();
        if rejected.is_none_or(|last| last.elapsed() >= REJECTED_INTERVAL) {
            *rejected = Some(Instant::now());
            self.refresh.request();
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().clone()
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock()
    }
}

impl Snapshot {
    fn new(
        configuration: Configuration,
        limit: &ConcurrencyLimit,
        previous: Option<&Runner>,
    ) -> Self {
        let Configuration { namespace, access, components, share, .. } = configuration;
        let runner = Runner::new(&namespace, components, limit, previous);
        runner.share(&namespace, share.as_ref().zip(access.token.as_ref()));
        Self {
            authorization: access.authorization,
            failure_status: configuration.failure_status,
            answer_timeout: configuration.answer_timeout,
            session: configuration.session,
            store: share,
            runner,
            name: namespace,
        }
    }
}
