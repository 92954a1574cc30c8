//! All namespaces of this process: opened from files and folders, found by their access tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};

use crate::blocking;
use crate::config::{ConfigError, list_followed, load_all};
use crate::file_events::{FileEvents, WATCHED_INTERVAL};
use crate::maybe_ready::MaybeReady;
use crate::namespace::Namespace;
use crate::rate_limit::RateLimit;
use crate::reloader::{Loaded, ReloadContext, Reloader, SharedPath};
use crate::runner::ConcurrencyLimit;
use crate::throttle::Throttle;
use crate::tokens::Digest;

/// How often folders are listed of which a change may not be reported.
const FOLDER_INTERVAL: Duration = Duration::from_secs(2);
/// How often the keys of connections that are no longer used are removed, and secrets that are no longer masked are wiped.
const UNUSED_INTERVAL: Duration = Duration::from_secs(30);
/// How long closing the sessions with Vault may take, and removing what checks have made.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a request with an unknown token waits while secrets are read, since the token may be new: no longer than the longest delay of a refusal.
const UNKNOWN_TOKEN_TIMEOUT: Duration = Duration::from_secs(3);

/// How many requests with unknown tokens may wait at a time, so that they never take all connections.
const MAX_WAITING: usize = 128;
/// How many wrong tokens are logged each second.
const LINES_PER_SECOND: u32 = 10;

/// The open namespaces and their shared state.
#[derive(Debug)]
pub struct Namespaces {
    by_file: Mutex<BTreeMap<PathBuf, OpenNamespace>>,
    throttle: Throttle,
    waiting: Semaphore,
    wrong_token_lines: Mutex<RateLimit>,
    refused_tokens: AtomicU64,
    context: ReloadContext,
    /// Changes when folders are to be listed at once.
    list_folders: watch::Sender<()>,
}

/// A namespace and the task that reloads it.
#[derive(Debug)]
struct OpenNamespace {
    namespace: Arc<Namespace>,
    reloader: AbortHandle,
    file: SharedPath,
}

impl Namespaces {
    /// Opens every file of `paths`, and every `*.toml` of those that are folders, or returns everything that is wrong with them.
    ///
    /// Blocks on file I/O. Must be called within a runtime, on which a task for each namespace is spawned.
    pub fn open(paths: &[PathBuf]) -> Result<Arc<Self>, Vec<ConfigError>> {
        Self::open_with(paths, ReloadContext::new(false))
    }

    /// The same without shared results, so that every check runs in this process.
    pub fn open_alone(paths: &[PathBuf]) -> Result<Arc<Self>, Vec<ConfigError>> {
        Self::open_with(paths, ReloadContext::new(true))
    }

    fn open_with(paths: &[PathBuf], context: ReloadContext) -> Result<Arc<Self>, Vec<ConfigError>> {
        let namespaces = Arc::new(Self {
            by_file: Mutex::default(),
            throttle: Throttle::default(),
            waiting: Semaphore::new(MAX_WAITING),
            wrong_token_lines: Mutex::new(RateLimit::new(Instant::now())),
            refused_tokens: AtomicU64::new(0),
            context,
            list_folders: watch::Sender::default(),
        });
        let context = &namespaces.context;
        let load = |file: &Path| {
            let (reloader, namespace) = Reloader::open(Loaded::read(file, context)?, context)?;
            Ok((namespace.name(), (reloader, namespace)))
        };
        for (file, opened) in load_all(paths, load)? {
            start(&mut namespaces.lock(), file, opened);
        }
        tokio::spawn(remove_unused(Arc::downgrade(&namespaces)));
        let folders: BTreeSet<_> = paths.iter().filter(|path| path.is_dir()).collect();
        for folder in folders {
            let (list, events) = (namespaces.list_folders.subscribe(), context.file_events.clone());
            tokio::spawn(follow_folder(Arc::downgrade(&namespaces), list, events, folder.clone()));
        }
        Ok(namespaces)
    }

