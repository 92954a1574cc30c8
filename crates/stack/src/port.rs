//! Reserves free ports for private servers.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};

/// Below the ephemeral ports, which an outgoing connection could take before the server binds one.
const PORTS: std::ops::Range<u16> = 20_000..25_000;

/// Returns a free port of 127.0.0.1, which no other call or process gets while this process lives.
pub fn free_port() -> Result<u16> {
    /// The lock files of this process's ports, and the index of the next candidate.
    static RESERVED: Mutex<(Vec<File>, u16)> = Mutex::new((Vec::new(), 0));
    let mut reserved = RESERVED.lock();
    // Outside the checkout, because tests of other checkouts may run at the same time.
    let name = format!("health-gateway-ports-{}", rustix::process::geteuid().as_raw());
    let folder = crate::paths::create(std::env::temp_dir().join(name))?;
    for port in PORTS.skip(usize::from(reserved.1)) {
        reserved.1 += 1;
        let Ok(lock) = File::create(folder.join(port.to_string())) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            reserved.0.push(lock);
            return Ok(port);
        }
    }
    Err(Error::new("no free port: this process has reserved all of them"))
}
