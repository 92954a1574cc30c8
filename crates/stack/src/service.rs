//! The servers of the shared stack: their definitions, state and records.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, WaitOptions, waitpid};

use crate::error::{Context, Error, Result};
use crate::install::Dependency;
use crate::paths;
use crate::process::{POLL_INTERVAL, Process};
use crate::program::{Lifetime, Program, listening};
use crate::{
    celery, clickhouse, compose, edge, history, localstack, moto, postgres, rabbit, redis, vault,
    websocket,
};

/// All servers of the shared stack. To add one, write a module and add its row here.
pub(crate) const SERVICES: &[Service] = &[
    postgres::SERVICE,
    redis::FIRST,
    redis::SECOND,
    rabbit::SERVICE,
    celery::SERVICE,
    vault::SERVICE,
    websocket::SERVICE,
    clickhouse::SERVICE,
    localstack::SERVICE,
    history::SERVICE,
    moto::SERVICE,
    edge::SERVICE,
];

/// The services that restart with another one, which comes first in [`SERVICES`]: a worker takes seconds to reconnect to its broker.
const DEPENDS_ON: &[(&Service, &Service)] = &[(&celery::SERVICE, &rabbit::SERVICE)];

/// One server of the shared stack.
pub(crate) struct Service {
    /// Its name in messages and file names.
    pub(crate) name: &'static str,
    /// Its port on 127.0.0.1, if it listens.
    pub(crate) port: Option<u16>,
    /// The packages that it needs to run natively.
    pub(crate) dependencies: &'static [Dependency],
    /// Creates its data folder, and returns the program that runs it.
    pub(crate) prepare: fn(&Self, &Path) -> Result<Program>,
    /// Creates the users and the data that the gateway and the tests expect.
    pub(crate) seed: fn(&Self) -> Result<()>,
    /// The signal that ends it at once. A server that was started by a script in the background ignores `SIGQUIT`, unless it has a handler for it.
    pub(crate) stop: Signal,
}

/// The state of a service.
pub(crate) enum State {
    /// The stack's native server runs and is seeded.
    Up(Process),
    /// The stack's server runs in a container and is seeded.
    InContainer,
    /// The stack's native server runs, but is not seeded, because the run that started it was interrupted.
    Unseeded,
    /// No server runs.
    Down,
    /// Another server uses the port.
    PortTaken,
}

impl Service {
    pub(crate) fn state(&self) -> State {
        let record = self.read_record();
        let seeded = record.trim_end().ends_with(SEEDED);
        match self.process() {
            Some(process) if seeded => State::Up(process),
            Some(_) => State::Unseeded,
            None if seeded && self.is_up_in_container() => State::InContainer,
            None if self.is_listening() => State::PortTaken,
            None => State::Down,
        }
    }

    /// Whether it must be restarted because one of these is started.
    pub(crate) fn restarts_with(&self, started: &[&Self]) -> bool {
        DEPENDS_ON.iter().any(|(service, base)| {
            service.name == self.name && started.iter().any(|one| one.name == base.name)
        })
    }

    /// Whether a service that depends on it satisfies a condition.
    pub(crate) fn is_required_by(&self, condition: impl Fn(&Self) -> bool) -> bool {
        DEPENDS_ON.iter().any(|(service, base)| base.name == self.name && condition(service))
    }

    /// Starts it natively in a new data folder, waits until it is ready, and seeds it.
    pub(crate) fn start(&self) -> Result<()> {
        let program = (self.prepare)(self, &paths::data()?.join(self.name))?;
        // The child is detached and outlives this process.
        let (process, _) = program.start(Lifetime::Detached)?;
        self.write_record(&process.record())?;
        program.wait(process)?;
        (self.seed)(self)?;
        self.write_record(&format!("{} {SEEDED}", process.record()))
    }

    /// Ends its native server, if it runs, and returns the process.
    pub(crate) fn stop(&self) -> Result<Option<Process>> {
        let process = self.process();
        if let Some(process) = process {
            process.end(self.stop, STOP_TIMEOUT);
            // Reaps it if it is a child of this process, and fails otherwise.
            waitpid(Some(process.pid()), WaitOptions::NOHANG).ok();
            // A process is a zombie once its first thread has ended, but its sockets are closed with the last one.
            let deadline = Instant::now() + STOP_TIMEOUT;
            while self.is_listening() && Instant::now() < deadline {
                thread::sleep(POLL_INTERVAL);
            }
        }
        self.remove_record()?;
        Ok(process)
    }

