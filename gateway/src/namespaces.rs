//! All namespaces of this process: opened from files and folders, found by their tokens.

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

use crate::config::{ConfigError, files};
use crate::namespace::Namespace;
use crate::reloader::Reloader;
use crate::runner::ConcurrencyLimit;
use crate::throttle::Throttle;
use crate::tokens::Digest;

/// How often folders are looked at for files that came or went.
const LOOK: Duration = Duration::from_secs(2);
/// How long the sessions with Vault may take to end.
const CLOSING: Duration = Duration::from_secs(2);

/// How many callers with unknown tokens may wait at a time, so that they never take all connections.
const WAITING: usize = 128;

/// See the module.
#[derive(Debug)]
pub struct Namespaces {
    open: Mutex<BTreeMap<PathBuf, Open>>,
    throttle: Throttle,
    waiting: Semaphore,
    shared: Arc<SharedResources>,
    limit: ConcurrencyLimit,
}

/// A namespace and the task that keeps it.
#[derive(Debug)]
struct Open {
    namespace: Arc<Namespace>,
    reloader: AbortHandle,
}

impl Namespaces {
    /// Opens every file of `paths`, and every `*.toml` of those that are folders, or says everything that is wrong with them.
    ///
    /// Must be called within a runtime, on which each namespace gets a task that keeps it.
    pub fn open(paths: &[PathBuf]) -> Result<Arc<Self>, Vec<ConfigError>> {
        let namespaces = Arc::new(Self {
            open: Mutex::default(),
            throttle: Throttle::default(),
            waiting: Semaphore::new(WAITING),
            shared: Arc::default(),
            limit: ConcurrencyLimit::default(),
        });
        let mut wrong = Vec::new();
        for path in paths {
            match files(path) {
                Ok(files) => {
                    wrong.extend(files.into_iter().filter_map(|file| namespaces.add(file).err()));
                }
                Err(diagnostics) => wrong.push(diagnostics),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let folders: Vec<_> = paths.iter().filter(|path| path.is_dir()).cloned().collect();
        if !folders.is_empty() {
            tokio::spawn(follow(Arc::downgrade(&namespaces), folders));
        }
        Ok(namespaces)
    }

    /// The namespace whose token this is, if there is one.
    ///
    /// `header` is the credential of an `Authorization: JWT` header.
    /// A token that nobody knows may have been changed in Vault a moment ago, so Vault is asked before it is refused;
    /// and who tries wrong tokens again and again waits for it.
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
        // Boxed, so that those whose token is known do not carry what the others need.
        Box::pin(self.search(&token, header.as_ref(), peer)).await
    }

    /// Looks for the token among those that are not known yet, and holds up who has none.
    async fn search(
        &self,
        token: &Digest,
        header: Option<&Digest>,
        peer: IpAddr,
    ) -> Option<Arc<Namespace>> {
        let asked = Instant::now();
        let all = self.all();
        // A namespace that has no token yet is about to get it.
        join_all(all.iter().filter(|it| !it.has_token()).map(|it| it.wait_for_first_load())).await;
        if let Some(found) = self.find(token, header) {
            return Some(found);
        }
        // Under a flood, refusals come at once; those who wait have Vault read anyway.
        let _place = self.waiting.try_acquire().ok()?;
        join_all(all.iter().map(|namespace| namespace.wait_for_refresh(asked))).await;
        if let Some(found) = self.find(token, header) {
            return Some(found);
        }
        let wait = self.throttle.record_failure(peer);
        tracing::warn!(%peer, "wrong access token, answered after {wait:?}");
        sleep(wait).await;
        None
    }

    /// Ends the keeping, and the sessions with Vault as far as they can be ended in time.
    pub async fn close(&self) {
        let all = self.all();
        for open in std::mem::take(&mut *self.opened()).into_values() {
            open.reloader.abort();
        }
        let closing = join_all(all.iter().map(|namespace| namespace.close()));
        if timeout(CLOSING, closing).await.is_err() {
            tracing::warn!("a session with vault could not be ended within {CLOSING:?}");
        }
    }

    /// Opens one more file.
    fn add(&self, file: PathBuf) -> Result<(), ConfigError> {
        let (reloader, namespace) =
            Reloader::open(file.clone(), self.shared.clone(), self.limit.clone())?;
        let mut open = self.opened();
        let twin = open.iter().find(|(_, open)| open.namespace.name() == namespace.name());
        if let Some((other, _)) = twin {
            return Err(ConfigError::duplicate_namespace(&file, &namespace.name(), other));
        }
        let namespace = Arc::new(namespace);
        let reloader = tokio::spawn(reloader.run(namespace.clone())).abort_handle();
        tracing::info!(namespace = namespace.name(), file = %file.display(), "namespace opened");
        open.insert(file, Open { namespace, reloader });
        Ok(())
    }

    /// Opens a file that came into a folder. One that cannot be used is said once, not every time it is looked at.
    fn add_file(&self, file: &Path, refused: &mut BTreeMap<PathBuf, String>) {
        if self.opened().contains_key(file) {
            return;
        }
        match self.add(file.to_owned()) {
            Ok(()) => drop(refused.remove(file)),
            Err(diagnostics) => {
                let diagnostics = diagnostics.to_string();
                if refused.get(file) != Some(&diagnostics) {
                    tracing::error!("a new configuration cannot be used:\n{diagnostics}");
                    refused.insert(file.to_owned(), diagnostics);
                }
            }
        }
    }

    /// Ends the namespaces whose files went from `folders`.
    async fn remove_missing(&self, folders: &[PathBuf], found: &[PathBuf]) {
        let gone = |file: &PathBuf| {
            folders.iter().any(|folder| file.parent() == Some(folder)) && !found.contains(file)
        };
        let ended: Vec<_> = {
            let mut open = self.opened();
            let gone: Vec<_> = open.keys().filter(|file| gone(file)).cloned().collect();
            gone.iter().filter_map(|file| open.remove(file)).collect()
        };
        for open in ended {
            open.reloader.abort();
            open.namespace.close().await;
            tracing::info!(namespace = open.namespace.name(), "namespace closed, its file is gone");
        }
    }

    /// The namespace that admits these tokens. All are asked, so that the time tells nothing.
    fn find(&self, token: &Digest, header: Option<&Digest>) -> Option<Arc<Namespace>> {
        let mut found = None;
        for Open { namespace, .. } in self.opened().values() {
            if bool::from(namespace.verify(token, header)) && found.is_none() {
                found = Some(namespace.clone());
            }
        }
        found
    }

    /// All that are open, in the order of their files.
    pub(crate) fn all(&self) -> Vec<Arc<Namespace>> {
        self.opened().values().map(|open| open.namespace.clone()).collect()
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Open>> {
        self.open.lock()
    }
}

/// Follows what comes into `folders` and goes from them.
async fn follow(namespaces: Weak<Namespaces>, folders: Vec<PathBuf>) {
    let mut refused = BTreeMap::new();
    loop {
        sleep(LOOK).await;
        let Some(namespaces) = namespaces.upgrade() else { return };
        let looking = folders.clone();
        let look =
            move || looking.iter().map(|folder| files(folder)).collect::<Result<Vec<_>, _>>();
        // A folder that cannot be read just now has not lost its files.
        let Ok(Ok(found)) = tokio::task::spawn_blocking(look).await else { continue };
        let found: Vec<_> = found.into_iter().flatten().collect();
        for file in &found {
            namespaces.add_file(file, &mut refused);
        }
        namespaces.remove_missing(&folders, &found).await;
    }
}
