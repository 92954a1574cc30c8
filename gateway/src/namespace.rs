//! One namespace as it is run: its tokens, its board, and the keeper that follows its file and its secrets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::{Mutex, MutexGuard, RwLock};
use subtle::Choice;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use vault_client::Session;

use crate::config::{Authorization, Configuration};
use crate::report::Report;
use crate::runner::{ConcurrencyLimit, RunOptions, Runner};
use crate::tokens::{Digest, Tokens};

/// How long a caller with an unknown token waits for Vault to tell whether it is a new one.
const UNKNOWN_TOKEN_WAIT: Duration = Duration::from_millis(4500);

/// A check that was refused its credentials asks for new ones this often at most.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct Namespace {
    snapshot: RwLock<Arc<Snapshot>>,
    tokens: Mutex<Tokens>,
    refused: Mutex<Option<Instant>>,
    /// Asks the keeper to read the secrets again.
    pub(crate) wake: Notify,
    /// When the keeper began its last complete reading of the secrets.
    pub(crate) read: watch::Sender<Option<Instant>>,
}

/// What a configuration became.
#[derive(Debug)]
struct Snapshot {
    name: String,
    authorization: Authorization,
    failure_status: StatusCode,
    answer_timeout: Duration,
    session: Option<Arc<Session>>,
    board: Runner,
}

impl Namespace {
    /// Begins to run `configuration`.
    pub(crate) fn new(configuration: Configuration, limit: &ConcurrencyLimit) -> Self {
        let mut tokens = Tokens::default();
        if let Some(token) = &configuration.access.token {
            tokens.replace(token, Duration::ZERO);
        }
        Self {
            snapshot: RwLock::new(Arc::new(Snapshot::new(configuration, limit, None))),
            tokens: Mutex::new(tokens),
            refused: Mutex::default(),
            wake: Notify::new(),
            read: watch::Sender::new(None),
        }
    }

    /// Runs `configuration` from now on. Runs and results of unchanged components stay.
    pub(crate) fn install(&self, configuration: Configuration, limit: &ConcurrencyLimit) {
        if let Some(token) = &configuration.access.token {
            self.tokens().replace(token, configuration.access.grace);
        }
        let before = self.snapshot();
        let snapshot = Arc::new(Snapshot::new(configuration, limit, Some(&before.board)));
        *self.snapshot.write() = snapshot;
    }

    /// Ends the session with Vault, so that its token does not outlive the process.
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
        self.snapshot().failure_status
    }

    /// How long an answer may take.
    pub fn answer_timeout(&self) -> Duration {
        self.snapshot().answer_timeout
    }

    /// The names of all components, and of the checks in their groups, such as `cache.data`.
    pub(crate) fn names(&self) -> Vec<String> {
        self.snapshot().board.names()
    }

    /// Asks only what has one of these `names`.
    pub(crate) async fn ask_only(&self, names: &[String], ask: RunOptions) -> Report {
        self.snapshot().board.only(names).run(ask).await.report
    }

    /// Asks every check.
    pub async fn ask(&self, ask: RunOptions) -> Report {
        let snapshot = self.snapshot();
        let answered = snapshot.board.run(ask).await;
        if answered.refused && snapshot.session.is_some() {
            self.note_refused();
        }
        answered.report
    }

    /// Whether a caller with this token in the path, and this one in the header, may ask.
    pub(crate) fn verify(&self, path: &Digest, header: Option<&Digest>) -> Choice {
        let tokens = self.tokens();
        let header = match (self.snapshot().authorization, header) {
            (Authorization::Ignored, _) | (Authorization::Optional, None) => Choice::from(1),
            (Authorization::Required, None) => Choice::from(0),
            (_, Some(header)) => tokens.verify(header),
        };
        tokens.verify(path) & header
    }

    /// Waits until the secrets have been read again, since `asked` at the earliest; not for ever.
    pub(crate) async fn wait_for_refresh(&self, asked: Instant) {
        if self.snapshot().session.is_none() {
            return;
        }
        let mut read = self.read.subscribe();
        self.wake.notify_one();
        let again = read.wait_for(|began| began.is_some_and(|began| began >= asked));
        // Without an answer from Vault, the tokens that are known decide.
        drop(timeout(UNKNOWN_TOKEN_WAIT, again).await);
    }

    /// Waits until the secrets have been read for the first time; not for ever.
    pub(crate) async fn wait_for_first_load(&self) {
        drop(timeout(UNKNOWN_TOKEN_WAIT, self.first_load()).await);
    }

    /// Waits until the keeper has tried to read the secrets for the first time, for which it takes its own time.
    pub(crate) async fn first_load(&self) {
        if self.snapshot().session.is_some() {
            drop(self.read.subscribe().wait_for(Option::is_some).await);
        }
    }

    /// Whether any token is known yet.
    pub(crate) fn has_token(&self) -> bool {
        self.tokens().is_known()
    }

    /// Credentials that a backend refuses may have been changed in Vault a moment ago.
    fn note_refused(&self) {
        let mut refused = self.refused.lock();
        if refused.is_none_or(|last| last.elapsed() >= REFUSED_PAUSE) {
            *refused = Some(Instant::now());
            self.wake.notify_one();
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
        Self {
            name: configuration.namespace,
            authorization: configuration.access.authorization,
            failure_status: configuration.failure_status,
            answer_timeout: configuration.answer_timeout,
            session: configuration.session,
            board: Runner::new(configuration.components, limit, previous),
        }
    }
}
