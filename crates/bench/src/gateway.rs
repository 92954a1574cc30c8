//! Runs the release binary of the gateway as a child process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::Duration;

use stack::{Program, Server, free_port};
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::http::client::{Client, Request};

/// The access token of the bench's namespaces.
pub(crate) const TOKEN: &str = "token-of-a-throw-away-bench";
/// The header that requests a fresh run of every check.
pub(crate) const NO_CACHE: &str = "Cache-Control: no-cache";

/// The setting that runs the checks without a caller.
pub(crate) const INTERVAL: &str = "interval = \"30s\"\n";
/// The time between two scrapes.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);

/// A running gateway, which ends when this is dropped.
pub(crate) struct Gateway {
    server: Server,
    address: SocketAddr,
    metrics: SocketAddr,
    _folder: TempDir,
}

impl Gateway {
    /// Starts `binary` with a configuration without Vault, which consists of the namespace's `settings` and of `sections`.
    ///
    /// It runs its checks without a caller as well, and is scraped, as in production.
    pub(crate) fn start(binary: &Path, settings: &str, sections: &str) -> Result<Self> {
        let gateway = Self::start_unscraped(binary, &format!("{INTERVAL}{settings}"), sections)?;
        gateway.scrape()?;
        Ok(gateway)
    }

    /// Starts `binary` in the same way, without scrapes and an interval.
    pub(crate) fn start_unscraped(binary: &Path, settings: &str, sections: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("create a folder")?;
        let config = folder.path().join("bench.toml");
        let head = format!("namespace = \"bench\"\naccess_token = \"{TOKEN}\"\n{settings}\n");
        fs::write(&config, head + sections).context("write the configuration")?;
        Self::launch(binary, &config, folder)
    }

    /// Starts `binary` with an existing configuration, and scrapes it; `folder` is for its own files.
    pub(crate) fn start_with_config(binary: &Path, config: &Path, folder: TempDir) -> Result<Self> {
        let gateway = Self::launch(binary, config, folder)?;
        gateway.scrape()?;
        Ok(gateway)
    }

    fn launch(binary: &Path, config: &Path, folder: TempDir) -> Result<Self> {
        let address = || free_port().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let (address, metrics) = (address()?, address()?);
        let home = folder.path().join("gateway");
        fs::create_dir(&home).context("create a folder")?;
        let program = Program::new("gateway", binary, &home)
            .args(["serve", "--listen", &address.to_string()])
            .args(["--health-listen", &metrics.to_string(), "--config"])
            .args([config])
            // As in the image.
            .env("MALLOC_ARENA_MAX", "1")
            .ready_on(address.port());
        Ok(Self { server: Server::start(program)?, address, metrics, _folder: folder })
    }

    /// Scrapes the gateway from now on.
    fn scrape(&self) -> Result<()> {
        let mut client = self.metrics_client()?;
        // Ends with the gateway, or when the connection reaches its maximum age.
        thread::spawn(move || {
            while client.get().is_ok() {
                thread::sleep(SCRAPE_INTERVAL);
            }
        });
        Ok(())
    }

    /// Opens a connection for scrapes.
    pub(crate) fn metrics_client(&self) -> Result<Client> {
        Client::connect(self.metrics, Request::get("/metrics", &[]))
    }

    pub(crate) fn pid(&self) -> Result<i32> {
        self.server.pid().ok_or_else(|| Error::new("the gateway has exited"))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens a connection; its requests have these headers.
    pub(crate) fn client(&self, headers: &[&str]) -> Result<Client> {
        Client::connect(self.address, request(headers))
    }

    /// Opens a connection for requests that run every check, after a run in which all were `working`.
    pub(crate) fn fresh_client(&self) -> Result<Client> {
        let mut client = self.client(&[NO_CACHE])?;
        client.get_report()?;
        Ok(client)
    }
}

/// Returns the request for a report.
pub(crate) fn request(headers: &[&str]) -> Request {
    Request::get(&format!("/api/health/{TOKEN}/"), headers)
}
