//! `up` and `down` of the shared stack.

use std::fs::File;
use std::thread;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Context, Error, Result};
use crate::service::{SERVICES, Service, State};
use crate::{demo, install, place};

/// What [`up`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Up {
    /// Whether any server had to be started.
    pub started: bool,
}

/// Installs what is missing, starts every server that is not up, and seeds it; says on standard error what it does.
pub fn up() -> Result<Up> {
    let _lock = lock()?;
    install::install(SERVICES.iter().flat_map(|service| service.needs).copied())?;
    let mut to_start = Vec::new();
    let mut taken = Vec::new();
    for service in SERVICES {
        match service.state() {
            State::Up(_) if service.follows(&to_start) => to_start.push(service),
            State::Up(process) => {
                let held = if process.is_stopped() { ", held by SIGSTOP" } else { "" };
                say(service, &format!("is up (process {}{held})", process.id()));
            }
            State::Taken => taken.push(format!(
                "{}: its port{} belongs to a process that this project did not start; nothing was touched",
                service.name,
                service.place()
            )),
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
    demo::write()?;
    Ok(Up { started: !to_start.is_empty() })
}

/// Ends exactly the servers that [`up`] started, and waits until they are gone.
pub fn down() -> Result<()> {
    let _lock = lock()?;
    for service in SERVICES {
        match service.stop()? {
            Some(process) => say(service, &format!("has ended (process {})", process.id())),
            None => say(service, "was not up"),
        }
    }
    Ok(())
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

fn say(service: &Service, what: &str) {
    eprintln!("{:>10}  {what}", service.name);
}
