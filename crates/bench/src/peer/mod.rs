//! The peer: django-health-check under uvicorn, with its defaults or tuned, on the same servers.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use serde_json::Value;
use stack::rabbit;
use stack::redis;
use stack::{
    CELERY_QUEUES, Dependency, HEALTH_PASSWORD, HEALTH_USER, POSTGRES, POSTGRES_DATABASE,
    PinnedVenv, Program, RABBIT, RABBIT_VHOST, REDIS, REDIS2, Server, free_port, install,
};
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::http::client::{Client, Request};

/// The application, which has the checks of the gateway.
const APP: &str = include_str!("app.py");
/// The number of its checks: its ping also checks the queues.
const CHECKS: usize = 9;

/// The packages, in the newest versions that support Debian's Python.
static PACKAGES: PinnedVenv =
    PinnedVenv { folder: "venv-peer", requirements: include_str!("requirements.txt") };

/// The peer's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// The defaults of its documentation.
    Defaults,
    /// A connection pool for PostgreSQL, a ping that stops at the first reply, and short socket timeouts.
    Tuned,
}

/// A running peer, which ends when this value is dropped.
pub(crate) struct Peer {
    server: Server,
    address: SocketAddr,
    _folder: TempDir,
}

impl Peer {
    /// Installs its packages if they are missing, and starts it.
    pub(crate) fn start(setup: Setup) -> Result<Self> {
        install([Dependency::Pinned(&PACKAGES)].into_iter())?;
        let folder = tempfile::tempdir().context("create a folder")?;
        let home = folder.path().join("peer");
        fs::create_dir(&home).context("create a folder")?;
        fs::write(home.join("app.py"), APP).context("write the peer's application")?;
        let port = free_port()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let admin = format!("{}:{}", redis::ADMIN_USER, redis::ADMIN_PASSWORD);
        let broker = format!("{}:{}", rabbit::ADMIN_USER, rabbit::ADMIN_PASSWORD);
        let program = Program::new("peer", PACKAGES.program("uvicorn"), &home)
            .args(["app:application", "--workers", "2", "--host", "127.0.0.1"])
            .args(["--port", &port.to_string()])
            // Its connections are idle while the other contenders run.
            .args(["--timeout-keep-alive", "120"])
            .env("TUNED", if setup == Setup::Tuned { "1" } else { "" })
            .env("POSTGRES", POSTGRES.to_string())
            .env("POSTGRES_DATABASE", POSTGRES_DATABASE)
            .env("POSTGRES_USER", HEALTH_USER)
            .env("POSTGRES_PASSWORD", HEALTH_PASSWORD)
            .env("REDIS", format!("redis://{admin}@{REDIS}/0"))
            .env("REDIS2", format!("redis://{admin}@{REDIS2}"))
            .env("BROKER", format!("amqp://{broker}@{RABBIT}/{RABBIT_VHOST}"))
            .env("QUEUES", CELERY_QUEUES.join(","))
            .ready_on(port);
        Ok(Self { server: Server::start(program)?, address, _folder: folder })
    }

    pub(crate) fn pid(&self) -> Result<i32> {
        self.server.pid().ok_or_else(|| Error::new("the peer has exited"))
    }

    /// Opens a connection, after a request in which all checks succeeded.
    pub(crate) fn client(&self) -> Result<Client> {
        let mut client = Client::connect(self.address, Request::get("/health/", &[]))?;
        let report: BTreeMap<String, Value> =
            serde_json::from_slice(client.get()?).context("read the peer's report")?;
        if let Some((check, status)) = report.iter().find(|(_, status)| *status != "OK") {
            return Err(Error::new(format!("the peer: {check}: {status}")));
        }
        if report.len() != CHECKS {
            return Err(Error::new(format!("the peer: {} checks", report.len())));
        }
        Ok(client)
    }
}
