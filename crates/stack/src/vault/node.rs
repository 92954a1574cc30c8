//! A private Vault as in production: with storage that outlives a restart, sealed until it is given its key.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ROOT_TOKEN, ask, header};
use crate::error::{Context, Error, Result};
use crate::process::POLL;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::{http, port};

/// Longer than a node ever took to become active or to join its cluster.
const WITHIN: Duration = Duration::from_mins(1);

/// One node, alone or in a cluster; not initialized at first.
pub struct Node {
    /// The process, to be paused, stopped and restarted (which seals it).
    pub server: Server,
    port: u16,
    tls_port: u16,
    key: String,
    folder: TempDir,
}

/// A second listener, with TLS; everything is PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server's certificate.
    pub certificate: String,
    /// Its private key.
    pub private_key: String,
    /// Demands client certificates that this authority has issued.
    pub client_ca: Option<String>,
}

impl Node {
    /// Starts one that listens on [`Node::port`], and with `tls` on [`Node::tls_port`] as well.
    pub fn start(tls: Option<&Tls>) -> Result<Self> {
        let folder = private_folder("vault-node")?;
        let home = crate::place::make(home(&folder))?;
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

    /// Starts a second node of the cluster of `active`, and waits until it stands by.
    pub fn start_standby(active: &Self) -> Result<Self> {
        let mut node = Self::start(None)?;
        node.key.clone_from(&active.key);
        let leader = format!("http://127.0.0.1:{}", active.port);
        node.api("PUT", "sys/storage/raft/join", &json!({"leader_api_addr": leader}))?;
        node.give_key()?;
        // Before it has heard of the active node, it forwards nothing.
        node.wait_for("a standby", |health| {
            health["standby"] == true && health["replication_performance_mode"] == "primary"
        })?;
        Ok(node)
    }

    /// Initializes it, unseals it, and makes [`ROOT_TOKEN`] its root token.
    pub fn initialize(&mut self) -> Result<()> {
        let shares = json!({"secret_shares": 1, "secret_threshold": 1});
        let init = self.api("PUT", "sys/init", &shares)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.key = text(&init["keys"][0]);
        self.unseal()?;
        let root = header(&text(&init["root_token"]));
        let token = json!({"id": ROOT_TOKEN, "policies": ["root"]}).to_string();
        let address = super::local(self.port);
        let answer = http::request(address, "PUT", "/v1/auth/token/create", &[&root], &token)?;
        match answer.status {
            200 => Ok(()),
            status => Err(Error::new(format!("vault: {status} {}", answer.body.trim()))),
        }
    }

    /// Unseals it, and waits until it is active.
    pub fn unseal(&self) -> Result<()> {
        self.give_key()?;
        self.wait_for("active", |health| health["standby"] == false && health["sealed"] == false)
    }

    /// Starts it again in recovery mode, in which it has next to no API.
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

    /// Asks its API with the root token.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        super::api(self.port, method, path, body)
    }

    fn give_key(&self) -> Result<()> {
        self.api("PUT", "sys/unseal", &json!({"key": self.key})).map(drop)
    }

    fn wait_for(&self, what: &str, reached: impl Fn(&Value) -> bool) -> Result<()> {
        let deadline = Instant::now() + WITHIN;
        loop {
            let health = ask(self.port, "GET", "sys/health", &Value::Null)?.body;
            if serde_json::from_str(&health).is_ok_and(|health| reached(&health)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::new(format!("vault: not {what} yet: {}", health.trim())));
            }
            thread::sleep(POLL);
        }
    }
}

/// Its log is beside it, and goes with the folder as well.
fn home(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn program(home: &Path, port: u16, args: &[&str]) -> Program {
    Program::new("vault", crate::python::program("bao"), home)
        .args(["server", "-config", "node.hcl"])
        .args(args)
        // Sealed or not, a node that says so is ready.
        .ready(move || match ask(port, "GET", "sys/health", &Value::Null) {
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
    let file = |name: &str, pem: &str| {
        let path = home.join(name);
        fs::write(&path, pem).context(|| format!("write {}", path.display()))?;
        Ok(path.display().to_string())
    };
    let mut lines = format!(
        "  address = \"127.0.0.1:{port}\"\n  tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n",
        file("server.pem", &tls.certificate)?,
        file("server.key", &tls.private_key)?,
    );
    if let Some(ca) = &tls.client_ca {
        let ca = file("client-ca.pem", ca)?;
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            lines,
            "  tls_client_ca_file = \"{ca}\"\n  tls_require_and_verify_client_cert = true"
        );
    }
    Ok(format!("listener \"tcp\" {{\n{lines}}}\n"))
}
