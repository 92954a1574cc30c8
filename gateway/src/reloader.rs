//! Reloads a namespace when its file, a file that it refers to or a secret in Vault changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use probe::{Failure, Secret, SharedResources, Steps};
use tokio::time::{sleep, sleep_until, timeout};
use vault_client::Session;

use crate::blocking;
use crate::config::{ConfigError, Configuration, Document, LoadContext, SecretCache, read_bounded};
use crate::namespace::Namespace;
use crate::refresh::RefreshHandle;
use crate::runner::ConcurrencyLimit;

/// How often files are compared.
const FILE_INTERVAL: Duration = Duration::from_secs(1);
/// How often secrets are read.
const SECRET_INTERVAL: Duration = Duration::from_secs(30);
/// How often secrets are read as long as some are unreadable.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// The least time between two refreshes, however many requests arrive.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// How long one refresh may take.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Reloader {
    active: Arc<Source>,
    rejected: Option<Rejected>,
    refresh: RefreshHandle,
    shared: Arc<SharedResources>,
    limit: ConcurrencyLimit,
}

/// A change that could not be used; it is tried again when its files or its secrets change.
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
    /// Reads `file` for the first time, without any secrets from Vault. Blocks on file I/O.
    pub(crate) fn open(
        file: &Path,
        shared: Arc<SharedResources>,
        limit: ConcurrencyLimit,
    ) -> Result<(Self, Namespace), ConfigError> {
        let source = Source::new(Document::open(file)?, &shared);
        let configuration = source.build(&shared)?;
        let refresh = RefreshHandle::default();
        let namespace = Namespace::new(configuration, &limit, refresh.clone());
        Ok((Self { active: Arc::new(source), rejected: None, refresh, shared, limit }, namespace))
    }

    /// Follows the files and the secrets of `namespace` until it is aborted.
    pub(crate) async fn run(mut self, namespace: Arc<Namespace>) {
        let mut began = Instant::now();
        self.refresh_secrets(&namespace, began).await;
        loop {
            let all_readable = self.active.secrets.values().all(Result::is_ok);
            let interval = if all_readable { SECRET_INTERVAL } else { RETRY_INTERVAL };
            let due = tokio::select! {
                () = self.refresh.requested() => {
                    sleep_until((began + MIN_REFRESH_INTERVAL).into()).await;
                    true
                }
                () = sleep_until((began + interval).into()) => true,
                () = sleep(FILE_INTERVAL) => false,
            };
            if due {
                began = Instant::now();
                self.refresh_secrets(&namespace, began).await;
            }
            self.follow_files(&namespace).await;
        }
    }

    /// Reads every secret again, and reloads if any has changed.
    async fn refresh_secrets(&mut self, namespace: &Namespace, began: Instant) {
        if Arc::make_mut(&mut self.active).read_secrets().await {
            match self.build(&self.active).await {
                Ok(configuration) => self.install(namespace, configuration, "secret"),
                Err(error) => log_rejected(namespace, "secret", &error.to_string()),
            }
        }
        self.refresh.complete(began);
        if let Some(rejected) = &mut self.rejected
            && Arc::make_mut(&mut rejected.source).read_secrets().await
        {
            let source = rejected.source.clone();
            self.try_source(namespace, source).await;
        }
    }

    /// Reloads if the file, or one that it refers to, has changed.
    async fn follow_files(&mut self, namespace: &Namespace) {
        let active = self.active.clone();
        let rejected = self.rejected.as_ref().map(|rejected| rejected.source.clone());
        let shared = self.shared.clone();
        let state = blocking::run(move || file_state(&active, rejected.as_deref(), &shared)).await;
        match state {
            FileState::Active => self.rejected = None,
            FileState::Rejected => {}
            FileState::Changed(mut source) => {
                // Secrets that the file did not refer to before are read before it is built.
                source.read_secrets().await;
                self.try_source(namespace, Arc::new(source)).await;
            }
        }
    }

    /// Makes `source` the active one if it can be built.
    async fn try_source(&mut self, namespace: &Namespace, source: Arc<Source>) {
        match self.build(&source).await {
            Ok(configuration) => {
                self.active = source;
                self.rejected = None;
                self.install(namespace, configuration, "file");
            }
            Err(error) => {
                let diagnostics = error.to_string();
                // The same diagnostics are logged once.
                if self.rejected.as_ref().is_none_or(|last| last.diagnostics != diagnostics) {
                    log_rejected(namespace, "file", &diagnostics);
                }
                self.rejected = Some(Rejected { source, diagnostics });
            }
        }
    }

    /// Builds a configuration. Settings such as the system's certificates are read from files, so this may block.
    async fn build(&self, source: &Arc<Source>) -> Result<Configuration, ConfigError> {
        let (source, shared) = (source.clone(), self.shared.clone());
        blocking::run(move || source.build(&shared)).await
    }

    fn install(&self, namespace: &Namespace, configuration: Configuration, changed: &str) {
        namespace.install(configuration, &self.limit);
        tracing::info!(namespace = namespace.name(), changed, "config reloaded");
    }
}

/// Compares the files on disk with the sources. A file that cannot be read at the moment counts as unchanged.
fn file_state(active: &Source, rejected: Option<&Source>, shared: &SharedResources) -> FileState {
    let latest = if rejected.is_some() { FileState::Rejected } else { FileState::Active };
    let file = active.document.path();
    match read_bounded(file) {
        Err(_) => latest,
        Ok(text) if active.document.is_current(&text) => FileState::Active,
        Ok(text) if rejected.is_some_and(|it| it.document.is_current(&text)) => latest,
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

    /// Takes over what `other` knows of the secrets that both refer to: the last known secret outlives any failure to read it again.
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

    /// Reads every secret from Vault, and returns whether any has changed. A secret that cannot be read keeps its value.
    async fn read_secrets(&mut self) -> bool {
        let Some(session) = &self.session else { return false };
        let deadline = Instant::now() + REFRESH_TIMEOUT;
        let mut changed = false;
        for path in &self.document.references().vault_paths {
            let steps = Steps::new();
            let remaining = deadline.saturating_duration_since(Instant::now());
            let secret = match timeout(remaining, session.read(&steps, path)).await {
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

/// Stores what was read from `path`, unless that is a failure and a secret is known; returns whether anything has changed.
fn update(
    secrets: &mut SecretCache,
    path: &str,
    secret: Result<BTreeMap<String, Secret>, Failure>,
) -> bool {
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

/// Logs that a secret has become unreadable or readable; the same failure is logged once.
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