    /// Returns the process of its native server, if it runs.
    pub(crate) fn process(&self) -> Option<Process> {
        Process::from_record(&self.read_record()).filter(|process| process.is_alive())
    }

    /// Whether its record names a container.
    pub(crate) fn is_in_container(&self) -> bool {
        self.read_record().starts_with(CONTAINER)
    }

    /// Whether it runs in a container. One without a port runs if the service that it depends on does.
    pub(crate) fn is_up_in_container(&self) -> bool {
        let base = DEPENDS_ON.iter().find(|(service, _)| service.name == self.name);
        let listens = || self.is_listening() || base.is_some_and(|(_, one)| one.is_listening());
        self.is_in_container() && listens()
    }

    /// Whether it was seeded in exactly this container.
    pub(crate) fn is_seeded_in(&self, container: &str) -> bool {
        self.read_record() == format!("{CONTAINER} {container} {SEEDED}")
    }

    /// Records its container, before it is seeded.
    pub(crate) fn record_container(&self, container: &str) -> Result<()> {
        self.write_record(&format!("{CONTAINER} {container}"))
    }

    /// Records that it was seeded in this container.
    pub(crate) fn record_seeded_container(&self, container: &str) -> Result<()> {
        self.write_record(&format!("{CONTAINER} {container} {SEEDED}"))
    }

    /// Removes its record.
    pub(crate) fn remove_record(&self) -> Result<()> {
        if !self.record_file().exists() {
            return Ok(());
        }
        fs::remove_file(self.record_file()).context(|| format!("{}: remove its record", self.name))
    }

    /// Returns the address of another service for this one, which may run in a container.
    pub(crate) fn address_for(&self, other: SocketAddrV4) -> String {
        let address = other.to_string();
        if self.is_in_container() { compose::with_container_addresses(&address) } else { address }
    }

    /// Returns its address with a preposition, for messages.
    pub(crate) fn port_suffix(&self) -> String {
        self.port.map(|port| format!(" on 127.0.0.1:{port}")).unwrap_or_default()
    }

    /// Returns the error for a port that another process uses.
    pub(crate) fn port_taken(&self) -> Error {
        Error::new(format!(
            "{}: its port{} is used by a process that this project did not start; nothing was changed",
            self.name,
            self.port_suffix()
        ))
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.port.is_some_and(|port| listening(port).is_ok())
    }

    fn read_record(&self) -> String {
        fs::read_to_string(self.record_file()).unwrap_or_default()
    }

    fn write_record(&self, text: &str) -> Result<()> {
        fs::write(self.record_file(), text).context(|| format!("{}: write its record", self.name))
    }

    fn record_file(&self) -> PathBuf {
        paths::state().join("run").join(self.name)
    }
}

/// The first word of the record of a server in a container.
const CONTAINER: &str = "container";
/// The last word of the record of a server that is seeded.
const SEEDED: &str = "seeded";
/// How long a server may take to exit before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the address of a service that runs and is seeded.
pub(crate) fn require(service: &Service) -> Result<SocketAddr> {
    match (service.state(), service.port) {
        (State::Up(_) | State::InContainer, Some(port)) => {
            Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        }
        _ => Err(Error::new(format!(
            "{} of the shared stack is not up; run `cargo xtask up` first",
            service.name
        ))),
    }
}

/// Reports the progress of a service on standard error.
pub(crate) fn report(service: &Service, message: &str) {
    eprintln!("{:>10}  {message}", service.name);
}

/// Waits until a service is up that another one depends on, because all services start at once.
pub(crate) fn wait_for(service: &Service) -> Result<()> {
    let deadline = Instant::now() + NEEDED_TIMEOUT;
    while !matches!(service.state(), State::Up(_)) {
        if Instant::now() > deadline {
            return Err(Error::new(format!("{} did not come up", service.name)));
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// Longer than a service that others need takes to start.
const NEEDED_TIMEOUT: Duration = Duration::from_mins(1);
