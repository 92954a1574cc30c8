//! The history service, which puts the events of the bus into `ClickHouse`: in the shared stack, and as a test's private server.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::clickhouse::{ADMIN_PASSWORD, ADMIN_USER, DATABASE, TABLE};
use crate::error::{Context, Result};
use crate::install::Need;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{place, port, python};

/// The key that the service expects of the API destination.
pub const API_KEY: &str = "history-of-a-throw-away-stack";

const SCRIPT: &str = include_str!("history.py");

pub(crate) const SERVICE: Service = Service {
    name: "history",
    port: Some(crate::HISTORY.port()),
    needs: &[Need::Debian { package: "python3", file: python::PYTHON }],
    prepare: |_, home| {
        prepare(home, crate::HISTORY.port(), crate::CLICKHOUSE.port(), Behaviour::Works)
    },
    seed: |_| Ok(()),
    stop: Signal::KILL,
};

/// How a service takes the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    Works,
    /// It refuses every key.
    RefusesKeys,
    /// It answers 500.
    Fails,
}

/// A private service.
pub struct History {
    /// The process, to be paused, stopped and restarted.
    pub server: Server,
    port: u16,
    _folder: TempDir,
}

impl History {
    /// Starts one in front of the `ClickHouse` on this port of 127.0.0.1, whether that runs or not.
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

/// The shared server's address, once `cargo xtask up` has started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

fn prepare(home: &Path, port: u16, clickhouse: u16, behaviour: Behaviour) -> Result<Program> {
    place::fresh(home)?;
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
