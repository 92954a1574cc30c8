//! The address of one server: a host and a port, or a Unix socket.

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use probe::{Failure, Steps, step};
use tokio::net::UnixStream;

use crate::stream::Stream;

/// The folder of the sockets of servers on Debian.
const DEFAULT_SOCKET_FOLDER: &str = "/var/run/postgresql";

/// The address on which one server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    /// A host, with its address if that is given as well. The host is then only the name of the certificate.
    Tcp {
        host: String,
        address: Option<IpAddr>,
        port: u16,
    },
    Unix(PathBuf),
}

impl Endpoint {
    /// The host and the port in libpq's password file. `localhost` stands for the default socket, which is that of Debian.
    pub(crate) fn passfile_names(&self) -> (String, String) {
        match self {
            Self::Tcp { host, port, .. } => (host.clone(), port.to_string()),
            Self::Unix(path) => {
                let text =
                    |path: Option<&OsStr>| path.unwrap_or_default().to_string_lossy().into_owned();
                let folder = text(path.parent().map(Path::as_os_str));
                let host =
                    if folder == DEFAULT_SOCKET_FOLDER { "localhost".to_owned() } else { folder };
                (host, text(path.extension()))
            }
        }
    }

    /// Connects in plain text. Returns the stream with the one address that it leads to, since a name may have several.
    pub(crate) async fn connect(&self, steps: &Steps) -> Result<(Box<dyn Stream>, Self), Failure> {
        match self {
            Self::Tcp { host, address, port } => {
                let host = address.map_or_else(|| host.clone(), |address| address.to_string());
                let stream = net::connect_tcp(steps, &host, *port).await?;
                let peer = steps.run(step::CONNECT, async { stream.peer_addr() }).await?;
                let address = Some(peer.ip());
                Ok((Box::new(stream), Self::Tcp { host, address, port: *port }))
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
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}
