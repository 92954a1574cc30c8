//! Reloads a namespace when its configuration file, a referenced file or a secret changes.

use std::collections::BTreeMap;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probe::{Failure, SharedResources, Steps};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, sleep_until, timeout};
use vault_client::{Session, Values};

use crate::blocking::{self, READ_TIMEOUT};
use crate::config::{ConfigError, Configuration, Document, LoadContext, SecretCache, read_bounded};
use crate::file_events::{FileEvents, WATCHED_INTERVAL};
use crate::namespace::Namespace;
use crate::refresh::RefreshHandle;
use crate::registry::Registry;
use crate::runner::ConcurrencyLimit;

/// How often files are compared of which a change may not be reported.
const FILE_INTERVAL: Duration = Duration::from_secs(1);
/// How often secrets are read.
const SECRET_INTERVAL: Duration = Duration::from_secs(30);
/// How often secrets are read while some are unreadable.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// The minimum time between two refreshes, however many requests arrive.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// How long one refresh may take.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest delay of the first login to Vault of a gateway that shares results, so that a thousand that start together do not log in together.
const LOGIN_JITTER: Duration = Duration::from_secs(5);

/// Follows the files and the secrets of one namespace.
pub(crate) struct Reloader {
    file: SharedPath,
    active: Arc<Source>,
    rejected: Option<Rejected>,
    /// Why the active file cannot be used with the current secrets.
    rejected_secrets: Option<String>,
    /// A comparison of files that did not end in time.
    overdue: Option<JoinHandle<Comparison>>,
    /// Whether every change of the files that were compared last is reported.
    is_watched: bool,
    refresh: RefreshHandle,
    context: ReloadContext,
}

/// The path of a namespace's file, which may be renamed.
pub(crate) type SharedPath = Arc<Mutex<PathBuf>>;

/// What the reloaders of all namespaces share.
#[derive(Clone, Debug)]
pub(crate) struct ReloadContext {
    pub(crate) registry: Arc<Registry>,
    pub(crate) limit: ConcurrencyLimit,
    pub(crate) shared: Arc<SharedResources>,
    pub(crate) file_events: FileEvents,
    /// Notified when other checks than before may have to run without a caller.
    pub(crate) schedules_changed: Arc<Notify>,
    /// Whether the checks run without regard to other replicas.
    pub(crate) is_alone: bool,
}

impl ReloadContext {
    /// Must be called within a runtime.
    pub(crate) fn new(is_alone: bool) -> Self {
        Self {
            registry: Arc::default(),
            limit: ConcurrencyLimit::default(),
            shared: Arc::default(),
            file_events: FileEvents::start(),
            schedules_changed: Arc::default(),
            is_alone,
        }
    }

    fn build(&self, source: &Source) -> Result<Configuration, ConfigError> {
        let mut configuration = source.build(&self.shared)?;
        if self.is_alone {
            configuration.share = None;
        }
        Ok(configuration)
    }
}

/// A file that was read for the first time.
pub(crate) struct Loaded {
    file: PathBuf,
    source: Source,
    configuration: Configuration,
}

impl Loaded {
    /// Reads `file`, without any secrets from Vault. Blocks on file I/O.
    pub(crate) fn read(file: &Path, context: &ReloadContext) -> Result<Self, ConfigError> {
        let source = Source::new(Document::open(file)?, &context.shared);
        let configuration = context.build(&source)?;
        Ok(Self { file: file.to_owned(), source, configuration })
    }

    /// The name of the namespace.
    pub(crate) fn name(&self) -> &str {
        &self.configuration.namespace
    }
}

/// A change that could not be used. It is retried when its files or its secrets change.
struct Rejected {
    source: Arc<Source>,
    diagnostics: String,
}

/// What a configuration is built from: a file, the files that it refers to, and secrets from Vault.
#[derive(Clone)]
struct Source {
    document: Arc<Document>,
    session: Option<Arc<Session>>,
    secrets: SecretCache,
    /// The secrets that could not be read the last time, and why.
    unreadable: BTreeMap<String, String>,
}

