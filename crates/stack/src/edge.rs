//! An edge of `CloudFront` for the domains of all distributions: shared and private servers.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::{Context, Result};
use crate::install::Dependency;
use crate::moto::ALTERNATE_DOMAIN;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{paths, port, python};

/// The path of an existing object; the script lists the other paths.
pub const OBJECT: &str = "/health.txt";
/// The content of [`OBJECT`].
pub const CONTENT: &str = "healthy\n";

const SCRIPT: &str = include_str!("edge.py");

pub(crate) const SERVICE: Service = Service {
    name: "edge",
    port: Some(crate::EDGE.port()),
    dependencies: &[Dependency::Debian { package: "python3", file: python::PYTHON }],
    prepare: |_, home| prepare(home, crate::EDGE.port()),
    seed: |_| Ok(()),
    stop: Signal::KILL,
};

/// A private edge.
pub struct Edge {
    /// The server's process.
    pub server: Server,
    port: u16,
    _folder: TempDir,
}

impl Edge {
    /// Starts a server.
    pub fn start() -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("edge")?;
        let server = Server::start(prepare(&folder.path().join("data"), port)?)?;
        Ok(Self { server, port, _folder: folder })
    }

    /// The HTTP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Returns the shared server's address, or an error if `cargo xtask up` has not started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

fn prepare(home: &Path, port: u16) -> Result<Program> {
    paths::recreate(home)?;
    let script = home.join("edge.py");
    fs::write(&script, SCRIPT).context(|| format!("write {}", script.display()))?;
    Ok(Program::new("edge", python::PYTHON, home)
        .args([script])
        .args(["127.0.0.1", &port.to_string(), ALTERNATE_DOMAIN])
        .ready_on(port))
}
