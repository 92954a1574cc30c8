//! Changes of files as the kernel reports them (inotify), so that files that stay the same are rarely read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{EventStream, Inotify, WatchMask, Watches};
use rustix::fs::{FsWord, statfs};
use tokio::sync::watch::{self, Receiver, Sender};
use tokio::time::sleep;

/// How long changes are collected before they are reported, since files are often written one after the other.
const COLLECTION_TIME: Duration = Duration::from_millis(500);

/// The size of the buffer for events, with names, in bytes.
const BUFFER: usize = 4096;

/// How often files are compared whose changes are reported, in case a change is not: that of a folder above theirs is moved, or something is mounted in their place.
pub(crate) const WATCHED_INTERVAL: Duration = Duration::from_secs(30);

/// What happens to a file, or to a folder or one of its files. A file that is being written has not changed until it is closed.
const CHANGES: WatchMask = WatchMask::ATTRIB
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE)
    .union(WatchMask::MOVE_SELF);

/// The file systems (`f_type` of statfs(2)) whose files change only through this kernel, which therefore reports every change: btrfs, ext, F2FS, overlayfs, ramfs, tmpfs, XFS and ZFS.
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
#[derive(Clone)]
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
        let watches = instance.ok().map(|events| {
            let watches = events.watches();
            tokio::spawn(report(events, sender));
            watches
        });
        Self { watches, changes }
    }

    /// Watches `path`, and returns whether every change of it will be reported. Blocks on file I/O.
    pub(crate) fn watch(&self, path: &Path) -> bool {
        let Some(mut watches) = self.watches.clone() else { return false };
        let Ok(target) = path.canonicalize() else { return false };
        // The folder reports that the file is replaced. A file that is mounted by itself is not reported by its folder.
        let mut paths = vec![path.to_owned(), folder(path), folder(&target)];
        add_folders_of_links(path, &mut paths);
        let is_watched = paths.iter().all(|it| is_local(it) && watches.add(it, CHANGES).is_ok());
        is_watched && self.changes.has_changed().is_ok()
    }

    /// Returns a receiver of all later changes.
    pub(crate) fn subscribe(&self) -> Receiver<()> {
        self.changes.clone()
    }
}

impl fmt::Debug for FileEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileEvents").finish_non_exhaustive()
    }
}

/// The folder of a file, or of a folder.
fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        None => path.to_owned(),
        Some(parent) if parent.as_os_str().is_empty() => ".".into(),
        Some(parent) => parent.to_owned(),
    }
}

/// Adds the folder of each symbolic link on the way to `path`, which must exist: a link is replaced in its folder.
fn add_folders_of_links(path: &Path, folders: &mut Vec<PathBuf>) {
    for link in path.ancestors() {
        if let Ok(target) = link.read_link() {
            let folder = folder(link);
            add_folders_of_links(&folder.join(target), folders);
            folders.push(folder);
        }
    }
}

fn is_local(path: &Path) -> bool {
    statfs(path).is_ok_and(|status| LOCAL.contains(&status.f_type))
}

/// Reports that something has changed, a moment after the first of several changes.
async fn report(mut events: EventStream<[u8; BUFFER]>, changes: Sender<()>) {
    loop {
        let event = tokio::select! {
            () = changes.closed() => return,
            event = events.next() => event,
        };
        // What the event says is not needed, so it does not matter if the kernel has dropped some.
        let Some(Ok(_)) = event else { return };
        sleep(COLLECTION_TIME).await;
        while let Some(Some(Ok(_))) = events.next().now_or_never() {}
        changes.send_replace(());
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

    /// The folders `current/config`, of which the first is a link to `release`, and the second has a file as in a ConfigMap of Kubernetes.
    fn folders() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("release/config/..first")).unwrap();
        symlink("release", path("current")).unwrap();
        fs::write(path("release/config/..first/file"), "first").unwrap();
        symlink("..first", path("release/config/..data")).unwrap();
        symlink("..data/file", path("release/config/file")).unwrap();
        folder
    }

    #[tokio::test]
    async fn each_way_to_change_a_file_is_reported() {
        let folder = folders();
        let path = |name: &str| folder.path().join(name);
        let file = path("current/config/file");
        let events = FileEvents::start();
        let mut changes = events.subscribe();
        let replace_link = |target: &str, link: &str| {
            symlink(target, path("new"))?;
            fs::rename(path("new"), path(link))
        };
        let ways: [(&str, &dyn Fn() -> io::Result<()>); 9] = [
            ("written in place", &|| fs::write(&file, "other")),
            ("made unreadable", &|| fs::set_permissions(&file, Permissions::from_mode(0))),
            ("made readable", &|| fs::set_permissions(&file, Permissions::from_mode(0o600))),
            ("replaced in the folder of its link", &|| {
                fs::write(path("new"), "new")?;
                fs::rename(path("new"), path("release/config/..first/file"))
            }),
            ("replaced by another link", &|| {
                fs::create_dir(path("release/config/..second"))?;
                fs::write(path("release/config/..second/file"), "second")?;
                replace_link("..second", "release/config/..data")
            }),
            ("replaced by another link above", &|| {
                fs::create_dir_all(path("next/config"))?;
                fs::write(path("next/config/file"), "third")?;
                replace_link("next", "current")
            }),
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
    async fn files_whose_changes_are_not_reported_are_not_watched() {
        let events = FileEvents::start();
        // The kernel changes the files of procfs without an event.
        assert!(!events.watch(Path::new("/proc/self/status")));
        assert!(!events.watch(Path::new("/nowhere/file")));
        // A link from a local folder.
        let folder = tempfile::tempdir().unwrap();
        symlink("/proc/self/status", folder.path().join("file")).unwrap();
        assert!(!events.watch(&folder.path().join("file")));
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
