//! Starts a server program: its command line, user, log and readiness check.
//!
//! The process outlives this one ([`Lifetime::Detached`], the shared stack) or ends with it ([`Lifetime::Bound`], a private server).

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, geteuid};

pub(crate) mod bound;

use crate::error::{Context, Error, Result};
use crate::process::{POLL_INTERVAL, Process};

/// Longer than any server has taken to start on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_mins(2);
/// Enough of a log to explain why a server did not start.
const LOG_LINES: usize = 12;

/// Checks whether a server is ready; the error is the reason why it is not.
pub(crate) type ReadyCheck = Arc<dyn Fn() -> std::result::Result<(), String> + Send + Sync>;

/// A program that can be started repeatedly.
#[derive(Clone)]
pub struct Program {
    name: String,
    executable: OsString,
    args: Vec<OsString>,
    envs: Vec<(&'static str, OsString)>,
    user: Option<&'static str>,
    home: PathBuf,
    log: PathBuf,
    ready: ReadyCheck,
    /// The signal that ends it at once without leaving processes or shared memory.
    pub(crate) stop: Signal,
}

/// How long a started process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Until the process is ended.
    Detached,
    /// At most as long as this process.
    Bound,
}

impl Program {
    /// A program with its files in `home`, and its log beside that folder.
    pub fn new(name: &str, executable: impl AsRef<OsStr>, home: &Path) -> Self {
        Self {
            name: name.to_owned(),
            executable: executable.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            user: None,
            home: home.to_owned(),
            log: home.with_extension("log"),
            ready: Arc::new(|| Ok(())),
            stop: Signal::KILL,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable; no others are inherited.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name, value.as_ref().to_owned()));
        self
    }

    /// Runs the program as this user if this process is root.
    #[must_use]
    pub fn user(mut self, user: &'static str) -> Self {
        self.user = geteuid().is_root().then_some(user);
        self
    }

    /// Returns the path of its log, which is truncated at each start.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// The program is ready once it accepts connections on this port of 127.0.0.1.
    #[must_use]
    pub fn ready_on(self, port: u16) -> Self {
        self.ready(move || listening(port))
    }

    /// The program is ready once this check succeeds; its error is the reason why it is not.
    #[must_use]
    pub fn ready(
        mut self,
        ready: impl Fn() -> std::result::Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.ready = Arc::new(ready);
        self
    }

    /// Sets the signal that ends the program; the default is `SIGKILL`.
    #[must_use]
    pub fn stop(mut self, signal: Signal) -> Self {
        self.stop = signal;
        self
    }

    /// Runs the program until it exits; a failure is an error.
    pub(crate) fn run(&self) -> Result<()> {
        let (_, mut child) = self.start(Lifetime::Bound)?;
        let status = child.wait().context(|| format!("{}: wait for its end", self.name))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::new(format!(
            "{}: {status}; the end of its log:\n{}",
            self.name,
            log_end(&self.log)
        )))
    }

    /// Starts the program without waiting until it is ready.
    pub(crate) fn start(&self, lifetime: Lifetime) -> Result<(Process, Child)> {
        let log = File::create(&self.log)
            .context(|| format!("{}: create {}", self.name, self.log.display()))?;
        let errors = log.try_clone().context(|| format!("{}: open its log", self.name))?;
        let mut command = self.command(lifetime);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = spawn(command)
            .context(|| format!("{}: start {}", self.name, self.executable.display()))?;
        let process = Process::find(Pid::from_child(&child))
            .ok_or_else(|| Error::new(format!("{}: not found in /proc", self.name)))?;
        if lifetime == Lifetime::Bound {
            bound::add(process, self.stop)?;
        }
        Ok((process, child))
    }

    /// Waits until the program is ready. If it is not in time, it is ended, and the error contains the end of its log.
    pub(crate) fn wait(&self, process: Process) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let reason = match (self.ready)() {
                Ok(()) => return Ok(()),
                Err(_) if !process.is_alive() => "it exited".to_owned(),
                Err(reason) if Instant::now() > deadline => reason,
                Err(_) => {
                    thread::sleep(POLL_INTERVAL);
                    continue;
                }
            };
            process.end(Signal::KILL, Duration::ZERO);
            return Err(Error::new(format!(
                "{} did not start: {reason}; the end of its log:\n{}",
                self.name,
                log_end(&self.log)
            )));
        }
    }

    /// Returns the command line. `setpriv` sets the parent-death signal or the user, and `setsid` detaches the server; both then execute it.
    fn command(&self, lifetime: Lifetime) -> Command {
        let mut argv: Vec<OsString> = Vec::new();
        if lifetime == Lifetime::Detached {
            argv.push("setsid".into());
        }
        if let Some(user) = self.user {
            argv.extend(
                ["setpriv", "--init-groups", "--reuid", user, "--regid", user].map(Into::into),
            );
        }
        if lifetime == Lifetime::Bound {
            argv.extend(["setpriv", "--pdeathsig", "KILL"].map(Into::into));
        }
        argv.push(self.executable.clone());
        argv.extend(self.args.iter().cloned());
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .current_dir(&self.home)
            // The developer's `PGDATA` or `VAULT_TOKEN` must not take effect.
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &self.home)
            .env("LC_ALL", "C.UTF-8")
            .envs(self.envs.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Checks that a server accepts connections on this port of 127.0.0.1.
pub(crate) fn listening(port: u16) -> std::result::Result<(), String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1))
        .map(drop)
        .map_err(|error| format!("connect to {address}: {error}"))
}

fn log_end(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let end = &lines[lines.len().saturating_sub(LOG_LINES)..];
    end.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// A thread that starts processes, and lives as long as this process.
///
/// The kernel sends the parent-death signal when the *thread* that started the child ends, and a test's thread ends long before its process.
static SPAWNER: LazyLock<Mutex<mpsc::Sender<Job>>> = LazyLock::new(|| {
    let (jobs, queue) = mpsc::channel::<Job>();
    thread::spawn(move || {
        for (mut command, result) in queue {
            // The caller waits for the result, so the channel is open.
            drop(result.send(command.spawn()));
        }
    });
    Mutex::new(jobs)
});

fn spawn(command: Command) -> std::io::Result<Child> {
    let (result, child) = mpsc::channel();
    let stopped = || std::io::Error::other("the thread that starts processes has stopped");
    let jobs = SPAWNER.lock().clone();
    jobs.send((command, result)).map_err(|_| stopped())?;
    child.recv().map_err(|_| stopped())?
}
