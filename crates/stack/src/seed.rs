//! Seeds the shared Vault with the demo's secrets, policy and `AppRole`.

use std::fs;
use std::io::Read;

use serde_json::{Value, json};

use crate::aws::SECRET_ACCESS_KEY;
use crate::error::{Context, Error, Result};
use crate::{HEALTH_PASSWORD, NAMESPACE, VAULT, paths, permissions, vault};

/// The name of the policy and of the `AppRole`.
const ROLE: &str = "health-gateway";

/// Reads the access token of the demo's namespace from the shared Vault.
pub fn access_token() -> Result<String> {
    let secret = api("GET", &secret_path("health"), &Value::Null)?;
    string_at(&secret, "/data/data/access_token")
}

/// Seeds the shared Vault; existing mounts and the access token are kept.
pub(crate) fn vault() -> Result<()> {
    enable_unless_listed(
        "sys/mounts/kv1",
        "sys/mounts",
        "kv1/",
        &json!({"type": "kv", "options": {"version": "1"}}),
    )?;
    enable_unless_listed("sys/auth/approle", "sys/auth", "approle/", &json!({"type": "approle"}))?;
    if access_token().is_err() {
        write_secret("health", "access_token", &random_token()?)?;
    }
    write_secret("postgres", "password", HEALTH_PASSWORD)?;
    write_secret("redis", "password", HEALTH_PASSWORD)?;
    write_secret("rabbit", "password", HEALTH_PASSWORD)?;
    write_secret("clickhouse", "password", HEALTH_PASSWORD)?;
    write_secret("aws", "secret_access_key", SECRET_ACCESS_KEY)?;
    let policy = permissions::statements("Vault", &VAULT, "the AppRole at auth/approle")?;
    api("PUT", &format!("sys/policies/acl/{ROLE}"), &json!({"policy": policy}))?;
    let role = format!("auth/approle/role/{ROLE}");
    api("POST", &role, &json!({"token_policies": [ROLE], "token_ttl": "1h"}))?;
    let role_id = api("GET", &format!("{role}/role-id"), &Value::Null)?;
    let secret_id = api("POST", &format!("{role}/secret-id"), &json!({}))?;
    let state = paths::state();
    paths::write_secret(&state.join("role-id"), &string_at(&role_id, "/data/role_id")?)?;
    paths::write_secret(&state.join("secret-id"), &string_at(&secret_id, "/data/secret_id")?)
}

fn api(method: &str, path: &str, body: &Value) -> Result<Value> {
    vault::api(VAULT.port(), method, path, body)
}

fn secret_path(name: &str) -> String {
    format!("secret/data/{NAMESPACE}/{name}")
}

fn write_secret(name: &str, key: &str, value: &str) -> Result<()> {
    api("POST", &secret_path(name), &json!({"data": {key: value}})).map(drop)
}

/// Enables a secrets engine or an auth method, unless `list` contains it.
fn enable_unless_listed(path: &str, list: &str, name: &str, body: &Value) -> Result<()> {
    if api("GET", list, &Value::Null)?.get("data").is_some_and(|all| all.get(name).is_some()) {
        return Ok(());
    }
    api("POST", path, body).map(drop)
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
