//! Builds and runs the gateway as a child process.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use stack::{Error, Result};

use crate::cargo;

const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Longer than the gateway takes to drain its connections.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);

/// A running gateway, which is stopped when this value is dropped.
pub(crate) struct Gateway {
    child: Child,
    listen: SocketAddr,
    interrupted: Arc<AtomicBool>,
}

impl Gateway {
    /// Builds and starts the gateway with this configuration, and waits until it listens.
    pub(crate) fn start(
        config: &Path,
        listen: SocketAddr,
        health_listen: SocketAddr,
    ) -> Result<Self> {
        TcpListener::bind(listen).map_err(|error| {
            Error::new(format!("cannot listen on {listen}: {error}; choose another with --listen"))
        })?;
        cargo::run(&mut cargo::cargo(&["build", "--locked", "--package", "gateway"]))?;
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))
                .map_err(|error| Error::new(format!("wait for signals: {error}")))?;
        }
        let child = command(config, listen, health_listen)?
            .spawn()
            .map_err(|error| Error::new(format!("start the gateway: {error}")))?;
        let mut gateway = Self { child, listen, interrupted };
        gateway.wait_until_it_listens()?;
        Ok(gateway)
    }

    /// Sends a GET request for JSON, and returns the body of a 200.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let response =
            stack::http::request(self.listen, "GET", path, &["Accept: application/json"], "")?;
        if response.status == 200 {
            return Ok(response.body);
        }
        Err(Error::new(format!("the gateway responds with {}: {}", response.status, response.body)))
    }

    /// Waits for Ctrl-C or SIGTERM; it is an error if the gateway exits before.
    pub(crate) fn wait(&mut self) -> Result<()> {
        while self.is_running()? {
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Lets it run for this time; it is an error if it exits before, or is interrupted.
    pub(crate) fn run_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if !self.is_running()? {
                return Err(Error::new("interrupted"));
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        while TcpStream::connect(self.listen).is_err() {
            if !self.is_running()? {
                return Err(Error::new("interrupted"));
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Whether to keep waiting. The signal is checked first, because Ctrl-C also reaches the gateway, which may already have exited.
    fn is_running(&mut self) -> Result<bool> {
        let status = self.try_wait()?;
        match status {
            _ if self.interrupted.load(Ordering::Relaxed) => Ok(false),
            Some(status) => Err(Error::new(format!("the gateway exited: {status}"))),
            None => Ok(true),
        }
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(|error| Error::new(format!("wait for the gateway: {error}")))
    }
}

/// Sends SIGTERM first, so that the gateway drains its connections.
impl Drop for Gateway {
    fn drop(&mut self) {
        let deadline = Instant::now() + STOP_TIMEOUT;
        if let Ok(None) = self.try_wait() {
            // This only fails if it has exited in the meantime.
            kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        }
        while let (Ok(None), true) = (self.try_wait(), Instant::now() < deadline) {
            thread::sleep(POLL_INTERVAL);
        }
        if let Ok(None) = self.try_wait() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// Returns the gateway's command. `setpriv` sets the parent-death signal, so that the gateway ends even if this process is killed.
fn command(config: &Path, listen: SocketAddr, health_listen: SocketAddr) -> Result<Command> {
    // Cargo builds all binaries of a profile into one folder.
    let own = std::env::current_exe()
        .map_err(|error| Error::new(format!("find our own executable: {error}")))?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM"])
        .arg(own.with_file_name("health-gateway"))
        .args(["serve", "--listen", &listen.to_string()])
        .args(["--health-listen", &health_listen.to_string(), "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(io::stderr());
    Ok(command)
}
