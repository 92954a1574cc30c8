//! A Celery application: the worker of the shared stack, and private workers and tasks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::install::Dependency;
use crate::pinned::PinnedVenv;
use crate::process::POLL_INTERVAL;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::{Service, wait_for};
use crate::{CELERY_QUEUES, RABBIT, RABBIT_VHOST, paths, python, rabbit};

/// The application's source.
const APP: &str = include_str!("celery/app.py");
/// Longer than any task has taken to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// What the application logs when its worker replies to remote control, or is ready without it.
const READY: [&str; 2] = ["worker replies to ping", "worker ready without remote control"];

pub(crate) const SERVICE: Service = Service {
    name: "celery",
    port: None,
    dependencies: &[
        Dependency::Python { requirement: "celery[auth,redis,msgpack,yaml]==5.7.0" },
        Dependency::Pinned(&OLD),
    ],
    prepare: |_, home| {
        wait_for(&rabbit::SERVICE)?;
        paths::recreate(home)?;
        let (user, password) = (rabbit::ADMIN_USER, rabbit::ADMIN_PASSWORD);
        let broker = format!("amqp://{user}:{password}@{RABBIT}/{RABBIT_VHOST}");
        let python = Release::Current.python();
        worker(&python, home, &broker, "rpc://", "demo@localhost", Pool::Prefork, &CELERY_QUEUES)
    },
    seed: |_| Ok(()),
    stop: Signal::KILL,
};

/// The oldest release that still gets fixes, with the last kombu before 5.4.
static OLD: PinnedVenv = PinnedVenv {
    folder: "venv-celery-5.3",
    requirements: include_str!("celery/requirements-5.3.txt"),
};

/// A release of Celery and kombu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Celery 5.7 with kombu 5.7.
    Current,
    /// Celery 5.3 with kombu 5.3.
    Old,
}

impl Release {
    fn python(self) -> PathBuf {
        match self {
            Self::Current => python::program("python"),
            Self::Old => OLD.program("python"),
        }
    }
}

/// A worker's pool, which executes its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Executes tasks in a child process; the parent replies to remote control meanwhile.
    Prefork,
    /// Executes tasks in the worker itself, which does not reply to remote control meanwhile.
    Solo,
}

/// An application on a private broker.
pub struct App {
    python: PathBuf,
    broker: String,
    results: String,
    settings: String,
    folder: TempDir,
}

/// A running worker with one child.
pub struct Worker {
    /// The worker's processes.
    pub server: Server,
    name: String,
    log: PathBuf,
}

/// A task that keeps a worker's child process busy until this value is dropped.
pub struct Hold(PathBuf);

impl App {
    /// An application with this broker and this result backend.
    pub fn new(broker: &str, results: &str) -> Result<Self> {
        Self::with_settings(broker, results, "{}")
    }

    /// An application with additional settings of Celery, as a JSON object.
    pub fn with_settings(broker: &str, results: &str, settings: &str) -> Result<Self> {
        Self::of_release(Release::Current, broker, results, settings)
    }

    /// The same with this release of Celery.
    pub fn of_release(
        release: Release,
        broker: &str,
        results: &str,
        settings: &str,
    ) -> Result<Self> {
        let python = release.python();
        let folder = private_folder("celery")?;
        write_app(folder.path())?;
        let (broker, results) = (broker.to_owned(), results.to_owned());
        Ok(Self { python, broker, results, settings: settings.to_owned(), folder })
    }

    /// Starts a worker named `<name>@localhost` that consumes these queues.
    pub fn worker(&self, name: &str, pool: Pool, queues: &[&str]) -> Result<Worker> {
        let home = self.folder.path().join(name);
        paths::recreate(&home)?;
        let name = format!("{name}@localhost");
        let program =
            worker(&self.python, &home, &self.broker, &self.results, &name, pool, queues)?;
        // Mingle waits a second for other workers' revoked tasks.
        let program = program.args(["--without-mingle"]).env("SETTINGS", &self.settings);
        // Otherwise, a worker of root refuses to accept pickle.
        let program = program.env("C_FORCE_ROOT", "1");
        let log = program.log().to_owned();
        Ok(Worker { server: Server::start(program)?, name, log })
    }

