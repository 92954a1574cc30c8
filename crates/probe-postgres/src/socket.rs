//! One server's address, and the way to a socket there.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use probe::{Failure, Steps};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_postgres::config::Host;

use crate::stream::Stream;

/// Where one server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Endpoint {
    pub(crate) fn new(host: &Host, port: u16) -> Self {
        match host {
            Host::Tcp(host) => Self::Tcp { host: host.clone(), port },
            Host::Unix(folder) => Self::Unix(folder.join(format!(".s.PGSQL.{port}"))),
        }
    }

    /// Opens a socket there.
    pub(crate) async fn open(&self, steps: &Steps) -> Result<Box<dyn Stream>, Failure> {
        match self {
            Self::Tcp { host, port } => {
                let addresses: Vec<_> =
                    steps.run("resolve", lookup_host((host.as_str(), *port))).await?.collect();
                let connect = async {
                    let stream = TcpStream::connect(addresses.as_slice()).await?;
                    keep_alive(&stream)?;
                    Ok::<_, io::Error>(stream)
                };
                Ok(Box::new(steps.run("connect", connect).await?))
            }
            Self::Unix(path) => {
                Ok(Box::new(steps.run("connect", UnixStream::connect(path)).await?))
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

/// Keeps the way open through firewalls that forget silent connections, and notices a server that is gone without a word.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
