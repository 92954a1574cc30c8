//! A private server of one test: on a port and a folder of its own, free to be paused, stopped and broken.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::{Context, Result};
use crate::process::{POLL, Process, signal_all};
use crate::program::{Lifetime, Program};

/// So long a server may take to end by its own signal before it is killed.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A running server which ends when this value is dropped, and with this process in any case.
pub struct Server {
    program: Program,
    running: Option<(Process, Child)>,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub fn start(program: Program) -> Result<Self> {
        let mut server = Self { program, running: None };
        server.restart()?;
        Ok(server)
    }

    /// Stops it where it stands: connections are accepted by the kernel and never answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let Some((process, _)) = &self.running else { return };
        // The signal is on its way when the call returns, and a server may still answer until it arrives.
        while process.tree().iter().any(|process| process.is_alive() && !process.is_stopped()) {
            thread::sleep(POLL);
        }
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks its main process to end when its work is done, by `SIGTERM`, and does not wait for that.
    pub fn ask_to_end(&self) {
        if let Some((process, _)) = &self.running {
            process.signal(Signal::TERM);
        }
    }

    /// Ends it at once; its port refuses connections when this returns.
    pub fn stop(&mut self) {
        if let Some((process, mut child)) = self.running.take() {
            process.end(self.program.stop, STOP_WITHIN);
            // It has ended; this only takes what the kernel keeps of it.
            drop(child.wait());
        }
    }

    /// Ends it if it runs, starts it again on the same port and folder, and waits until it is ready.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        let (process, child) = self.program.start(Lifetime::Bound)?;
        self.running = Some((process, child));
        self.program.wait(process)
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(|(process, _)| process.id())
    }

    fn signal(&self, signal: Signal) {
        if let Some((process, _)) = &self.running {
            signal_all(&process.tree(), signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A new empty folder that goes away with the value; a server keeps its data in `data` beneath it.
pub(crate) fn private_folder(name: &str) -> Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix(&format!("health-gateway-{name}-"))
        .tempdir()
        .context(|| format!("{name}: create a folder for its data"))?;
    open_to_all(folder.path())?;
    Ok(folder)
}

/// Lets other users pass through the folder: PostgreSQL runs as a user of its own when we are root.
pub(crate) fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
        .context(|| format!("open {} to other users", folder.display()))
}
