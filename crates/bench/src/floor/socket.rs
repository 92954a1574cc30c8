//! A socket of the floor, and what came on it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::unexpected;

/// Longer than any answer takes, so that a bench that waits for nothing ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) struct Socket {
    stream: TcpStream,
    received: Vec<u8>,
    chunk: Box<[u8]>,
}

impl Socket {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new(), chunk: vec![0; 16 * 1024].into() })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Waits until `read` finds something at the beginning of what came, which is then taken away; it gives its length.
    pub(crate) fn take<T>(
        &mut self,
        read: impl Fn(&[u8]) -> io::Result<Option<(T, usize)>>,
    ) -> io::Result<T> {
        loop {
            if let Some((found, length)) = read(&self.received)? {
                self.received.drain(..length);
                return Ok(found);
            }
            let more = self.stream.read(&mut self.chunk)?;
            if more == 0 {
                return Err(unexpected("the end of the connection"));
            }
            self.received.extend_from_slice(&self.chunk[..more]);
        }
    }
}

/// A number that nobody else has, in hexadecimal.
pub(crate) fn unique() -> io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
