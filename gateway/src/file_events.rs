//! Changes of files as the kernel reports them (inotify), so that files that stay the same are rarely read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{EventStream, Inotify, WatchMask, Watches};
use probe::Cause;
use rustix::fs::{FsWord, statfs};
use tokio::sync::watch::{self, Receiver, Sender};
use tokio::time::{Instant, sleep_until};

/// How long changes are collected before they are reported, since files are often written one after the other.
const COLLECTION_TIME: Duration = Duration::from_millis(500);

/// The shortest time between two reports, for a folder that other files are written into all the time.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

/// The size of the buffer for events, with names, in bytes.
const BUFFER: usize = 4096;

/// How often watched files are compared, in case a change is not reported: a folder above theirs is moved, another file is mounted in their place, or a program writes into them without closing them.
pub(crate) const WATCHED_INTERVAL: Duration = Duration::from_secs(30);

/// What happens to a file, or to a folder or one of its files. A file that is being written has not changed until it is closed.
const CHANGES: WatchMask = WatchMask::ATTRIB
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE)
    .union(WatchMask::MOVE_SELF);

/// The file systems (`f_type` of statfs(2)) with files that change only through this kernel, so that it reports every change: btrfs, ext, F2FS, overlayfs, ramfs, tmpfs, XFS and ZFS.
const LOCAL: [FsWord; 8] = [
    0x9123_683e,
    0xef53,
    0xf2f5_2010,
    0x794c_7630,
    0x8584_58f6,
    0x0102_1994,
    0x5846_5342,
    0x2fc1_2fc1,
];

/// The changes of all files that are watched.
///
/// They are not told apart: comparing files costs little, and changes are rare.
#[derive(Clone, Debug)]
pub(crate) struct FileEvents {
    /// `None` if this user has as many instances of inotify as the kernel allows.
    watches: Option<Watches>,
    changes: Receiver<()>,
}

impl FileEvents {
    /// Spawns the task that reports the changes, which ends when nothing receives them any more.
    pub(crate) fn start() -> Self {
        let (sender, changes) = watch::channel(());
        let instance = Inotify::init().and_then(|it| it.into_event_stream([0; BUFFER]));
        let watches = match instance {
            Ok(events) => {
                let watches = events.watches();
                tokio::spawn(report(events, sender));
                Some(watches)
            }
            Err(error) => {
                let reason = Cause::from(error);
                tracing::warn!(reason = reason.text(), "changes of files not reported");
                None
            }
        };
        Self { watches, changes }
    }

    /// Watches a file or a folder, and returns whether every change of it will be reported. Blocks on file I/O.
    pub(crate) fn watch(&self, path: &Path) -> bool {
        let Some(mut watches) = self.watches.clone() else { return false };
        let Some(paths) = paths_to_watch(path) else { return false };
        let is_watched = paths.iter().all(|it| is_local(it) && watches.add(it, CHANGES).is_ok());
        is_watched && self.changes.has_changed().is_ok()
    }

    /// Returns a receiver of all later changes.
    pub(crate) fn subscribe(&self) -> Receiver<()> {
        self.changes.clone()
    }
}

/// What has to be watched for every change of `path`, or `None` if it does not exist or has too many links.
fn paths_to_watch(path: &Path) -> Option<BTreeSet<PathBuf>> {
    let target = path.canonicalize().ok()?;
    let mut paths = folders_of_links(path)?;
    paths.insert(path.to_owned());
    if !target.is_dir() {
        // The folder reports that a file is replaced. That of a file that is mounted by itself reports nothing.
        paths.insert(folder(path));
        paths.insert(folder(&target));
    }
    Some(paths)
}

/// The folder of each symbolic link on the way to `path`, in which the link would be replaced.
fn folders_of_links(path: &Path) -> Option<BTreeSet<PathBuf>> {
    let (mut links, mut folders) = (BTreeSet::new(), BTreeSet::new());
    let mut targets = vec![path.to_owned()];
    while let Some(target) = targets.pop() {
        // Without a slash at the end, which hides that the last name is a link.
        let target: PathBuf = target.components().collect();
        for link in target.ancestors() {
            let Ok(target) = link.read_link() else { continue };
            if links.insert(link.to_owned()) {
                targets.push(folder(link).join(target));
                folders.insert(folder(link));
            }
        }
        if links.len() > MAX_LINKS {
            return None;
        }
    }
    Some(folders)
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        None => path.to_owned(),
        Some(parent) if parent.as_os_str().is_empty() => ".".into(),
        Some(parent) => parent.to_owned(),
    }
}

fn is_local(path: &Path) -> bool {
    statfs(path).is_ok_and(|status| LOCAL.contains(&status.f_type))
}

