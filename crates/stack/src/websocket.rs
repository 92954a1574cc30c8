//! A WebSocket server that echoes messages, and misbehaves on some paths: shared and private servers.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::install::Dependency;
use crate::process::POLL_INTERVAL;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
pub use crate::tls::Tls;
use crate::{HEALTH_PASSWORD, port};

const SCRIPT: &str = include_str!("websocket.py");
/// Longer than a connection has taken to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) const SERVICE: Service = Service {
    name: "websocket",
    port: Some(crate::WEBSOCKET.port()),
    dependencies: &[Dependency::Python { requirement: "websockets==17.4" }],
    prepare: |_, home| prepare(home, crate::WEBSOCKET.port(), None),
    seed: |_| Ok(()),
    stop: Signal::KILL,
};

/// A private server.
pub struct Websocket {
    /// The server's process.
    pub server: Server,
    port: u16,
    home: PathBuf,
    _folder: TempDir,
}

impl Websocket {
    /// Starts a server, with or without TLS.
    pub fn start(tls: Option<&Tls>) -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("websocket")?;
        let home = folder.path().join("data");
        let server = Server::start(prepare(&home, port, tls)?)?;
        Ok(Self { server, port, home, _folder: folder })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until no WebSocket is open, and returns how many were closed with each code; 1006 is a lost connection.
    pub fn closed(&self) -> Result<Value> {
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        loop {
            let text = fs::read_to_string(self.home.join("connections.json")).unwrap_or_default();
            let mut counts: Value = serde_json::from_str(&text).unwrap_or_default();
            if counts["open"] == 0 {
                counts.as_object_mut().and_then(|counts| counts.remove("open"));
                return Ok(counts);
            }
            if Instant::now() > deadline {
                return Err(Error::new(format!(
                    "websocket: timed out with open connections: {text}"
                )));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Returns the shared server's address, or an error if `cargo xtask up` has not started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

fn prepare(home: &Path, port: u16, tls: Option<&Tls>) -> Result<Program> {
    crate::paths::recreate(home)?;
    let script = home.join("server.py");
    fs::write(&script, SCRIPT).context(|| format!("write {}", script.display()))?;
    let files = tls.map(|tls| tls.write(home)).transpose()?;
    // The script takes empty arguments for files that do not exist.
    let [certificate, private_key, client_ca] = files.map_or_else(Default::default, |files| {
        [files.certificate, files.private_key, files.client_ca.unwrap_or_default()]
    });
    Ok(Program::new("websocket", crate::python::program("python"), home)
        .args([script])
        .args(["127.0.0.1", &port.to_string(), HEALTH_PASSWORD])
        .args([certificate, private_key, client_ca])
        .ready_on(port))
}