    /// Sends `count` tasks that do nothing to a queue, which is declared if it does not exist.
    pub fn send(&self, queue: &str, count: usize, priority: u8) -> Result<()> {
        let send = format!("app.send_task('nothing', queue='{queue}', priority={priority})");
        self.run(&format!("[{send} for _ in range({count})]")).map(drop)
    }

    /// Sends a task that keeps a child process busy, and waits until the task has started.
    pub fn hold(&self, queue: &str) -> Result<Hold> {
        let file = tempfile::Builder::new().prefix("hold-").tempfile_in(self.folder.path());
        let file = file.context(|| "create a file".to_owned())?.into_temp_path();
        let path = file.keep().context(|| "keep a file".to_owned())?;
        let text = path.display().to_string();
        let hold = Hold(path);
        self.run(&format!("app.send_task('hold', ['{text}'], queue='{queue}')"))?;
        let deadline = Instant::now() + START_TIMEOUT;
        while !Path::new(&format!("{text}.started")).exists() {
            if Instant::now() > deadline {
                return Err(Error::new(format!("no worker started the task from {queue}")));
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(hold)
    }

    /// Returns how long Celery's own `inspect ping` takes, without the start of the interpreter.
    pub fn inspect_ping(&self) -> Result<Duration> {
        let printed = self.run(
            "from time import monotonic as now\n\
             app.control.ping(timeout=0)\n\
             started = now()\n\
             replies = app.control.inspect().ping()\n\
             print(now() - started if replies else 'no worker replied')",
        )?;
        let seconds: f64 =
            printed.parse().map_err(|_| Error::new(format!("celery inspect ping: {printed}")))?;
        Ok(Duration::from_secs_f64(seconds))
    }

    /// Fails unless a worker replies to Celery's own `inspect ping`.
    pub fn expect_reply(&self) -> Result<()> {
        self.run("assert app.control.inspect(timeout=20, limit=1).ping()").map(drop)
    }

    /// Runs a Python statement with the application imported, and returns what it prints.
    fn run(&self, statement: &str) -> Result<String> {
        let output = Command::new(&self.python)
            .args(["-c", &format!("from app import app\n{statement}")])
            .current_dir(self.folder.path())
            .env("BROKER", &self.broker)
            .env("RESULTS", &self.results)
            .env("SETTINGS", &self.settings)
            .env("QUEUES", CELERY_QUEUES.join(","))
            .output()
            .context(|| "start python".to_owned())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(Error::new(format!("celery: {statement}: {}", errors.trim_end())))
    }
}

impl Worker {
    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the worker has logged.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).context(|| format!("read {}", self.log.display()))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The task ends when its file does not exist.
        fs::remove_file(&self.0).ok();
    }
}

fn worker(
    python: &Path,
    home: &Path,
    broker: &str,
    results: &str,
    name: &str,
    pool: Pool,
    queues: &[&str],
) -> Result<Program> {
    write_app(home)?;
    let log = home.with_extension("log");
    let pool = match pool {
        Pool::Prefork => "prefork",
        Pool::Solo => "solo",
    };
    Ok(Program::new("celery", python, home)
        .args(["-m", "celery", "--app", "app", "worker", "--loglevel", "INFO"])
        .args(["--hostname", name, "--pool", pool, "--concurrency", "1"])
        .args(["--queues", &queues.join(",")])
        .env("BROKER", broker)
        .env("RESULTS", results)
        .env("QUEUES", CELERY_QUEUES.join(","))
        .ready(move || match fs::read_to_string(&log) {
            Ok(text) if READY.iter().any(|line| text.contains(line)) => Ok(()),
            _ => Err(format!("its log does not contain `{}`", READY[0])),
        }))
}

fn write_app(home: &Path) -> Result<()> {
    let path = home.join("app.py");
    fs::write(&path, APP).context(|| format!("write {}", path.display()))
}
