//! A blocking socket of the floor, with or without TLS, and a receive buffer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::unexpected;
use crate::tls::TlsClient;

/// Longer than any response takes, so that the bench ends if one is missing.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server, and how it is connected to.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<TlsClient>,
}

impl Endpoint {
    /// Opens a connection without TLS.
    pub(super) fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(stream)
    }
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// A connected socket.
pub(crate) struct Socket {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
    chunk: Box<[u8]>,
}

impl Socket {
    pub(super) fn open(server: &Endpoint) -> io::Result<Self> {
        Self::over(server.connect()?, server)
    }

    /// Begins TLS on a connection, if the server is connected to in that way.
    pub(super) fn over(stream: TcpStream, server: &Endpoint) -> io::Result<Self> {
        let stream: Box<dyn Stream> = match &server.tls {
            Some(tls) => Box::new(tls.session(stream, server.address)?),
            None => Box::new(stream),
        };
        Ok(Self { stream, received: Vec::new(), chunk: vec![0; 16 * 1024].into() })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads until `parse` finds a message at the start of the buffer, and removes it; `parse` returns the message and its length.
    pub(crate) fn read_message<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> io::Result<Option<(T, usize)>>,
    ) -> io::Result<T> {
        loop {
            if let Some((message, length)) = parse(&self.received)? {
                self.received.drain(..length);
                return Ok(message);
            }
            let count = self.stream.read(&mut self.chunk)?;
            if count == 0 {
                return Err(unexpected("the end of the connection"));
            }
            self.received.extend_from_slice(&self.chunk[..count]);
        }
    }
}

/// Returns 128 random bits in hexadecimal.
pub(crate) fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
