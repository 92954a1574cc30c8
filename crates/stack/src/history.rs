//! The history service, which inserts the bus's events into `ClickHouse`: shared and private servers.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::clickhouse::{ADMIN_PASSWORD, ADMIN_USER, DATABASE, TABLE};
use crate::error::{Context, Result};
use crate::install::Dependency;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{paths, port, python};

/// The API key that the service expects from the API destination.
pub const API_KEY: &str = "history-of-a-throw-away-stack";

const SCRIPT: &str = include_str!("history.py");

pub(crate) const SERVICE: Service = Service {
    name: "history",
    port: Some(crate::HISTORY.port()),
    dependencies: &[Dependency::Debian { package: "python3", file: python::PYTHON }],
    prepare: |_, home| {
        prepare(home, crate::HISTORY.port(), crate::CLICKHOUSE.port(), Behaviour::Works)
    },
    seed: |_| Ok(()),
    stop: Signal::KILL,
};

/// How the service handles events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It inserts them into `ClickHouse`.
    Works,
    /// It responds with 401 to any key.
    RefusesKeys,
    /// It responds with 500.
    Fails,
}

/// A private service.
pub struct History {
    /// The server's process.
    pub server: Server,
    port: u16,
    _folder: TempDir,
}

impl History {
    /// Starts a service that uses the `ClickHouse` on this port of 127.0.0.1, which need not be running.
    pub fn start(clickhouse: u16, behaviour: Behaviour) -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("history")?;
        let program = prepare(&folder.path().join("data"), port, clickhouse, behaviour)?;
        Ok(Self { server: Server::start(program)?, port, _folder: folder })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Returns the shared server's address, or an error if `cargo xtask up` has not started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

fn prepare(home: &Path, port: u16, clickhouse: u16, behaviour: Behaviour) -> Result<Program> {
    paths::recreate(home)?;
    let script = home.join("history.py");
    fs::write(&script, SCRIPT).context(|| format!("write {}", script.display()))?;
    let behaviour = match behaviour {
        Behaviour::Works => "work",
        Behaviour::RefusesKeys => "refuse",
        Behaviour::Fails => "fail",
    };
    Ok(Program::new("history", python::PYTHON, home)
        .args([script])
        .args(["127.0.0.1", &port.to_string(), &format!("127.0.0.1:{clickhouse}")])
        .args([ADMIN_USER, ADMIN_PASSWORD, &format!("{DATABASE}.{TABLE}"), API_KEY, behaviour])
        .ready_on(port))
}