    /// Returns the namespace that has this access token.
    ///
    /// `header` is the credential of an `Authorization: JWT` header.
    /// An unknown token may have been set in Vault a moment ago, so secrets are read again before it is rejected.
    /// Repeated wrong tokens from one address are answered with increasing delays, and rejected at once beyond a number each second.
    pub fn authorize(
        self: &Arc<Self>,
        token: &str,
        header: Option<&[u8]>,
        peer: IpAddr,
    ) -> MaybeReady<Option<Arc<Namespace>>> {
        let (token, header) = (Digest::of(token.as_bytes()), header.map(Digest::of));
        let found = self.find(&token, header.as_ref());
        if found.is_some() {
            return Either::Left(ready(found));
        }
        let namespaces = self.clone();
        let find_new = async move { namespaces.find_new(&token, header.as_ref(), peer).await };
        Either::Right(Box::pin(find_new))
    }

    /// Looks for the token again after secrets have been read, and delays the answer if it is wrong.
    async fn find_new(
        &self,
        token: &Digest,
        header: Option<&Digest>,
        peer: IpAddr,
    ) -> Option<Arc<Namespace>> {
        // Counted before anything is awaited, so that an early disconnect does not avoid later delays.
        let Some(delay) = self.throttle.record_failure(peer) else {
            self.count_refused_token();
            return None;
        };
        let since = Instant::now();
        let all = self.all();
        let until = tokio::time::Instant::from_std(since + UNKNOWN_TOKEN_TIMEOUT);
        // Soon after the start, a namespace may not have read its token yet.
        let first_loads = all.iter().filter(|it| !it.has_token()).map(|it| it.first_load());
        // If Vault does not answer in time, the known tokens decide.
        drop(timeout_at(until, join_all(first_loads)).await);
        if let Some(found) = self.find(token, header) {
            self.throttle.forgive(peer);
            return Some(found);
        }
        // Beyond the limit, requests are rejected at once. Those that wait refresh the secrets for all.
        let Ok(_permit) = self.waiting.try_acquire() else {
            self.count_refused_token();
            return None;
        };
        let refreshes = all.iter().map(|namespace| namespace.refresh(since));
        drop(timeout_at(until, join_all(refreshes)).await);
        if let Some(found) = self.find(token, header) {
            self.throttle.forgive(peer);
            return Some(found);
        }
        self.count_refused_token();
        if self.wrong_token_lines.lock().allow(LINES_PER_SECOND, Instant::now()) {
            tracing::warn!(%peer, delay_seconds = delay.as_secs_f64(), "wrong access token");
        }
        // Counted from the arrival, so that a slow Vault adds nothing to the longest delay.
        sleep_until(tokio::time::Instant::from_std(since + delay)).await;
        None
    }

    fn count_refused_token(&self) {
        self.refused_tokens.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests had a token that no namespace has.
    pub(crate) fn refused_tokens(&self) -> u64 {
        self.refused_tokens.load(Ordering::Relaxed)
    }

    /// Waits until other checks than before may have to run without a caller.
    pub(crate) async fn schedules_changed(&self) {
        self.context.schedules_changed.notified().await;
    }

    /// The limit on concurrent runs in all namespaces.
    pub(crate) fn concurrency(&self) -> &ConcurrencyLimit {
        &self.context.limit
    }

    /// Stops reloading, removes what checks have made on backends, and closes the sessions with Vault within a timeout.
    pub async fn close(&self) {
        let all = self.all();
        for open in std::mem::take(&mut *self.lock()).into_values() {
            open.reloader.abort();
        }
        let sessions = async {
            let closing = join_all(all.iter().map(|namespace| namespace.close()));
            if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
                tracing::warn!("closing vault sessions timed out");
            }
        };
        tokio::join!(sessions, self.context.shared.cleanups().finish(CLOSE_TIMEOUT));
    }

    /// Requests that all secrets, files and folders be read again.
    pub fn reload(&self) {
        self.list_folders.send_replace(());
        self.all().iter().for_each(|namespace| namespace.reload());
    }

    /// Opens a file that was added to a folder. If it has the namespace of a `missing` file, that file was renamed.
    async fn add_file(&self, file: &Path, missing: &BTreeSet<PathBuf>) -> Result<(), ConfigError> {
        let (context, path) = (self.context.clone(), file.to_owned());
        let loaded = blocking::run(move || Loaded::read(&path, &context)).await?;
        let renamed = self.context.registry.file_of(loaded.name());
        if let Some(from) = renamed.filter(|from| missing.contains(from)) {
            self.rename(&from, file);
            return Ok(());
        }
        let opened = Reloader::open(loaded, &self.context)?;
        start(&mut self.lock(), file.to_owned(), opened);
        self.context.schedules_changed.notify_one();
        Ok(())
    }

