//! A private server of one test, which can be paused, stopped and restarted.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::{Context, Result};
use crate::process::{POLL_INTERVAL, Process, signal_all};
use crate::program::{Lifetime, Program};

/// How long a server may take to exit before it is killed.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server, which ends when this value is dropped, and at the latest with this process.
pub struct Server {
    program: Program,
    running: Option<(Process, Child)>,
}

impl Server {
    /// Starts a program, and waits until it is ready.
    pub fn start(program: Program) -> Result<Self> {
        let mut server = Self { program, running: None };
        server.restart()?;
        Ok(server)
    }

    /// Stops the server's processes with `SIGSTOP`: the kernel still accepts connections, but nothing responds.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let Some((process, _)) = &self.running else { return };
        // The signal is asynchronous, and the server may still respond until it is delivered.
        while process.tree().iter().any(|process| process.is_alive() && !process.is_stopped()) {
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Continues a paused server.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends `SIGTERM` to its main process, and does not wait until it exits.
    pub fn terminate(&self) {
        if let Some((process, _)) = &self.running {
            process.signal(Signal::TERM);
        }
    }

    /// Ends the server at once; its port refuses connections when this returns.
    pub fn stop(&mut self) {
        if let Some((process, mut child)) = self.running.take() {
            process.end(self.program.stop, STOP_TIMEOUT);
            // It has exited; this reaps it.
            drop(child.wait());
        }
    }

    /// Ends the server if it runs, starts it again with the same port and folder, and waits until it is ready.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        let (process, child) = self.program.start(Lifetime::Bound)?;
        self.running = Some((process, child));
        self.program.wait(process)
    }

    /// Returns the PID of its main process, if it runs.
    pub fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(|(process, _)| process.id())
    }

    /// Returns the processor time of its main process, if it runs.
    pub fn processor_time(&self) -> Option<Duration> {
        self.running.as_ref()?.0.processor_time()
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

/// Creates a temporary folder, which is removed when the value is dropped; the server's data is in `data` below it.
pub(crate) fn private_folder(name: &str) -> Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix(&format!("health-gateway-{name}-"))
        .tempdir()
        .context(|| format!("{name}: create a folder for its data"))?;
    make_accessible(folder.path())?;
    Ok(folder)
}

/// Opens a folder to other users, because PostgreSQL runs as another user if this process is root.
fn make_accessible(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
        .context(|| format!("chmod {}", folder.display()))
}
