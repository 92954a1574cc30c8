//! Seeds a Vault with the demo's secrets, policy and `AppRole`.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use crate::aws::SECRET_ACCESS_KEY;
use crate::error::{Context, Error, Result};
use crate::{HEALTH_PASSWORD, NAMESPACE, VAULT, paths, permissions, vault};

/// The name of the policy and of the `AppRole`.
pub const ROLE: &str = "health-gateway";

/// Reads the access token of the demo's namespace from the shared Vault.
pub fn access_token() -> Result<String> {
    Seeding { port: VAULT.port() }.access_token()
}

/// Seeds the shared Vault, and writes the files that the demo's configuration refers to.
pub(crate) fn shared_vault() -> Result<()> {
    seed_vault(VAULT.port(), &paths::state())
}

/// Seeds the Vault on this port of 127.0.0.1, and writes `role-id` and `secret-id` into a folder; existing mounts and the access token are kept.
pub fn seed_vault(port: u16, folder: &Path) -> Result<()> {
    let server = Seeding { port };
    server.enable_unless_listed(
        "sys/mounts/kv1",
        "sys/mounts",
        "kv1/",
        &json!({"type": "kv", "options": {"version": "1"}}),
    )?;
    let app_role = json!({"type": "approle"});
    server.enable_unless_listed("sys/auth/approle", "sys/auth", "approle/", &app_role)?;
    if server.access_token().is_err() {
        server.write_secret("health", "access_token", &random_token()?)?;
    }
    server.write_secret("postgres", "password", HEALTH_PASSWORD)?;
    server.write_secret("redis", "password", HEALTH_PASSWORD)?;
    server.write_secret("rabbit", "password", HEALTH_PASSWORD)?;
    server.write_secret("clickhouse", "password", HEALTH_PASSWORD)?;
    server.write_secret("aws", "secret_access_key", SECRET_ACCESS_KEY)?;
    let policy = permissions::statements("Vault", &VAULT, "the AppRole at auth/approle")?;
    server.api("PUT", &format!("sys/policies/acl/{ROLE}"), &json!({"policy": policy}))?;
    let role = format!("auth/approle/role/{ROLE}");
    server.api("POST", &role, &json!({"token_policies": [ROLE], "token_ttl": "1h"}))?;
    let role_id = server.api("GET", &format!("{role}/role-id"), &Value::Null)?;
    let secret_id = server.api("POST", &format!("{role}/secret-id"), &json!({}))?;
    paths::write_secret(&folder.join("role-id"), &string_at(&role_id, "/data/role_id")?)?;
    paths::write_secret(&folder.join("secret-id"), &string_at(&secret_id, "/data/secret_id")?)
}

/// A Vault that is being seeded.
struct Seeding {
    port: u16,
}

impl Seeding {
    fn api(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        vault::api(self.port, method, path, body)
    }

    fn access_token(&self) -> Result<String> {
        let secret = self.api("GET", &secret_path("health"), &Value::Null)?;
        string_at(&secret, "/data/data/access_token")
    }

    fn write_secret(&self, name: &str, key: &str, value: &str) -> Result<()> {
        self.api("POST", &secret_path(name), &json!({"data": {key: value}})).map(drop)
    }

    /// Enables a secrets engine or an auth method, unless `list` contains it.
    fn enable_unless_listed(&self, path: &str, list: &str, name: &str, body: &Value) -> Result<()> {
        let all = self.api("GET", list, &Value::Null)?;
        if all.get("data").is_some_and(|all| all.get(name).is_some()) {
            return Ok(());
        }
        self.api("POST", path, body).map(drop)
    }
}

fn secret_path(name: &str) -> String {
    format!("secret/data/{NAMESPACE}/{name}")
}

fn string_at(response: &Value, pointer: &str) -> Result<String> {
    let text = response.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| Error::new(format!("vault: no `{pointer}` in its response")))
}

/// Returns 128 random bits in hexadecimal.
fn random_token() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context(|| "read /dev/urandom".to_owned())?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
