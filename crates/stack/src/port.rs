//! Free ports for private servers.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};

/// Below the ports that the kernel gives to outgoing connections, which could take one between our look and the server's start.
const PORTS: std::ops::Range<u16> = 20_000..25_000;

/// A port of 127.0.0.1 on which nobody listens, and which no other caller gets while this process lives.
pub fn free_port() -> Result<u16> {
    /// The lock files of the ports that this process holds, and where it looks next.
    static HELD: Mutex<(Vec<File>, u16)> = Mutex::new((Vec::new(), 0));
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    // Not in this checkout: the tests of another one may run at the same time.
    let name = format!("health-gateway-ports-{}", rustix::process::geteuid().as_raw());
    let folder = crate::place::make(std::env::temp_dir().join(name))?;
    for port in PORTS.skip(usize::from(held.1)) {
        held.1 += 1;
        let Ok(lock) = File::create(folder.join(port.to_string())) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            held.0.push(lock);
            return Ok(port);
        }
    }
    Err(Error::new("no free port: this process has used them all"))
}
