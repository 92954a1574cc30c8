//! The servers of the shared stack, one row each, and what is known about each of them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, WaitOptions, waitpid};

use crate::error::{Context, Error, Result};
use crate::install::Need;
use crate::place;
use crate::process::{POLL, Process};
use crate::program::{Lifetime, Program, listening};
use crate::{
    celery, clickhouse, compose, edge, history, localstack, moto, postgres, rabbit, redis, vault,
    websocket,
};

/// Every server of the shared stack; a further one is a file of its own and a row here.
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

/// Who starts anew with whom: a worker would take seconds to find its broker again. The leader's row comes first.
const FOLLOWERS: &[(&Service, &Service)] = &[(&celery::SERVICE, &rabbit::SERVICE)];

/// One server of the shared stack.
pub(crate) struct Service {
    /// Its name on the terminal, and of its files.
    pub(crate) name: &'static str,
    /// Its port on 127.0.0.1, if it listens at all.
    pub(crate) port: Option<u16>,
    /// What must be installed for it.
    pub(crate) needs: &'static [Need],
    /// Makes a fresh folder for its data and tells how to start it there.
    pub(crate) prepare: fn(&Self, &Path) -> Result<Program>,
    /// Puts into the running server what the gateway and the tests expect of it.
    pub(crate) seed: fn(&Self) -> Result<()>,
    /// Ends it at once. Not every server listens to each: one that was started by a script in the background ignores `SIGQUIT`, unless it handles it itself.
    pub(crate) stop: Signal,
}

/// Who is on a service's port.
pub(crate) enum State {
    /// Our server, started and seeded.
    Up(Process),
    /// The same in a container.
    InContainer,
    /// Our server, from a run that ended before the server was seeded.
    Unfinished,
    /// Nobody.
    Down,
    /// Somebody else's server.
    Taken,
}

impl Service {
    pub(crate) fn state(&self) -> State {
        let record = self.read_record();
        let seeded = record.trim_end().ends_with(SEEDED);
        match self.process() {
            Some(process) if seeded => State::Up(process),
            Some(_) => State::Unfinished,
            None if seeded && self.answers_in_container() => State::InContainer,
            None if self.is_listening() => State::Taken,
            None => State::Down,
        }
    }

    /// Whether it starts anew because one of these does.
    pub(crate) fn follows(&self, started: &[&Self]) -> bool {
        FOLLOWERS.iter().any(|(follower, leader)| {
            follower.name == self.name && started.iter().any(|one| one.name == leader.name)
        })
    }

    /// Whether one of those that start anew with it is such.
    pub(crate) fn leads(&self, such: impl Fn(&Self) -> bool) -> bool {
        FOLLOWERS.iter().any(|(follower, leader)| leader.name == self.name && such(follower))
    }

    /// Starts it on a fresh folder, waits until it is ready, and seeds it.
    pub(crate) fn start(&self) -> Result<()> {
        let program = (self.prepare)(self, &place::data()?.join(self.name))?;
        // Nobody waits for the child: it outlives us.
        let (process, _) = program.start(Lifetime::Detached)?;
        self.write_record(&process.record())?;
        program.wait(process)?;
        (self.seed)(self)?;
        self.write_record(&format!("{} {SEEDED}", process.record()))
    }

    /// Ends our server, if it runs; nothing else is touched.
    pub(crate) fn stop(&self) -> Result<Option<Process>> {
        let process = self.process();
        if let Some(process) = process {
            process.end(self.stop, STOP_WITHIN);
            // Reaps it when it is a child of this very run, and fails otherwise.
            waitpid(Some(process.pid()), WaitOptions::NOHANG).ok();
            // A process counts as ended when its first thread is gone; its sockets go with its last.
            let deadline = Instant::now() + STOP_WITHIN;
            while self.is_listening() && Instant::now() < deadline {
                thread::sleep(POLL);
            }
        }
        self.forget()?;
        Ok(process)
    }

    /// Our server's process, if it runs natively.
    pub(crate) fn process(&self) -> Option<Process> {
        Process::from_record(&self.read_record()).filter(|process| process.is_alive())
    }

    /// Whether it was last started in a container.
    pub(crate) fn is_in_container(&self) -> bool {
        self.read_record().starts_with(CONTAINER)
    }

    /// Whether it was started in a container, which runs: one without a port is as well as whom it follows.
    pub(crate) fn answers_in_container(&self) -> bool {
        let leader = FOLLOWERS.iter().find(|(follower, _)| follower.name == self.name);
        let listens = || self.is_listening() || leader.is_some_and(|(_, one)| one.is_listening());
        self.is_in_container() && listens()
    }

    /// Whether exactly this container holds what is expected of it.
    pub(crate) fn is_seeded_in(&self, container: &str) -> bool {
        self.read_record() == format!("{CONTAINER} {container} {SEEDED}")
    }

    /// Writes down in which container it is, before it is seeded.
    pub(crate) fn record_container(&self, container: &str) -> Result<()> {
        self.write_record(&format!("{CONTAINER} {container}"))
    }

    /// Writes down that what is expected of it is in this container.
    pub(crate) fn record_seeded_container(&self, container: &str) -> Result<()> {
        self.write_record(&format!("{CONTAINER} {container} {SEEDED}"))
    }

    /// Removes what is written down about it.
    pub(crate) fn forget(&self) -> Result<()> {
        if !self.record().exists() {
            return Ok(());
        }
        fs::remove_file(self.record()).context(|| format!("{}: remove its record", self.name))
    }

    /// How this server reaches another one of the stack.
    pub(crate) fn sees(&self, other: SocketAddrV4) -> String {
        let address = other.to_string();
        if self.is_in_container() { compose::seen_inside(&address) } else { address }
    }

    /// Where it is, as messages say it.
    pub(crate) fn place(&self) -> String {
        self.port.map(|port| format!(" on 127.0.0.1:{port}")).unwrap_or_default()
    }

    /// Why it cannot be started, when somebody else is on its port.
    pub(crate) fn taken(&self) -> Error {
        Error::new(format!(
            "{}: its port{} belongs to a process that this project did not start; nothing was touched",
            self.name,
            self.place()
        ))
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.port.is_some_and(|port| listening(port).is_ok())
    }

    fn read_record(&self) -> String {
        fs::read_to_string(self.record()).unwrap_or_default()
    }

    fn write_record(&self, text: &str) -> Result<()> {
        fs::write(self.record(), text).context(|| format!("{}: write its record", self.name))
    }

    fn record(&self) -> PathBuf {
        place::state().join("run").join(self.name)
    }
}

/// The first word of the record of a server in a container.
const CONTAINER: &str = "container";
/// The last word of a record, once the server is seeded.
const SEEDED: &str = "seeded";
/// So long a server may take to end by itself before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// The address of a service that runs and is seeded.
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

/// Says on standard error what happens to a service.
pub(crate) fn say(service: &Service, what: &str) {
    eprintln!("{:>10}  {what}", service.name);
}

/// Waits until another service is up, for one that needs it: all are started at once.
pub(crate) fn wait_for(service: &Service) -> Result<()> {
    let deadline = Instant::now() + NEEDED_WITHIN;
    while !matches!(service.state(), State::Up(_)) {
        if Instant::now() > deadline {
            return Err(Error::new(format!("{} did not come up", service.name)));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Longer than a service takes that others need.
const NEEDED_WITHIN: Duration = Duration::from_mins(1);