/// How the files on disk compare with the sources.
enum FileState {
    Active,
    Rejected,
    Changed(Source),
}

impl Reloader {
    /// Creates a namespace from a file, unless another file has the same namespace or token.
    pub(crate) fn open(
        loaded: Loaded,
        context: &ReloadContext,
    ) -> Result<(Self, Namespace), ConfigError> {
        let Loaded { file, source, configuration } = loaded;
        context.registry.claim(&file, &configuration)?;
        log_notes(&configuration);
        let refresh = RefreshHandle::default();
        let namespace = Namespace::new(configuration, &context.limit, refresh.clone());
        let reloader = Self {
            file: Arc::new(Mutex::new(file)),
            active: Arc::new(source),
            rejected: None,
            rejected_secrets: None,
            overdue: None,
            is_watched: false,
            refresh,
            context: context.clone(),
        };
        Ok((reloader, namespace))
    }

    /// The path of its file.
    pub(crate) fn file(&self) -> SharedPath {
        self.file.clone()
    }

    /// Follows the files and the secrets of `namespace` until it is aborted.
    pub(crate) async fn run(mut self, namespace: Arc<Namespace>) {
        self.delay_login(&namespace).await;
        let mut began = Instant::now();
        self.refresh_secrets(&namespace, began, RETRY_INTERVAL / 2).await;
        let mut changes = self.context.file_events.subscribe();
        loop {
            let is_rejected = self.rejected.is_some() || self.rejected_secrets.is_some();
            namespace.record_reload(is_rejected, self.active.unreadable.len());
            let all_readable = self.active.secrets.values().all(Result::is_ok);
            let interval = if all_readable { SECRET_INTERVAL } else { RETRY_INTERVAL };
            let file_interval = if self.is_watched { WATCHED_INTERVAL } else { FILE_INTERVAL };
            let accepted_age = tokio::select! {
                () = self.refresh.requested() => {
                    sleep_until((began + MIN_REFRESH_INTERVAL).into()).await;
                    Some(Duration::ZERO)
                }
                () = sleep_until((began + interval).into()) => Some(interval / 2),
                Ok(()) = changes.changed() => None,
                () = sleep(file_interval) => None,
            };
            if let Some(age) = accepted_age {
                began = Instant::now();
                self.refresh_secrets(&namespace, began, age).await;
            }
            self.follow_files(&namespace).await;
        }
    }

    /// Waits for a random time before the first login, but not while a caller waits for it. As long as the access token is not known, every caller does.
    async fn delay_login(&self, namespace: &Namespace) {
        let is_replica = self.active.document.is_shared() && !self.context.is_alone;
        if is_replica && !namespace.has_token() {
            tokio::select! {
                () = sleep(LOGIN_JITTER.mul_f64(rand::random())) => {}
                () = self.refresh.awaited() => {}
            }
        }
    }

