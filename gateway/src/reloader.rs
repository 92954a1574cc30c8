//! Keeps a namespace true to its file and its secrets: whatever changes, the file, a file it refers to or a secret in Vault, it is read and built anew as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use probe::{Failure, Secret, SharedResources, Steps};
use tokio::time::{sleep, sleep_until, timeout};
use vault_client::Session;

use crate::config::{ConfigError, Configuration, LoadContext, SecretCache, read_bounded};
use crate::namespace::Namespace;
use crate::runner::ConcurrencyLimit;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often secrets are read when nobody asks for it.
const READ: Duration = Duration::from_secs(30);
/// How often secrets are read as long as some could not be.
const READ_MISSING: Duration = Duration::from_secs(5);
/// The least time between two readings, however many wrong tokens ask for one.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a reading may take.
const READING: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Reloader {
    file: PathBuf,
    /// What is in use; the file itself may hold a later text that was refused.
    text: String,
    /// What was wrong with that.
    refused: Option<String>,
    files: BTreeMap<PathBuf, String>,
    session: Option<Arc<Session>>,
    vault_paths: BTreeSet<String>,
    secrets: SecretCache,
    /// The secrets that could not be read the last time, and why.
    failing: BTreeMap<String, String>,
    shared: Arc<SharedResources>,
    limit: ConcurrencyLimit,
}

impl Reloader {
    /// Reads `file` for the first time. Secrets from Vault are not known yet.
    pub(crate) fn open(
        file: PathBuf,
        shared: Arc<SharedResources>,
        limit: ConcurrencyLimit,
    ) -> Result<(Self, Namespace), ConfigError> {
        let text = read_bounded(&file).map_err(|error| {
            ConfigError::of_file(&file, format!("cannot read the file: {error}"))
        })?;
        let mut reloader = Self {
            file,
            text,
            refused: None,
            files: BTreeMap::new(),
            session: None,
            vault_paths: BTreeSet::new(),
            secrets: SecretCache::new(),
            failing: BTreeMap::new(),
            shared,
            limit,
        };
        let configuration = reloader.configuration(&reloader.text)?;
        reloader.record_sources(&configuration);
        let namespace = Namespace::new(configuration, &reloader.limit);
        Ok((reloader, namespace))
    }

    /// Keeps `namespace`, for ever.
    pub(crate) async fn run(mut self, namespace: Arc<Namespace>) {
        let mut began = Instant::now();
        self.read_secrets(&namespace, began).await;
        loop {
            let period = if self.secrets.values().all(Result::is_ok) { READ } else { READ_MISSING };
            let due = tokio::select! {
                () = namespace.wake.notified() => {
                    sleep_until((began + PAUSE).into()).await;
                    true
                }
                () = sleep_until((began + period).into()) => true,
                () = sleep(LOOK) => false,
            };
            if due {
                began = Instant::now();
                self.read_secrets(&namespace, began).await;
            }
            self.follow_files(&namespace).await;
        }
    }

    /// Reads every secret again; what cannot be read stays as it was.
    async fn read_secrets(&mut self, namespace: &Namespace, began: Instant) {
        if self.read_vault().await {
            self.rebuild(namespace, "secrets from vault are new");
        }
        namespace.read.send_replace(Some(began));
    }

    /// Reads the secrets that the configuration refers to, and says whether anything is new.
    async fn read_vault(&mut self) -> bool {
        let Some(session) = &self.session else { return false };
        let until = Instant::now() + READING;
        let mut changed = false;
        for path in &self.vault_paths {
            let steps = Steps::new();
            let left = until.saturating_duration_since(Instant::now());
            let secret = match timeout(left, session.read(&steps, path)).await {
                Ok(secret) => secret,
                Err(_) => Err(Failure::msg(steps.current(), "no answer")),
            };
            log(path, &mut self.failing, secret.as_ref().err());
            changed |= note(&mut self.secrets, path, secret);
        }
        self.secrets.retain(|path, _| self.vault_paths.contains(path));
        self.failing.retain(|path, _| self.vault_paths.contains(path));
        changed
    }

    /// Builds anew if the file, or one that it refers to, is not as it was.
    async fn follow_files(&mut self, namespace: &Namespace) {
        let paths: Vec<_> = self.files.keys().cloned().collect();
        let file = self.file.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let read = |path: PathBuf| Some((path.clone(), read_bounded(&path).ok()?));
            (read_bounded(&file), paths.into_iter().filter_map(read).collect::<BTreeMap<_, _>>())
        });
        // A file that cannot be read just now keeps its last content.
        let Ok((Ok(text), others)) = reading.await else { return };
        let same = |(path, text)| self.files.get(path) == Some(text);
        if text == self.text && others.iter().all(same) {
            self.refused = None;
            return;
        }
        // A file that was refused is tried again: what it refers to may be there now.
        match self.configuration(&text) {
            Ok(configuration) => {
                self.refused = None;
                self.text = text;
                self.record_sources(&configuration);
                // Secrets that are new in the file are read before it takes effect.
                self.read_vault().await;
                self.rebuild(namespace, "the configuration is new");
            }
            Err(diagnostics) => {
                let diagnostics = diagnostics.to_string();
                if self.refused.as_ref() != Some(&diagnostics) {
                    refuse(namespace, "the configuration is new", &diagnostics);
                    self.refused = Some(diagnostics);
                }
            }
        }
    }

    fn rebuild(&mut self, namespace: &Namespace, why: &str) {
        match self.configuration(&self.text) {
            Ok(configuration) => {
                self.record_sources(&configuration);
                namespace.install(configuration, &self.limit);
                tracing::info!(namespace = namespace.name(), "{why}, and in use");
            }
            Err(diagnostics) => refuse(namespace, why, &diagnostics.to_string()),
        }
    }

    fn configuration(&self, text: &str) -> Result<Configuration, ConfigError> {
        let env = |name: &str| std::env::var(name).ok();
        let context = LoadContext { env: &env, vault: &self.secrets, shared: &self.shared };
        Configuration::read(&self.file, text, context)
    }

    fn record_sources(&mut self, configuration: &Configuration) {
        self.session.clone_from(&configuration.session);
        self.vault_paths.clone_from(&configuration.vault_paths);
        self.files.clone_from(&configuration.files);
    }
}

fn refuse(namespace: &Namespace, why: &str, diagnostics: &str) {
    tracing::error!(
        namespace = namespace.name(),
        "{why}, and cannot be used; what was before stays in use:\n{diagnostics}"
    );
}

/// Notes what was read under `path` and says whether it is new. The last known secret outlives any failure to read it again.
fn note(
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

/// Logs how the reading of a secret goes when that changes, not every time it fails in the same way.
fn log(path: &str, failing: &mut BTreeMap<String, String>, failure: Option<&Failure>) {
    match failure.map(|failure| failure.render("")) {
        None => {
            if failing.remove(path).is_some() {
                tracing::info!(path, "a secret can be read from vault again");
            }
        }
        Some(reason) => {
            if failing.get(path) != Some(&reason) {
                tracing::warn!(path, reason, "cannot read a secret from vault");
                failing.insert(path.to_owned(), reason);
            }
        }
    }
}
