//! All namespaces of this process: opened from files and folders, found by their access tokens.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use probe::SharedResources;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::blocking;
use crate::config::{ConfigError, check_unique, list_files, load_all};
use crate::namespace::Namespace;
use crate::rate_limit::RateLimit;
use crate::reloader::Reloader;
use crate::runner::ConcurrencyLimit;
use crate::throttle::Throttle;
use crate::tokens::Digest;

/// How often folders are listed.
const FOLDER_INTERVAL: Duration = Duration::from_secs(2);
/// How long closing the sessions with Vault may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How many requests with unknown tokens may wait at a time, so that they never take all connections.
const MAX_WAITING: usize = 128;
/// How many wrong tokens are logged each second.
const LINES_PER_SECOND: u32 = 10;

/// See the module.
#[derive(Debug)]
pub struct Namespaces {
    by_file: Mutex<BTreeMap<PathBuf, OpenNamespace>>,
    throttle: Throttle,
    waiting: Semaphore,
    wrong_token_lines: Mutex<RateLimit>,
    shared: Arc<SharedResources>,
    limit: ConcurrencyLimit,
}

/// A namespace and the task that reloads it.
#[derive(Debug)]
struct OpenNamespace {
    namespace: Arc<Namespace>,
    reloader: AbortHandle,
}

impl Namespaces {
    /// Opens every file of `paths`, and every `*.toml` of those that are folders, or returns everything that is wrong with them.
    ///
    /// Blocks on file I/O. Must be called within a runtime, on which a task for each namespace is spawned.
    pub fn open(paths: &[PathBuf]) -> Result<Arc<Self>, Vec<ConfigError>> {
        let namespaces = Arc::new(Self {
            by_file: Mutex::default(),
            throttle: Throttle::default(),
            waiting: Semaphore::new(MAX_WAITING),
            wrong_token_lines: Mutex::new(RateLimit::new(Instant::now())),
            shared: Arc::default(),
            limit: ConcurrencyLimit::default(),
        });
        let load =
            |file: &Path| Reloader::open(file, namespaces.shared.clone(), namespaces.limit.clone());
        for (file, loaded) in load_all(paths, load, |(_, namespace)| namespace.name())? {
            start(&mut namespaces.lock(), file, loaded);
        }
        let folders: Vec<_> = paths.iter().filter(|path| path.is_dir()).cloned().collect();
        if !folders.is_empty() {
            tokio::spawn(follow_folders(Arc::downgrade(&namespaces), folders));
        }
        Ok(namespaces)
    }

    /// Returns the namespace that has this access token.
    ///
    /// `header` is the credential of an `Authorization: JWT` header.
    /// An unknown token may have been set in Vault a moment ago, so secrets are read again before it is rejected.
    /// Repeated wrong tokens from one address are answered more and more slowly, and beyond a number each second not judged any further.
    pub async fn authorize(
        &self,
        token: &str,
        header: Option<&[u8]>,
        peer: IpAddr,
    ) -> Option<Arc<Namespace>> {
        let (token, header) = (Digest::of(token.as_bytes()), header.map(Digest::of));
        let found = self.find(&token, header.as_ref());
        if found.is_some() {
            return found;
        }
        // Boxed, so that requests with a known token do not allocate the state of the slow path.
        Box::pin(self.find_new(&token, header.as_ref(), peer)).await
    }

    /// Looks for the token again after secrets have been read, and delays the answer if it is wrong.
    async fn find_new(
        &self,
        token: &Digest,
        header: Option<&Digest>,
        peer: IpAddr,
    ) -> Option<Arc<Namespace>> {
        // Counted before anything is awaited, so that hanging up early does not reset the pace.
        let delay = self.throttle.record_failure(peer)?;
        let since = Instant::now();
        let all = self.all();
        // Soon after the start, a namespace may not have read its token yet.
        join_all(all.iter().filter(|it| !it.has_token()).map(|it| it.wait_for_first_load())).await;
        if let Some(found) = self.find(token, header) {
            self.throttle.forgive(peer);
            return Some(found);
        }
        // Beyond the limit, requests are rejected at once; those that wait refresh the secrets for all.
        let _permit = self.waiting.try_acquire().ok()?;
        join_all(all.iter().map(|namespace| namespace.wait_for_refresh(since))).await;
        if let Some(found) = self.find(token, header) {
            self.throttle.forgive(peer);
            return Some(found);
        }
        if self.wrong_token_lines.lock().admit(LINES_PER_SECOND, Instant::now()) {
            tracing::warn!(%peer, delay_seconds = delay.as_secs_f64(), "wrong access token");
        }
        sleep(delay).await;
        None
    }

