//! The address of one server: a host and a port, or a Unix socket.

use std::fmt;
use std::path::PathBuf;

use probe::{Failure, Steps, step};
use tokio::net::UnixStream;

use crate::stream::Stream;

/// The address on which one server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Endpoint {
    /// Connects in plain text. Returns the stream with the one address that it leads to, since a name may have several.
    pub(crate) async fn connect(&self, steps: &Steps) -> Result<(Box<dyn Stream>, Self), Failure> {
        match self {
            Self::Tcp { host, port } => {
                let stream = net::connect_tcp(steps, host, *port).await?;
                let peer = steps.run(step::CONNECT, async { stream.peer_addr() }).await?;
                let host = peer.ip().to_string();
                Ok((Box::new(stream), Self::Tcp { host, port: peer.port() }))
            }
            Self::Unix(path) => {
                let stream = steps.run(step::CONNECT, UnixStream::connect(path)).await?;
                Ok((Box::new(stream), self.clone()))
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}
