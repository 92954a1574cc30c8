//! `up` and `down` of the shared stack.

use std::fmt;
use std::fs::File;
use std::thread;

use rustix::fs::{FlockOperation, flock};

use crate::compose::{self, Engine};
use crate::error::{Context, Error, Result};
use crate::service::{SERVICES, Service, State, say};
use crate::{demo, install, place};

/// Servers of the shared stack, as [`up`] and [`down`] take them.
#[derive(Clone)]
pub struct Backends(Vec<&'static Service>);

/// Says the names only.
impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|service| service.name)).finish()
    }
}

impl Backends {
    /// All of them.
    pub fn all() -> Self {
        Self(SERVICES.iter().collect())
    }

    /// Those of these names, and those without which they do not start.
    pub fn named(names: &[String]) -> Self {
        let named = |service: &Service| names.iter().any(|name| name == service.name);
        let wanted = |service: &&Service| named(service) || service.leads(named);
        Self(SERVICES.iter().filter(wanted).collect())
    }

    /// Installs what this machine lacks to start private servers of these kinds, which are native always.
    pub fn install(&self) -> Result<()> {
        let _lock = lock()?;
        install(self.0.iter().flat_map(|service| service.needs).copied())
    }
}

/// What the servers of the shared stack are called.
pub fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|service| service.name)
}

/// Where the servers run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Where those are that are up already; otherwise in containers if an engine can pull images, and natively if none can.
    #[default]
    Automatic,
    /// On this machine itself.
    Native,
    /// In containers, by `docker-compose.yml`.
    Compose,
}

/// Installs what is missing, starts those servers that are not up, and seeds them; says on standard error what it does, and gives those that it had to start.
pub fn up(backends: &Backends, way: Way) -> Result<Backends> {
    let _lock = lock()?;
    let engine = engine(way)?;
    let started = match &engine {
        Some(engine) => compose::up(engine, &backends.0)?,
        None => native(&backends.0)?,
    };
    // The demo asks all of them.
    if backends.0.len() == SERVICES.len() {
        demo::write()?;
        engine.map_or(Ok(()), |_| compose::write_gateway())?;
    }
    Ok(Backends(started))
}

/// Ends those of the servers that [`up`] started, and waits until they are gone.
pub fn down(backends: &Backends) -> Result<()> {
    let _lock = lock()?;
    let (contained, native): (Vec<_>, Vec<_>) =
        backends.0.iter().partition(|service| service.is_in_container());
    if !contained.is_empty() {
        compose::down(&contained)?;
    }
    for service in native {
        match service.stop()? {
            Some(process) => say(service, &format!("has ended (process {})", process.id())),
            None => say(service, "was not up"),
        }
    }
    Ok(())
}

/// The engine in whose containers the servers are to run, if they are.
fn engine(way: Way) -> Result<Option<Engine>> {
    let contained = SERVICES.iter().any(Service::answers_in_container);
    let native = SERVICES.iter().any(|service| service.process().is_some());
    match way {
        Way::Native if contained => Err(other_way("in containers")),
        Way::Compose if native => Err(other_way("natively")),
        Way::Native => Ok(None),
        Way::Automatic if native => Ok(None),
        Way::Automatic | Way::Compose if contained => Engine::running().map(Some),
        Way::Compose => Engine::that_can_pull().map(Some),
        Way::Automatic => Ok(Engine::that_can_pull()
            .inspect_err(|why| eprintln!("{why}; the backends run natively"))
            .ok()),
    }
}

fn other_way(way: &str) -> Error {
    Error::new(format!("the backends are up {way}; `cargo xtask down` ends them"))
}

fn native(services: &[&'static Service]) -> Result<Vec<&'static Service>> {
    install(services.iter().flat_map(|service| service.needs).copied())?;
    let mut to_start = Vec::new();
    let mut taken = Vec::new();
    for &service in services {
        match service.state() {
            State::Up(_) if service.follows(&to_start) => to_start.push(service),
            State::Up(process) => {
                let held = if process.is_stopped() { ", held by SIGSTOP" } else { "" };
                say(service, &format!("is up (process {}{held})", process.id()));
            }
            State::Taken | State::InContainer => taken.push(service.taken().to_string()),
            State::Unfinished | State::Down => to_start.push(service),
        }
    }
    if !taken.is_empty() {
        return Err(Error::new(taken.join("\n")));
    }
    if let Err(error) = start_all(&to_start) {
        // All or nothing: those that did start would be left behind by a run that failed.
        to_start.iter().try_for_each(|service| service.stop().map(drop))?;
        return Err(error);
    }
    Ok(to_start)
}

/// Starts all at once: the slowest one decides how long it takes.
fn start_all(services: &[&'static Service]) -> Result<()> {
    let start = |service: &'static Service| {
        service.stop()?;
        say(service, &format!("starts{}", service.place()));
        service.start()?;
        say(service, "is up");
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

/// Two runs at once would start every server twice.
fn lock() -> Result<File> {
    let path = place::make(place::state().join("run"))?.join("lock");
    let file = File::create(&path).context(|| format!("create {}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        eprintln!("waiting for another `cargo xtask` to finish");
        flock(&file, FlockOperation::LockExclusive)
            .context(|| format!("lock {}", path.display()))?;
    }
    Ok(file)
}
