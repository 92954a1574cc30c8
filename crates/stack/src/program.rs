//! How a server is started: its command line, the user it runs as, its log, and how to see that it is ready.
//!
//! The process outlives this one ([`Lifetime::Detached`], the shared stack) or ends with it ([`Lifetime::Bound`], a test's private instance).

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid};

use crate::error::{Context, Error, Result};
use crate::process::{POLL, Process};

/// Longer than any of the servers ever took on a busy machine.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// So much of a log explains why a server did not start.
const LOG_LINES: usize = 12;

/// Says why the server is not ready yet.
pub(crate) type Ready = Arc<dyn Fn() -> std::result::Result<(), String> + Send + Sync>;

/// A server that could be started, as often as one likes.
#[derive(Clone)]
pub struct Program {
    name: String,
    executable: OsString,
    args: Vec<OsString>,
    envs: Vec<(&'static str, OsString)>,
    user: Option<&'static str>,
    home: PathBuf,
    log: PathBuf,
    ready: Ready,
    /// The signal that makes it end at once without leaving anything behind.
    pub(crate) stop: Signal,
}

/// How long a started process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Until somebody ends it.
    Detached,
    /// At most as long as this process.
    Bound,
}

impl Program {
    /// A program which keeps everything in `home`, with its log beside it.
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

    /// Sets a variable of its environment, which is clean otherwise.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name, value.as_ref().to_owned()));
        self
    }

    /// Runs as this user when we are root, and as ourselves otherwise.
    #[must_use]
    pub fn user(mut self, user: &'static str) -> Self {
        self.user = geteuid().is_root().then_some(user);
        self
    }

    /// Where what it prints is written, anew at each start.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Ready means that it accepts connections on this port of 127.0.0.1.
    #[must_use]
    pub fn ready_on(self, port: u16) -> Self {
        self.ready(move || listening(port))
    }

    /// Ready means that this succeeds; its error says what is missing.
    #[must_use]
    pub fn ready(
        mut self,
        ready: impl Fn() -> std::result::Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.ready = Arc::new(ready);
        self
    }

    /// Ends with this signal first; `SIGKILL` alone is the default.
    #[must_use]
    pub fn stop(mut self, signal: Signal) -> Self {
        self.stop = signal;
        self
    }

    /// Runs it to its end, which must be a success.
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

    /// Starts it and tells whom we started, before it is ready.
    pub(crate) fn start(&self, lifetime: Lifetime) -> Result<(Process, Child)> {
        let log = File::create(&self.log)
            .context(|| format!("{}: create {}", self.name, self.log.display()))?;
        let errors = log.try_clone().context(|| format!("{}: open its log", self.name))?;
        let mut command = self.command(lifetime);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = spawn(command)
            .context(|| format!("{}: start {}", self.name, self.executable.display()))?;
        let process = Process::now(Pid::from_child(&child))
            .ok_or_else(|| Error::new(format!("{}: /proc does not show it", self.name)))?;
        Ok((process, child))
    }

    /// Waits until it is ready; otherwise ends it and shows the end of its log.
    pub(crate) fn wait(&self, process: Process) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let missing = match (self.ready)() {
                Ok(()) => return Ok(()),
                Err(_) if !process.is_alive() => "it ended by itself".to_owned(),
                Err(missing) if Instant::now() > deadline => missing,
                Err(_) => {
                    thread::sleep(POLL);
                    continue;
                }
            };
            process.end(Signal::KILL, Duration::ZERO);
            return Err(Error::new(format!(
                "{} did not start: {missing}; the end of its log:\n{}",
                self.name,
                log_end(&self.log)
            )));
        }
    }

    /// The command line: `setpriv` binds its life to ours or changes the user, `setsid` detaches it; both become the server itself.
    fn command(&self, lifetime: Lifetime) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if lifetime == Lifetime::Detached {
            words.push("setsid".into());
        }
        if let Some(user) = self.user {
            words.extend(
                ["setpriv", "--init-groups", "--reuid", user, "--regid", user].map(Into::into),
            );
        }
        if lifetime == Lifetime::Bound {
            words.extend(["setpriv", "--pdeathsig", "KILL"].map(Into::into));
        }
        words.push(self.executable.clone());
        words.extend(self.args.iter().cloned());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(&self.home)
            // A clean environment: the developer's `PGDATA` or `VAULT_TOKEN` changes nothing.
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &self.home)
            .env("LC_ALL", "C.UTF-8")
            .envs(self.envs.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Whether somebody accepts connections on this port of 127.0.0.1.
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

/// Starts processes on a thread that lives as long as this process.
///
/// The kernel sends the parent-death signal when the *thread* that started the child ends, and a test's thread ends long before its process.
static SPAWNER: LazyLock<Mutex<mpsc::Sender<Job>>> = LazyLock::new(|| {
    let (jobs, queue) = mpsc::channel::<Job>();
    thread::spawn(move || {
        for (mut command, answer) in queue {
            // Whoever asked waits for the answer, so the channel is open.
            drop(answer.send(command.spawn()));
        }
    });
    Mutex::new(jobs)
});

fn spawn(command: Command) -> std::io::Result<Child> {
    let (answer, child) = mpsc::channel();
    let gone = || std::io::Error::other("the thread that starts processes is gone");
    let jobs = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    jobs.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}
