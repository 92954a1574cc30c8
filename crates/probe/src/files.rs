//! Reads files that operators name, from file systems that may not respond.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::OFlags;
use tokio::sync::oneshot;

use crate::Cause;

/// The size limit of a file.
const MAX_FILE: u64 = 1024 * 1024;

/// Returns the text of a regular file of at most 1 MiB, or a cause that does not name it.
///
/// The file is read on a dedicated thread. A call to a mount that does not respond cannot be cancelled, so its thread stays blocked.
/// No second thread is started for the same path, so that the caller may set a deadline and try again.
pub async fn read_file(path: &Path) -> Result<String, Cause> {
    read(path, 0).await
}

/// Returns the text of a file as [`read_file`] does, unless the group or others may access it.
pub async fn read_private_file(path: &Path) -> Result<String, Cause> {
    read(path, 0o077).await
}

/// Returns the text of a file that has none of the `forbidden` permissions.
async fn read(path: &Path, forbidden: u32) -> Result<String, Cause> {
    let busy = Busy::mark(path)
        .ok_or_else(|| Cause::msg("an earlier attempt to read it has not ended yet"))?;
    let (sender, text) = oneshot::channel();
    let read = move || {
        let text = read_bounded(&busy.0, forbidden);
        drop(busy);
        drop(sender.send(text));
    };
    std::thread::Builder::new()
        .name("read-file".to_owned())
        .spawn(read)
        .map_err(|_| Cause::msg("cannot start a thread"))?;
    text.await.unwrap_or_else(|_| Err(Cause::msg("reading it panicked")))
}

fn read_bounded(path: &Path, forbidden: u32) -> Result<String, Cause> {
    let cause = |error: io::Error| Cause::from(error);
    let mut text = String::new();
    // Otherwise opening a pipe would wait for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(cause)?;
    let metadata = file.metadata().map_err(cause)?;
    if !metadata.is_file() {
        return Err(Cause::msg("it is not a regular file"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & forbidden != 0 {
        let allowed = mode & !forbidden;
        return Err(Cause::msg(format!(
            "others may access it: its permissions are {mode:04o}, expected {allowed:04o}"
        )));
    }
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(cause)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Cause::msg(format!("it is larger than {MAX_FILE} bytes")));
    }
    Ok(text)
}

static BUSY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Marks a path as being read, until it is dropped.
struct Busy(PathBuf);

impl Busy {
    fn mark(path: &Path) -> Option<Self> {
        BUSY.lock().insert(path.to_owned()).then(|| Self(path.to_owned()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.lock().remove(&self.0);
    }
}