    /// Makes a namespace follow its renamed file. It keeps its tokens and results.
    fn rename(&self, from: &Path, to: &Path) {
        let mut by_file = self.lock();
        let Some(open) = by_file.remove(from) else { return };
        let mut file = open.file.lock();
        self.context.registry.rename(from, to);
        to.clone_into(&mut file);
        drop(file);
        tracing::info!(namespace = open.namespace.name(), file = %to.display(), "config renamed");
        by_file.insert(to.to_owned(), open);
    }

    /// Opens the files that were added to a folder. A rejected file is logged once for each change of its diagnostics.
    async fn add_new(
        &self,
        files: &[PathBuf],
        missing: &BTreeSet<PathBuf>,
        rejected: &mut BTreeMap<PathBuf, String>,
    ) {
        for file in files {
            if self.lock().contains_key(file) {
                continue;
            }
            match self.add_file(file, missing).await {
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

    /// The open files of `folder` that are not among its current `files`.
    fn missing(&self, folder: &Path, files: &[PathBuf]) -> BTreeSet<PathBuf> {
        let by_file = self.lock();
        let of_folder = by_file.keys().filter(|file| file.parent() == Some(folder));
        // The files are sorted.
        of_folder.filter(|file| files.binary_search(file).is_err()).cloned().collect()
    }

    /// Closes the namespaces of files that were removed from their folder.
    async fn remove_missing(&self, missing: &BTreeSet<PathBuf>) {
        let removed: Vec<_> =
            self.lock().extract_if(.., |file, _| missing.contains(file)).collect();
        for (file, open) in removed {
            open.reloader.abort();
            self.context.registry.release(&file);
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
    let (namespace, path) = (Arc::new(namespace), reloader.file());
    let reloader = tokio::spawn(reloader.run(namespace.clone())).abort_handle();
    by_file.insert(file, OpenNamespace { namespace, reloader, file: path });
}

/// Removes what no configuration uses any more, the keys of connections and dropped secrets, until `namespaces` is dropped.
async fn remove_unused(namespaces: Weak<Namespaces>) {
    while let Some(namespaces) = namespaces.upgrade() {
        namespaces.context.shared.remove_unused();
        probe::wipe_dropped_secrets();
        drop(namespaces);
        sleep(UNUSED_INTERVAL).await;
    }
}

/// Opens the files that are added to `folder`, and closes those that are removed, until `namespaces` is dropped.
///
/// Each folder has its own task, so that a mount that does not respond delays no other.
async fn follow_folder(
    namespaces: Weak<Namespaces>,
    mut list: watch::Receiver<()>,
    events: FileEvents,
    folder: PathBuf,
) {
    let mut changes = events.subscribe();
    let mut rejected = BTreeMap::new();
    let mut unreadable = None;
    let mut interval = FOLDER_INTERVAL;
    loop {
        tokio::select! {
            () = sleep(interval) => {}
            Ok(()) = changes.changed() => {}
            Ok(()) = list.changed() => {}
        }
        interval = FOLDER_INTERVAL;
        let (path, events) = (folder.clone(), events.clone());
        let listed = blocking::run(move || list_followed(&path, events)).await;
        let (files, is_watched) = match listed {
            Ok(listed) => listed,
            // The files of a folder that cannot be listed at the moment are not missing.
            Err(error) => {
                if unreadable.as_ref() != Some(&error) {
                    tracing::warn!(folder = %folder.display(), error, "config folder unreadable");
                    unreadable = Some(error);
                }
                continue;
            }
        };
        if unreadable.take().is_some() {
            tracing::info!(folder = %folder.display(), "config folder readable again");
        }
        let Some(namespaces) = namespaces.upgrade() else { return };
        let missing = namespaces.missing(&folder, &files);
        namespaces.add_new(&files, &missing, &mut rejected).await;
        namespaces.remove_missing(&missing).await;
        rejected.retain(|file, _| files.binary_search(file).is_ok());
        // A rejected file may be accepted after changes outside of the folder: of a file that it refers to, or of another namespace.
        if is_watched && rejected.is_empty() {
            interval = WATCHED_INTERVAL;
        }
    }
}
