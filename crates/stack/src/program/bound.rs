//! The processes that end with this one, so that a signal can end them as they are ended otherwise.

use parking_lot::Mutex;
use rustix::process::Signal;

use crate::error::{Error, Result};
use crate::process::{Process, end_all};
use crate::server::STOP_TIMEOUT;

/// The processes, each with the signal that ends it; `None` once all have been ended.
static BOUND: Mutex<Option<Vec<(Process, Signal)>>> = Mutex::new(Some(Vec::new()));

/// Adds a process. After [`end_servers`], it is ended at once, which is an error.
pub(super) fn add(process: Process, stop: Signal) -> Result<()> {
    if let Some(processes) = &mut *BOUND.lock() {
        processes.push((process, stop));
        return Ok(());
    }
    process.end(stop, STOP_TIMEOUT);
    Err(Error::new("interrupted"))
}

/// Ends every server that is to end with this process, and lets no other start. For a signal, after which nothing is dropped.
pub fn end_servers() {
    let processes = BOUND.lock().take().unwrap_or_default();
    let running: Vec<_> = processes.into_iter().filter(|(it, _)| it.is_alive()).collect();
    end_all(&running, STOP_TIMEOUT);
}