    /// Reads every secret again, and reloads if any has changed. A secret that another namespace has read is accepted up to this `age`.
    async fn refresh_secrets(&mut self, namespace: &Namespace, began: Instant, age: Duration) {
        let since = began.checked_sub(age).unwrap_or(began);
        let changed = Arc::make_mut(&mut self.active).read_secrets(since).await;
        // They may have been rejected because of another namespace, which may have changed since.
        if changed || self.rejected_secrets.is_some() {
            let rejected = match self.build(&self.active).await {
                Ok(configuration) => {
                    self.install(namespace, configuration, "secret");
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(diagnostics) = &rejected
                && rejected != self.rejected_secrets
            {
                log_rejected(namespace, "secret", diagnostics);
            }
            self.rejected_secrets = rejected;
        }
        let is_first = !self.refresh.is_complete();
        self.refresh.complete(began);
        if is_first {
            // No check runs before.
            self.context.schedules_changed.notify_one();
        }
        if let Some(rejected) = &mut self.rejected
            && Arc::make_mut(&mut rejected.source).read_secrets(since).await
        {
            let source = rejected.source.clone();
            self.try_source(namespace, source).await;
        }
    }

    /// Reloads if the file, or one that it refers to, has changed.
    async fn follow_files(&mut self, namespace: &Namespace) {
        let Some(state) = self.compare_files(namespace).await else { return };
        match state {
            FileState::Active => self.rejected = None,
            FileState::Rejected => {}
            FileState::Changed(mut source) => {
                // Secrets that the file did not refer to before are read before it is built.
                source.read_secrets(Instant::now()).await;
                self.try_source(namespace, Arc::new(source)).await;
            }
        }
    }

    /// Compares the files with the sources, or returns `None` while their mount does not respond.
    async fn compare_files(&mut self, namespace: &Namespace) -> Option<FileState> {
        let was_overdue = self.overdue.is_some();
        let mut comparison = self.overdue.take().unwrap_or_else(|| {
            let (file, active) = (self.file.lock().clone(), self.active.clone());
            let rejected = self.rejected.as_ref().map(|rejected| rejected.source.clone());
            let ReloadContext { shared, file_events, .. } = self.context.clone();
            spawn_blocking(move || {
                // Watched first, so that no change after the comparison is missed.
                let is_watched = watch_files(&file_events, &file, &active, rejected.as_deref());
                let state = file_state(&file, &active, rejected.as_deref(), &shared);
                // The files of a new source are not watched yet.
                let is_watched = is_watched && !matches!(state, FileState::Changed(_));
                (state, is_watched)
            })
        });
        let limit = if was_overdue { Duration::ZERO } else { READ_TIMEOUT };
        self.is_watched = false;
        if let Ok(compared) = timeout(limit, &mut comparison).await {
            // After a panic, which has been logged, the comparison is retried.
            let (state, is_watched) = compared.ok()?;
            self.is_watched = is_watched;
            return Some(state);
        }
        if !was_overdue {
            tracing::warn!(namespace = namespace.name(), "reading config files timed out");
        }
        self.overdue = Some(comparison);
        None
    }

    /// Makes `source` the active one if it can be built.
    async fn try_source(&mut self, namespace: &Namespace, source: Arc<Source>) {
        match self.build(&source).await {
            Ok(configuration) => {
                self.active = source;
                (self.rejected, self.rejected_secrets) = (None, None);
                self.install(namespace, configuration, "file");
            }
            Err(error) => {
                let diagnostics = error.to_string();
                // The same diagnostics are logged only once.
                if self.rejected.as_ref().is_none_or(|last| last.diagnostics != diagnostics) {
                    log_rejected(namespace, "file", &diagnostics);
                }
                self.rejected = Some(Rejected { source, diagnostics });
            }
        }
    }

    /// Builds a configuration, unless another file has the same namespace or token. Settings such as the system's certificates are read from files, so this may block.
    async fn build(&self, source: &Arc<Source>) -> Result<Configuration, ConfigError> {
        let (source, context) = (source.clone(), self.context.clone());
        let configuration = blocking::run(move || context.build(&source)).await?;
        self.context.registry.claim(&self.file.lock(), &configuration)?;
        Ok(configuration)
    }

    fn install(&self, namespace: &Namespace, configuration: Configuration, changed: &str) {
        log_notes(&configuration);
        namespace.install(configuration, &self.context.limit);
        self.context.schedules_changed.notify_one();
        tracing::info!(namespace = namespace.name(), changed, "config reloaded");
    }
}

fn log_notes(configuration: &Configuration) {
    for note in &configuration.notes {
        tracing::warn!(namespace = configuration.namespace, %note, "config note");
    }
}

/// How the files compare, and whether every later change of them is reported.
type Comparison = (FileState, bool);

/// Watches the files of the sources, and returns whether every change of them will be reported.
fn watch_files(
    events: &FileEvents,
    file: &Path,
    active: &Source,
    rejected: Option<&Source>,
) -> bool {
    let sources = iter::once(active).chain(rejected);
    let references = sources.flat_map(|source| source.document.references().files.keys());
    // All of them, even if one cannot be watched.
    let mut is_watched = events.watch(file);
    for reference in references {
        is_watched &= events.watch(reference);
    }
    is_watched
}

/// Compares the files on disk with the sources. A file that cannot be read at the moment counts as unchanged.
fn file_state(
    file: &Path,
    active: &Source,
    rejected: Option<&Source>,
    shared: &SharedResources,
) -> FileState {
    let latest = if rejected.is_some() { FileState::Rejected } else { FileState::Active };
    match read_bounded(file) {
        Err(_) => latest,
        Ok(text) if active.document.is_current(file, &text) => FileState::Active,
        Ok(text) if rejected.is_some_and(|it| it.document.is_current(file, &text)) => latest,
        Ok(text) => {
            let source = Source::new(Document::parse(file, text), shared);
            FileState::Changed(source.with_known_secrets(active))
        }
    }
}

fn log_rejected(namespace: &Namespace, changed: &str, diagnostics: &str) {
    tracing::error!(namespace = namespace.name(), changed, %diagnostics, "config rejected");
}

impl Source {
    fn new(document: Document, shared: &SharedResources) -> Self {
        let session = document.session(&environment, shared);
        let (secrets, unreadable) = Default::default();
        Self { document: Arc::new(document), session, secrets, unreadable }
    }

    /// Copies the secrets that both refer to from `other`, so that a known secret stays in use if it cannot be read again.
    fn with_known_secrets(mut self, other: &Self) -> Self {
        let paths = &self.document.references().vault_paths;
        let known = other.secrets.iter().filter(|(path, _)| paths.contains(*path));
        self.secrets = known.map(|(path, secret)| (path.clone(), secret.clone())).collect();
        let unreadable = other.unreadable.iter().filter(|(path, _)| paths.contains(*path));
        self.unreadable = unreadable.map(|(path, error)| (path.clone(), error.clone())).collect();
        self
    }

    fn build(&self, shared: &SharedResources) -> Result<Configuration, ConfigError> {
        let context = LoadContext { env: &environment, vault: &self.secrets, shared };
        self.document.build(context)
    }

    /// Reads every secret from Vault unless another namespace has read it since, and returns whether any has changed. A secret that cannot be read keeps its value.
    async fn read_secrets(&mut self, since: Instant) -> bool {
        let Some(session) = &self.session else { return false };
        let deadline = Instant::now() + REFRESH_TIMEOUT;
        let mut changed = false;
        for path in &self.document.references().vault_paths {
            let steps = Steps::new();
            let remaining = deadline.saturating_duration_since(Instant::now());
            let secret = match timeout(remaining, session.read(&steps, path, since)).await {
                Ok(secret) => secret,
                Err(_) => Err(Failure::msg(steps.current(), "no answer")),
            };
            log_readability(path, &mut self.unreadable, secret.as_ref().err());
            changed |= update(&mut self.secrets, path, secret);
        }
        changed
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Stores the result of reading `path`, unless it is a failure and a secret is known. Returns whether anything has changed.
fn update(secrets: &mut SecretCache, path: &str, secret: Result<Values, Failure>) -> bool {
    let changed = match (&secret, secrets.get(path)) {
        (Ok(new), Some(Ok(old))) => new != old,
        (Ok(_), _) | (Err(_), None) => true,
        (Err(new), Some(Err(old))) => new.render("") != old.render(""),
        (Err(_), Some(Ok(_))) => false,
    };
    if changed {
        secrets.insert(path.to_owned(), secret);
    }
    changed
}

/// Logs that a secret has become unreadable or readable. The same failure is logged only once.
fn log_readability(
    path: &str,
    unreadable: &mut BTreeMap<String, String>,
    failure: Option<&Failure>,
) {
    match failure.map(|failure| failure.render("")) {
        None => {
            if unreadable.remove(path).is_some() {
                tracing::info!(path, "secret readable again");
            }
        }
        Some(error) => {
            if unreadable.get(path) != Some(&error) {
                tracing::warn!(path, error, "secret unreadable");
                unreadable.insert(path.to_owned(), error);
            }
        }
    }
}