    /// Stops reloading, and closes the sessions with Vault, up to a timeout.
    pub async fn close(&self) {
        let all = self.all();
        for open in std::mem::take(&mut *self.lock()).into_values() {
            open.reloader.abort();
        }
        let closing = join_all(all.iter().map(|namespace| namespace.close()));
        if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::warn!("closing vault sessions timed out");
        }
    }

    /// Opens a file that was added to a folder.
    async fn add_file(&self, file: &Path) -> Result<(), ConfigError> {
        let (shared, limit, path) = (self.shared.clone(), self.limit.clone(), file.to_owned());
        let loaded = blocking::run(move || Reloader::open(&path, shared, limit)).await?;
        let mut by_file = self.lock();
        let names: Vec<_> =
            by_file.iter().map(|(file, open)| (open.namespace.name(), file.as_path())).collect();
        let names = names.iter().map(|(name, file)| (name.as_str(), *file));
        check_unique(file, &loaded.1.name(), names)?;
        start(&mut by_file, file.to_owned(), loaded);
        Ok(())
    }

    /// Opens the files that were added to folders. A rejected file is logged once for each change of its diagnostics.
    async fn add_new(&self, files: &[PathBuf], rejected: &mut BTreeMap<PathBuf, String>) {
        for file in files {
            if self.lock().contains_key(file) {
                continue;
            }
            match self.add_file(file).await {
                Ok(()) => drop(rejected.remove(file)),
                Err(error) => {
                    let diagnostics = error.to_string();
                    if rejected.get(file) != Some(&diagnostics) {
                        tracing::error!(file = %file.display(), %diagnostics, "config rejected");
                        rejected.insert(file.clone(), diagnostics);
                    }
                }
            }
        }
    }

    /// Closes the namespaces whose files were removed from `folders`, which hold these `files` now.
    async fn remove_missing(&self, folders: &[PathBuf], files: &[PathBuf]) {
        let is_missing = |file: &PathBuf| {
            folders.iter().any(|folder| file.parent() == Some(folder)) && !files.contains(file)
        };
        let removed: Vec<_> = self.lock().extract_if(.., |file, _| is_missing(file)).collect();
        for (file, open) in removed {
            open.reloader.abort();
            open.namespace.close().await;
            let namespace = open.namespace.name();
            tracing::info!(namespace, file = %file.display(), "namespace closed");
        }
    }

    /// Returns the namespace that accepts these tokens. Every namespace is compared, so that the time reveals nothing.
    fn find(&self, token: &Digest, header: Option<&Digest>) -> Option<Arc<Namespace>> {
        let mut found = None;
        for OpenNamespace { namespace, .. } in self.lock().values() {
            if bool::from(namespace.verify(token, header)) && found.is_none() {
                found = Some(namespace.clone());
            }
        }
        found
    }

    /// All namespaces, in the order of their files.
    pub(crate) fn all(&self) -> Vec<Arc<Namespace>> {
        self.lock().values().map(|open| open.namespace.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, OpenNamespace>> {
        self.by_file.lock()
    }
}

/// Adds a namespace, and starts its reloader.
fn start(
    by_file: &mut BTreeMap<PathBuf, OpenNamespace>,
    file: PathBuf,
    (reloader, namespace): (Reloader, Namespace),
) {
    tracing::info!(namespace = namespace.name(), file = %file.display(), "namespace opened");
    let namespace = Arc::new(namespace);
    let reloader = tokio::spawn(reloader.run(namespace.clone())).abort_handle();
    by_file.insert(file, OpenNamespace { namespace, reloader });
}

/// Opens the files that are added to `folders`, and closes those that are removed, until `namespaces` is dropped.
async fn follow_folders(namespaces: Weak<Namespaces>, folders: Vec<PathBuf>) {
    let mut rejected = BTreeMap::new();
    loop {
        sleep(FOLDER_INTERVAL).await;
        let Some(namespaces) = namespaces.upgrade() else { return };
        let paths = folders.clone();
        let list = move || paths.iter().map(|path| list_files(path)).collect::<Result<Vec<_>, _>>();
        // The files of a folder that cannot be listed at the moment are not missing.
        let Ok(files) = blocking::run(list).await else { continue };
        let files = files.concat();
        namespaces.add_new(&files, &mut rejected).await;
        namespaces.remove_missing(&folders, &files).await;
    }
}