/// Reports that something has changed, a moment after the first of several changes.
async fn report(mut events: EventStream<[u8; BUFFER]>, changes: Sender<()>) {
    let mut next = Instant::now();
    loop {
        let event = tokio::select! {
            () = changes.closed() => return,
            event = events.next() => event,
        };
        // What the event says is not needed, so it does not matter if the kernel has dropped some.
        let Some(Ok(_)) = event else { return };
        sleep_until(next.max(Instant::now() + COLLECTION_TIME)).await;
        while let Some(Some(Ok(_))) = events.next().now_or_never() {}
        changes.send_replace(());
        next = Instant::now() + MIN_INTERVAL;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;
    use tokio::runtime::Handle;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    /// A folder in which `current` is a link to `release`, and `release/config/file` is a link to a file by way of another one, as in a config map of Kubernetes.
    fn linked_file() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for content in ["release/config/..first", "release/config/..second", "next/config"] {
            fs::create_dir_all(path(content)).unwrap();
            fs::write(path(content).join("file"), content).unwrap();
        }
        symlink("release", path("current")).unwrap();
        symlink("..first", path("release/config/..data")).unwrap();
        symlink("..data/file", path("release/config/file")).unwrap();
        folder
    }

    #[tokio::test]
    async fn each_way_to_change_a_file_is_reported() {
        let (folder, unwatched) = (linked_file(), tempfile::tempdir().unwrap());
        let path = |name: &str| folder.path().join(name);
        let new = |name: &str| unwatched.path().join(name);
        fs::write(new("file"), "new").unwrap();
        symlink("..second", new("..data")).unwrap();
        symlink("next", new("current")).unwrap();
        let file = path("current/config/file");
        let events = FileEvents::start();
        let mut changes = events.subscribe();
        let replace = |to: &str, from: &str| fs::rename(new(from), path(to));
        let ways: [(&str, &dyn Fn() -> io::Result<()>); 9] = [
            ("written in place", &|| fs::write(&file, "other")),
            ("made unreadable", &|| fs::set_permissions(&file, Permissions::from_mode(0o000))),
            ("made readable", &|| fs::set_permissions(&file, Permissions::from_mode(0o600))),
            ("replaced by a file", &|| replace("release/config/..first/file", "file")),
            ("replaced by a link", &|| replace("release/config/..data", "..data")),
            ("replaced by a link above", &|| replace("current", "current")),
            ("written in place again", &|| fs::write(&file, "other")),
            ("removed", &|| fs::remove_file(&file)),
            ("created", &|| fs::write(&file, "fourth")),
        ];
        for (way, change) in ways {
            // A file that is unreadable or missing cannot be watched itself, but its folder still is.
            assert_eq!(events.watch(&file), fs::read(&file).is_ok(), "{way}");
            changes.mark_unchanged();
            change().unwrap();
            let reported = timeout(Duration::from_secs(30), changes.changed()).await;
            reported.unwrap_or_else(|_| panic!("{way}: not reported")).unwrap();
        }
    }

    #[tokio::test]
    async fn files_with_changes_that_are_not_reported_are_not_watched() {
        let events = FileEvents::start();
        // The kernel changes the files of procfs without an event.
        assert!(!events.watch(Path::new("/proc/self/status")));
        assert!(!events.watch(Path::new("/nowhere/file")));
        // A link from a local folder.
        let folder = tempfile::tempdir().unwrap();
        symlink("/proc/self/status", folder.path().join("file")).unwrap();
        assert!(!events.watch(&folder.path().join("file")));
    }

    #[test]
    fn links_are_followed_once_and_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("a/b")).unwrap();
        symlink("b", path("a/link")).unwrap();
        symlink("a/link/", path("folder")).unwrap();
        assert_eq!(
            folders_of_links(&path("folder/")),
            Some(BTreeSet::from([path(""), path("a")].map(|it| it.components().collect())))
        );
        symlink("loop", path("loop")).unwrap();
        assert_eq!(paths_to_watch(&path("loop")), None);
        fs::create_dir(path("many")).unwrap();
        let many = (0..MAX_LINKS).fold(path("many"), |above, _| {
            symlink(".", above.join("link")).ok();
            above.join("link")
        });
        assert_eq!(paths_to_watch(&many).map(|paths| paths.len()), Some(MAX_LINKS + 1));
        assert_eq!(paths_to_watch(&many.join("link")), None);
    }

    #[tokio::test]
    async fn the_task_ends_when_nothing_receives_changes() {
        let metrics = Handle::current().metrics();
        let events = FileEvents::start();
        assert_eq!(metrics.num_alive_tasks(), 1);
        drop(events);
        let ended = async {
            while metrics.num_alive_tasks() > 0 {
                yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), ended).await.unwrap();
    }
}
