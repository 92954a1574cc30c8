//! The gateway as a child process: built, started, asked, and ended with us.

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

const POLL: Duration = Duration::from_millis(20);
/// Longer than the gateway lets its last callers wait.
const STOP_WITHIN: Duration = Duration::from_secs(40);

/// A running gateway, which ends when this value is dropped.
pub(crate) struct Gateway {
    child: Child,
    listen: SocketAddr,
    asked_to_end: Arc<AtomicBool>,
}

impl Gateway {
    /// Builds it and starts it with this configuration; it listens when this returns.
    pub(crate) fn start(config: &Path, listen: SocketAddr) -> Result<Self> {
        TcpListener::bind(listen).map_err(|error| {
            Error::new(format!("cannot listen on {listen}: {error}; choose another with --listen"))
        })?;
        cargo::run(&mut cargo::cargo(&["build", "--locked", "--package", "gateway"]))?;
        let asked_to_end = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&asked_to_end))
                .map_err(|error| Error::new(format!("wait for signals: {error}")))?;
        }
        let child = command(config, listen)?
            .spawn()
            .map_err(|error| Error::new(format!("start the gateway: {error}")))?;
        let mut gateway = Self { child, listen, asked_to_end };
        gateway.wait_until_it_listens()?;
        Ok(gateway)
    }

    /// Gets a path as JSON.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let answer =
            stack::http::request(self.listen, "GET", path, &["Accept: application/json"], "")?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        Err(Error::new(format!("the gateway answers {}: {}", answer.status, answer.body)))
    }

    /// Serves until Ctrl-C or SIGTERM; that the gateway ends by itself is an error.
    pub(crate) fn wait(&mut self) -> Result<()> {
        while self.goes_on()? {
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        while TcpStream::connect(self.listen).is_err() {
            if !self.goes_on()? {
                return Err(Error::new("interrupted"));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Whether it runs and nobody asked us to end; Ctrl-C reaches it as well as us, and it may be the faster one.
    fn goes_on(&mut self) -> Result<bool> {
        let ended = self.ended()?;
        match ended {
            _ if self.asked_to_end.load(Ordering::Relaxed) => Ok(false),
            Some(status) => Err(Error::new(format!("the gateway ended by itself: {status}"))),
            None => Ok(true),
        }
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(|error| Error::new(format!("wait for the gateway: {error}")))
    }
}

/// It is asked first, so that its callers get their answers.
impl Drop for Gateway {
    fn drop(&mut self) {
        let deadline = Instant::now() + STOP_WITHIN;
        if let Ok(None) = self.ended() {
            // It may end in between, which is as good.
            kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        }
        while let (Ok(None), true) = (self.ended(), Instant::now() < deadline) {
            thread::sleep(POLL);
        }
        if let Ok(None) = self.ended() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// `setpriv` lets it end with us even when we are killed, and becomes the gateway itself.
fn command(config: &Path, listen: SocketAddr) -> Result<Command> {
    // Cargo puts all binaries of one build into one folder.
    let own = std::env::current_exe()
        .map_err(|error| Error::new(format!("find our own program: {error}")))?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM"])
        .arg(own.with_file_name("health-gateway"))
        .args(["serve", "--listen", &listen.to_string(), "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(io::stderr());
    Ok(command)
}
