//! An edge of `CloudFront`, which answers for the domains of every distribution: in the shared stack, and as a test's private server.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::{Context, Result};
use crate::install::Need;
use crate::moto::ALTERNATE_DOMAIN;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{place, port, python};

/// The path of an object that is there; the script lists the others.
pub const OBJECT: &str = "/health.txt";
/// What [`OBJECT`] holds.
pub const CONTENT: &str = "healthy\n";

const SCRIPT: &str = include_str!("edge.py");

pub(crate) const SERVICE: Service = Service {
    name: "edge",
    port: Some(crate::EDGE.port()),
    needs: &[Need::Debian { package: "python3", file: python::PYTHON }],
    prepare: |_, home| prepare(home, crate::EDGE.port()),
    seed: |_| Ok(()),
    stop: Signal::KILL,
};

/// A private edge.
pub struct Edge {
    /// The process, to be paused, stopped and restarted.
    pub server: Server,
    port: u16,
    _folder: TempDir,
}

impl Edge {
    /// Starts one.
    pub fn start() -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("edge")?;
        let server = Server::start(prepare(&folder.path().join("data"), port)?)?;
        Ok(Self { server, port, _folder: folder })
    }

    /// The port on 127.0.0.1, for HTTP.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// The shared server's address, once `cargo xtask up` has started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

fn prepare(home: &Path, port: u16) -> Result<Program> {
    place::fresh(home)?;
    let script = home.join("edge.py");
    fs::write(&script, SCRIPT).context(|| format!("write {}", script.display()))?;
    Ok(Program::new("edge", python::PYTHON, home)
        .args([script])
        .args(["127.0.0.1", &port.to_string(), ALTERNATE_DOMAIN])
        .ready_on(port))
}
