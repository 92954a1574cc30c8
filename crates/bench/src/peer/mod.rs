//! The peer: django-health-check under uvicorn, on the same servers, with its documented defaults or tuned.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use serde_json::Value;
use stack::rabbit;
use stack::redis;
use stack::{
    CELERY_QUEUES, HEALTH_PASSWORD, HEALTH_USER, Need, POSTGRES, POSTGRES_DATABASE, Pinned,
    Program, RABBIT, RABBIT_VHOST, REDIS, REDIS2, Server, free_port, install,
};
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::http::caller::{Caller, Request};

/// The application that asks what the gateway asks.
const APP: &str = include_str!("app.py");
/// So many checks it has: the queues are checked by its ping.
const CHECKS: usize = 9;

/// The packages, in the newest versions that Debian's Python takes.
static PACKAGES: Pinned =
    Pinned { folder: "venv-peer", requirements: include_str!("requirements.txt") };

/// How it is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// As its documentation shows it.
    Defaults,
    /// PostgreSQL from a pool, a ping that stops at the first answer, short timeouts of sockets.
    Tuned,
}

/// A running peer, which ends when this is dropped.
pub(crate) struct Peer {
    server: Server,
    listen: SocketAddr,
    _folder: TempDir,
}

impl Peer {
    /// Installs what is missing, and starts it.
    pub(crate) fn start(setup: Setup) -> Result<Self> {
        install([Need::Pinned(&PACKAGES)].into_iter())?;
        let folder = tempfile::tempdir().context("make a folder")?;
        let home = folder.path().join("peer");
        fs::create_dir(&home).context("make a folder")?;
        fs::write(home.join("app.py"), APP).context("write the peer's application")?;
        let port = free_port()?;
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        let admin = format!("{}:{}", redis::ADMIN_USER, redis::ADMIN_PASSWORD);
        let broker = format!("{}:{}", rabbit::ADMIN_USER, rabbit::ADMIN_PASSWORD);
        let program = Program::new("peer", PACKAGES.program("uvicorn"), &home)
            .args(["app:application", "--workers", "2", "--host", "127.0.0.1"])
            .args(["--port", &port.to_string()])
            // The sides take turns, so that its connections are idle for a while.
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
        Ok(Self { server: Server::start(program)?, listen, _folder: folder })
    }

    pub(crate) fn pid(&self) -> Result<i32> {
        self.server.pid().ok_or_else(|| Error::new("the peer has ended"))
    }

    /// A caller, after everything has once been found well.
    pub(crate) fn caller(&self) -> Result<Caller> {
        let mut caller = Caller::connect(self.listen, Request::get("/health/", &[]))?;
        let report: BTreeMap<String, Value> =
            serde_json::from_slice(caller.ask()?).context("read the peer's report")?;
        if let Some((check, said)) = report.iter().find(|(_, said)| *said != "OK") {
            return Err(Error::new(format!("the peer: {check}: {said}")));
        }
        if report.len() != CHECKS {
            return Err(Error::new(format!("the peer: {} checks", report.len())));
        }
        Ok(caller)
    }
}
