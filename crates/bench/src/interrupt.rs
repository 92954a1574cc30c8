//! Ends the servers and removes the temporary folders after Ctrl-C and SIGTERM.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use tempfile::TempDir;

use crate::error::{Context, Result};

static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The exit code of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Ends this process after a signal, with all that it has started and written.
pub(crate) struct Guard {
    /// All temporary folders are in this one, which is removed when it is dropped.
    _folder: TempDir,
}

impl Guard {
    /// Watches for signals from now on. Temporary folders must not have been made before.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("health-gateway-bench-").tempdir();
        let folder = folder.context("create a folder")?;
        let path = folder.path().to_owned();
        // PostgreSQL runs as another user if this process is root.
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, mode).context("open a folder to other users")?;
        let taken = |_| "it is set already";
        tempfile::env::override_temp_dir(&path).map_err(taken).context("set the folder")?;
        let (mut signals, writer) = UnixStream::pair().context("wait for signals")?;
        for signal in [SIGINT, SIGTERM] {
            let writer = writer.try_clone().context("wait for signals")?;
            pipe::register(signal, writer).context("wait for signals")?;
        }
        thread::spawn(move || {
            if signals.read_exact(&mut [0]).is_ok() {
                IS_INTERRUPTED.store(true, Ordering::SeqCst);
                eprintln!("interrupted: ending all servers");
                stack::end_servers();
                if let Err(error) = fs::remove_dir_all(&path) {
                    eprintln!("remove {}: {error}", path.display());
                }
                exit(INTERRUPTED);
            }
        });
        Ok(Self { _folder: folder })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The failures that follow from the end of the servers do not end the process before.
        while IS_INTERRUPTED.load(Ordering::SeqCst) {
            thread::park();
        }
    }
}
