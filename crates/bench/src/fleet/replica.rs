//! One gateway of the fleet, which can be killed, paused and restarted.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use stack::{Program, Server, free_port};

use crate::error::{Context, Error, Result};
use crate::fleet::periods::Periods;
use crate::gateway::TOKEN;
use crate::http::client::check_results;

/// Longer than a replica takes to give a complete report on a busy machine.
const COMPLETE_TIMEOUT: Duration = Duration::from_mins(1);

/// A running gateway, which ends when this is dropped.
pub(super) struct Replica {
    server: Mutex<Server>,
    pub(super) address: SocketAddr,
    metrics: SocketAddr,
    /// When it was killed or paused.
    pub(super) disturbed: Periods,
    /// How long it took from its start to its first complete report.
    pub(super) start: Duration,
}

impl Replica {
    /// Starts `binary` with a folder of its own, and waits until it reports that every check is `working`.
    pub(super) fn start(binary: &Path, config: &Path, home: &Path) -> Result<Self> {
        let begun = Instant::now();
        let address = || free_port().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let (address, metrics) = (address()?, address()?);
        fs::create_dir(home).context("create a folder")?;
        let program = Program::new("gateway", binary, home)
            .args(["serve", "--listen", &address.to_string()])
            .args(["--health-listen", &metrics.to_string(), "--config"])
            .args([config])
            .ready_on(address.port());
        let server = Mutex::new(Server::start(program)?);
        let disturbed = Periods::default();
        let mut replica = Self { server, address, metrics, disturbed, start: Duration::ZERO };
        replica.wait_until_complete()?;
        replica.start = begun.elapsed();
        Ok(replica)
    }

    pub(super) fn pid(&self) -> Result<i32> {
        self.server.lock().pid().ok_or_else(|| Error::new("a gateway has exited"))
    }

    pub(super) fn pause(&self) {
        self.disturbed.begin();
        self.server.lock().pause();
    }

    pub(super) fn resume(&self) {
        self.server.lock().resume();
        self.disturbed.end();
    }

    pub(super) fn kill(&self) {
        self.disturbed.begin();
        self.server.lock().stop();
    }

    pub(super) fn restart(&self) -> Result<()> {
        self.server.lock().restart()?;
        self.disturbed.end();
        Ok(())
    }

    /// Whether the last result of the check of `component` is its own.
    pub(super) fn runs(&self, component: &str) -> Result<bool> {
        let label = format!("component=\"{component}\"");
        self.has_metric("health_gateway_check_shared{", &label, "0")
    }

    /// Whether it uses the store.
    pub(super) fn has_store(&self) -> Result<bool> {
        self.has_metric("health_gateway_share_store_up{", "", "1")
    }

    fn has_metric(&self, name: &str, label: &str, value: &str) -> Result<bool> {
        let metrics = stack::http::request(self.metrics, "GET", "/metrics", &[], "")?.body;
        let value = format!(" {value}");
        Ok(metrics.lines().any(|line| {
            line.starts_with(name) && line.contains(label) && line.trim_end().ends_with(&value)
        }))
    }

    fn wait_until_complete(&self) -> Result<()> {
        let deadline = Instant::now() + COMPLETE_TIMEOUT;
        let path = format!("/api/health/{TOKEN}/");
        loop {
            let accept = "Accept: application/json";
            let body = stack::http::request(self.address, "GET", &path, &[accept], "")?.body;
            let report: Value = serde_json::from_str(&body).context("read a report")?;
            let results = check_results(&report);
            if !results.is_empty() && results.iter().all(|(_, it)| it["status"] == "working") {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::new(format!("not working without faults: {body}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}
