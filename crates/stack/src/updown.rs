//! Starts and stops the shared stack.

use std::fmt;
use std::fs::File;
use std::thread;

use rustix::fs::{FlockOperation, flock};

use crate::compose::{self, Engine};
use crate::error::{Context, Error, Result};
use crate::service::{SERVICES, Service, State, report};
use crate::{demo, install, paths};

/// A selection of the servers of the shared stack.
#[derive(Clone)]
pub struct Backends(Vec<&'static Service>);

/// Formats the names only.
impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|service| service.name)).finish()
    }
}

impl Backends {
    /// All servers.
    pub fn all() -> Self {
        Self(SERVICES.iter().collect())
    }

    /// The servers with these names, and those that they depend on.
    pub fn named(names: &[String]) -> Self {
        let is_named = |service: &Service| names.iter().any(|name| name == service.name);
        let is_selected =
            |service: &&Service| is_named(service) || service.is_required_by(is_named);
        Self(SERVICES.iter().filter(is_selected).collect())
    }

    /// Installs what is missing for private servers of these kinds, which are always native.
    pub fn install(&self) -> Result<()> {
        let _lock = lock()?;
        install(self.0.iter().flat_map(|service| service.dependencies).copied())
    }
}

/// Returns the names of the servers of the shared stack.
pub fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|service| service.name)
}

/// How the servers run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// In the mode of the servers that are already up. If none is up: in containers if an engine can pull images, and natively otherwise.
    #[default]
    Automatic,
    /// As processes of this machine.
    Native,
    /// In the containers of `docker-compose.yml`.
    Compose,
}

/// Installs what is missing, starts and seeds the servers that are not up, and returns those that it started.
///
/// Reports progress on standard error.
pub fn up(backends: &Backends, mode: Mode) -> Result<Backends> {
    let _lock = lock()?;
    let engine = engine(mode)?;
    let started = match &engine {
        Some(engine) => compose::up(engine, &backends.0)?,
        None => up_native(&backends.0)?,
    };
    // The demo's configuration contains all of them.
    if backends.0.len() == SERVICES.len() {
        demo::write()?;
        engine.map_or(Ok(()), |_| compose::write_gateway_config())?;
    }
    Ok(Backends(started))
}

/// Stops the servers that [`up`] started, and waits until they have exited.
pub fn down(backends: &Backends) -> Result<()> {
    let _lock = lock()?;
    let (in_containers, native): (Vec<_>, Vec<_>) =
        backends.0.iter().partition(|service| service.is_in_container());
    if !in_containers.is_empty() {
        compose::down(&in_containers)?;
    }
    for service in native {
        match service.stop()? {
            Some(process) => report(service, &format!("stopped (process {})", process.id())),
            None => report(service, "was not up"),
        }
    }
    Ok(())
}

/// Returns the engine to run the servers with, or `None` to run them natively.
fn engine(mode: Mode) -> Result<Option<Engine>> {
    let in_containers = SERVICES.iter().any(Service::is_up_in_container);
    let native = SERVICES.iter().any(|service| service.process().is_some());
    match mode {
        Mode::Native if in_containers => Err(mode_conflict("in containers")),
        Mode::Compose if native => Err(mode_conflict("natively")),
        Mode::Native => Ok(None),
        Mode::Automatic if native => Ok(None),
        Mode::Automatic | Mode::Compose if in_containers => Engine::running().map(Some),
        Mode::Compose => Engine::able_to_pull().map(Some),
        Mode::Automatic => Ok(Engine::able_to_pull()
            .inspect_err(|error| eprintln!("{error}; the backends run natively"))
            .ok()),
    }
}

fn mode_conflict(current: &str) -> Error {
    Error::new(format!("the backends are up {current}; `cargo xtask down` stops them"))
}

fn up_native(services: &[&'static Service]) -> Result<Vec<&'static Service>> {
    install(services.iter().flat_map(|service| service.dependencies).copied())?;
    let mut to_start = Vec::new();
    let mut errors = Vec::new();
    for &service in services {
        match service.state() {
            State::Up(_) if service.restarts_with(&to_start) => to_start.push(service),
            State::Up(process) => {
                let paused = if process.is_stopped() { ", stopped by SIGSTOP" } else { "" };
                report(service, &format!("is up (process {}{paused})", process.id()));
            }
            State::PortTaken | State::InContainer => errors.push(service.port_taken().to_string()),
            State::Unseeded | State::Down => to_start.push(service),
        }
    }
    if !errors.is_empty() {
        return Err(Error::new(errors.join("\n")));
    }
    if let Err(error) = start_all(&to_start) {
        // A failed run leaves no servers behind.
        to_start.iter().try_for_each(|service| service.stop().map(drop))?;
        return Err(error);
    }
    Ok(to_start)
}

/// Starts all services concurrently.
fn start_all(services: &[&'static Service]) -> Result<()> {
    let start = |service: &'static Service| {
        service.stop()?;
        report(service, &format!("starting{}", service.port_suffix()));
        service.start()?;
        report(service, "is up");
        Ok(())
    };
    let threads: Vec<_> = services
        .iter()
        .map(|&service| (service.name, thread::spawn(move || start(service))))
        .collect();
    let failures: Vec<String> = threads
        .into_iter()
        .filter_map(|(name, thread)| match thread.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Error::to_string(&error)),
            Err(_) => Some(format!("{name}: starting it panicked")),
        })
        .collect();
    if failures.is_empty() { Ok(()) } else { Err(Error::new(failures.join("\n"))) }
}

/// Locks the stack, because two concurrent runs would start every server twice.
fn lock() -> Result<File> {
    let path = paths::create(paths::state().join("run"))?.join("lock");
    let file = File::create(&path).context(|| format!("create {}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        eprintln!("waiting for another `cargo xtask` to finish");
        flock(&file, FlockOperation::LockExclusive)
            .context(|| format!("lock {}", path.display()))?;
    }
    Ok(file)
}
