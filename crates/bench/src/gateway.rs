//! The gateway under test: the release binary as a child process, with a configuration of the bench's own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use stack::{Program, Server, free_port};
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::http::caller::{Caller, Request};

/// The access token of the bench's namespaces.
pub(crate) const TOKEN: &str = "token-of-a-throw-away-bench";
/// What a caller sends who wants every check run for him.
pub(crate) const FRESH: &str = "Cache-Control: no-cache";

/// A running gateway, which ends when this is dropped.
pub(crate) struct Gateway {
    server: Server,
    listen: SocketAddr,
    _folder: TempDir,
}

impl Gateway {
    /// Starts `binary` on a configuration that needs no Vault: `sections` follow the namespace's own settings.
    pub(crate) fn start(binary: &Path, settings: &str, sections: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let config = folder.path().join("bench.toml");
        let head = format!("namespace = \"bench\"\naccess_token = \"{TOKEN}\"\n{settings}\n");
        fs::write(&config, head + sections).context("write the configuration")?;
        Self::on(binary, &config, folder)
    }

    /// Starts `binary` on a configuration that is there.
    pub(crate) fn on(binary: &Path, config: &Path, folder: TempDir) -> Result<Self> {
        let port = free_port()?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let home = folder.path().join("gateway");
        fs::create_dir(&home).context("make a folder")?;
        let program = Program::new("gateway", binary, &home)
            .args(["serve", "--listen", &listen.to_string(), "--config"])
            .args([config])
            .ready_on(port);
        Ok(Self { server: Server::start(program)?, listen, _folder: folder })
    }

    pub(crate) fn pid(&self) -> Result<i32> {
        self.server.pid().ok_or_else(|| Error::new("the gateway has ended"))
    }

    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// A caller on a connection of his own.
    pub(crate) fn caller(&self, headers: &[&str]) -> Result<Caller> {
        Caller::connect(self.listen, request(headers))
    }

    /// A caller for whom every check is run, after everything has once said `working`.
    pub(crate) fn fresh_caller(&self) -> Result<Caller> {
        let mut caller = self.caller(&[FRESH])?;
        caller.report()?;
        Ok(caller)
    }
}

/// The request for a report.
pub(crate) fn request(headers: &[&str]) -> Request {
    Request::get(&format!("/api/health/{TOKEN}/"), headers)
}
