//! A private Vault as in production: with persistent storage, and sealed after each start.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ROOT_TOKEN, call, token_header};
use crate::error::{Context, Error, Result};
use crate::process::POLL_INTERVAL;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::tls::Tls;
use crate::{http, port};

/// Longer than a node has taken to become active or to join a cluster.
const STATE_TIMEOUT: Duration = Duration::from_mins(1);

/// A node, alone or in a cluster, which is not initialized at first.
pub struct Node {
    /// The server's process; a restart seals the server.
    pub server: Server,
    port: u16,
    tls_port: u16,
    key: String,
    folder: TempDir,
}

impl Node {
    /// Starts a node that listens on [`Node::port`], and with `tls` also on [`Node::tls_port`].
    pub fn start(tls: Option<&Tls>) -> Result<Self> {
        let folder = private_folder("vault-node")?;
        let home = crate::paths::create(home(&folder))?;
        let (port, tls_port) = (port::free_port()?, port::free_port()?);
        let mut config = config(&home, port, port::free_port()?);
        if let Some(tls) = tls {
            config.push_str(&tls_listener(&home, tls_port, tls)?);
        }
        fs::write(home.join("node.hcl"), config)
            .context(|| "vault: write its configuration".to_owned())?;
        let server = Server::start(program(&home, port, &[]))?;
        Ok(Self { server, port, tls_port, key: String::new(), folder })
    }

    /// Starts a second node of the cluster of `active`, and waits until it is a standby.
    pub fn start_standby(active: &Self) -> Result<Self> {
        let mut node = Self::start(None)?;
        node.key.clone_from(&active.key);
        let leader = format!("http://127.0.0.1:{}", active.port);
        node.api("PUT", "sys/storage/raft/join", &json!({"leader_api_addr": leader}))?;
        node.submit_key()?;
        // It forwards no requests before it has found the active node.
        node.wait_for("a standby", |health| {
            health["standby"] == true && health["replication_performance_mode"] == "primary"
        })?;
        Ok(node)
    }

    /// Initializes and unseals the node, and creates [`ROOT_TOKEN`].
    pub fn initialize(&mut self) -> Result<()> {
        let shares = json!({"secret_shares": 1, "secret_threshold": 1});
        let init = self.api("PUT", "sys/init", &shares)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.key = text(&init["keys"][0]);
        self.unseal()?;
        let root = token_header(&text(&init["root_token"]));
        let token = json!({"id": ROOT_TOKEN, "policies": ["root"]}).to_string();
        let address = super::localhost(self.port);
        let response = http::request(address, "PUT", "/v1/auth/token/create", &[&root], &token)?;
        match response.status {
            200 => Ok(()),
            status => Err(Error::new(format!("vault: {status} {}", response.body.trim()))),
        }
    }

    /// Unseals the node, and waits until it is active.
    pub fn unseal(&self) -> Result<()> {
        self.submit_key()?;
        self.wait_for("active", |health| health["standby"] == false && health["sealed"] == false)
    }

    /// Restarts the node in recovery mode, in which almost all of the API is unavailable.
    pub fn restart_in_recovery_mode(&mut self) -> Result<()> {
        self.server.stop();
        self.server = Server::start(program(&home(&self.folder), self.port, &["-recovery"]))?;
        Ok(())
    }

    /// The port on 127.0.0.1 without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port on 127.0.0.1 with TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Calls its API with the root token.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        super::api(self.port, method, path, body)
    }

    fn submit_key(&self) -> Result<()> {
        self.api("PUT", "sys/unseal", &json!({"key": self.key})).map(drop)
    }

    fn wait_for(&self, state: &str, reached: impl Fn(&Value) -> bool) -> Result<()> {
        let deadline = Instant::now() + STATE_TIMEOUT;
        loop {
            let health = call(self.port, "GET", "sys/health", &Value::Null)?.body;
            if serde_json::from_str(&health).is_ok_and(|health| reached(&health)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::new(format!(
                    "vault: timed out before it was {state}: {}",
                    health.trim()
                )));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Returns the data folder; the log is beside it, and is removed with the temporary folder.
fn home(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn program(home: &Path, port: u16, args: &[&str]) -> Program {
    Program::new("vault", crate::python::program("bao"), home)
        .args(["server", "-config", "node.hcl"])
        .args(args)
        // A node is ready once it reports its health, even if it is sealed.
        .ready(move || match call(port, "GET", "sys/health", &Value::Null) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        })
}

fn config(home: &Path, port: u16, cluster_port: u16) -> String {
    format!(
        r#"
storage "raft" {{
  path = "{}"
  node_id = "{port}"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_disable = true
}}
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
disable_mlock = true
"#,
        home.display()
    )
}

fn tls_listener(home: &Path, port: u16, tls: &Tls) -> Result<String> {
    let files = tls.write(home)?;
    let mut lines = format!(
        "  address = \"127.0.0.1:{port}\"\n  tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n",
        files.certificate.display(),
        files.private_key.display(),
    );
    if let Some(ca) = &files.client_ca {
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            lines,
            "  tls_client_ca_file = \"{}\"\n  tls_require_and_verify_client_cert = true",
            ca.display()
        );
    }
    Ok(format!("listener \"tcp\" {{\n{lines}}}\n"))
}
