//! One namespace as it is run: its tokens, its board, and the keeper that follows its file and its secrets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::StatusCode;
use subtle::Choice;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use vault_client::Session;

use crate::board::{Ask, Board, Gate};
use crate::config::{Authorization, Configuration};
use crate::report::Report;
use crate::tokens::{Digest, Tokens};

/// How long a caller with an unknown token waits for Vault to tell whether it is a new one.
const UNKNOWN_TOKEN_WAIT: Duration = Duration::from_millis(4500);

/// A check that was refused its credentials asks for new ones this often at most.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct Namespace {
    live: RwLock<Arc<Live>>,
    tokens: Mutex<Tokens>,
    refused: Mutex<Option<Instant>>,
    /// Asks the keeper to read the secrets again.
    pub(crate) wake: Notify,
    /// When the keeper began its last complete reading of the secrets.
    pub(crate) read: watch::Sender<Option<Instant>>,
}

/// What a configuration became.
#[derive(Debug)]
struct Live {
    name: String,
    authorization: Authorization,
    failure_status: StatusCode,
    session: Option<Arc<Session>>,
    board: Board,
}

impl Namespace {
    /// Begins to run `configuration`.
    pub(crate) fn new(configuration: Configuration, gate: &Gate) -> Self {
        let mut tokens = Tokens::default();
        if let Some(token) = &configuration.access.token {
            tokens.replace(token, Duration::ZERO);
        }
        Self {
            live: RwLock::new(Arc::new(Live::new(configuration, gate, None))),
            tokens: Mutex::new(tokens),
            refused: Mutex::default(),
            wake: Notify::new(),
            read: watch::Sender::new(None),
        }
    }

    /// Runs `configuration` from now on. Runs and results of unchanged components stay.
    pub(crate) fn install(&self, configuration: Configuration, gate: &Gate) {
        if let Some(token) = &configuration.access.token {
            self.tokens().replace(token, configuration.access.grace);
        }
        let before = self.live();
        let live = Arc::new(Live::new(configuration, gate, Some(&before.board)));
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
    }

    /// Ends the session with Vault, so that its token does not outlive the process.
    pub(crate) async fn close(&self) {
        if let Some(session) = &self.live().session {
            session.close().await;
        }
    }

    /// The namespace's name.
    pub fn name(&self) -> String {
        self.live().name.clone()
    }

    /// The status code of an answer in which something is not working.
    pub fn failure_status(&self) -> StatusCode {
        self.live().failure_status
    }

    /// The names of all components, and of the checks in their groups, such as `cache.data`.
    pub(crate) fn names(&self) -> Vec<String> {
        self.live().board.names()
    }

    /// Asks only what has one of these `names`.
    pub(crate) async fn ask_only(&self, names: &[String], ask: Ask) -> Report {
        self.live().board.only(names).ask(ask).await.report
    }

    /// Asks every check.
    pub async fn ask(&self, ask: Ask) -> Report {
        let live = self.live();
        let answered = live.board.ask(ask).await;
        if answered.refused && live.session.is_some() {
            self.note_refused();
        }
        answered.report
    }

    /// Whether a caller with this token in the path, and this one in the header, may ask.
    pub(crate) fn admit(&self, path: &Digest, header: Option<&Digest>) -> Choice {
        let tokens = self.tokens();
        let header = match (self.live().authorization, header) {
            (Authorization::Ignored, _) | (Authorization::Optional, None) => Choice::from(1),
            (Authorization::Required, None) => Choice::from(0),
            (_, Some(header)) => tokens.admit(header),
        };
        tokens.admit(path) & header
    }

    /// Waits until the secrets have been read again, since `asked` at the earliest; not for ever.
    pub(crate) async fn refreshed(&self, asked: Instant) {
        if self.live().session.is_none() {
            return;
        }
        let mut read = self.read.subscribe();
        self.wake.notify_one();
        let again = read.wait_for(|began| began.is_some_and(|began| began >= asked));
        // Without an answer from Vault, the tokens that are known decide.
        drop(timeout(UNKNOWN_TOKEN_WAIT, again).await);
    }

    /// Waits until the secrets have been read for the first time; not for ever.
    pub(crate) async fn read_once(&self) {
        drop(timeout(UNKNOWN_TOKEN_WAIT, self.tried()).await);
    }

    /// Waits until the keeper has tried to read the secrets for the first time, for which it takes its own time.
    pub(crate) async fn tried(&self) {
        if self.live().session.is_some() {
            drop(self.read.subscribe().wait_for(Option::is_some).await);
        }
    }

    /// Whether any token is known yet.
    pub(crate) fn has_token(&self) -> bool {
        self.tokens().is_known()
    }

    /// Credentials that a backend refuses may have been changed in Vault a moment ago.
    fn note_refused(&self) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.is_none_or(|last| last.elapsed() >= REFUSED_PAUSE) {
            *refused = Some(Instant::now());
            self.wake.notify_one();
        }
    }

    fn live(&self) -> Arc<Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn new(configuration: Configuration, gate: &Gate, previous: Option<&Board>) -> Self {
        Self {
            name: configuration.namespace,
            authorization: configuration.access.authorization,
            failure_status: configuration.failure_status,
            session: configuration.session,
            board: Board::new(configuration.components, gate, previous),
        }
    }
}
