//! What the shared Vault holds: the demo's secrets, and the role with which its gateway logs in.

use std::fs;
use std::io::Read;

use serde_json::{Value, json};

use crate::aws::SECRET_ACCESS_KEY;
use crate::error::{Context, Error, Result};
use crate::{HEALTH_PASSWORD, NAMESPACE, VAULT, permissions, place, vault};

/// The name of the policy and of the `AppRole`.
const ROLE: &str = "health-gateway";

/// The token of the demo's namespace, as the shared Vault holds it.
pub fn access_token() -> Result<String> {
    let secret = api("GET", &path("health"), &Value::Null)?;
    text(&secret, "/data/data/access_token")
}

/// Fills the shared Vault; what is there already stays.
pub(crate) fn vault() -> Result<()> {
    unless_there(
        "sys/mounts/kv1",
        "sys/mounts",
        "kv1/",
        &json!({"type": "kv", "options": {"version": "1"}}),
    )?;
    unless_there("sys/auth/approle", "sys/auth", "approle/", &json!({"type": "approle"}))?;
    if access_token().is_err() {
        write_secret("health", "access_token", &random()?)?;
    }
    write_secret("postgres", "password", HEALTH_PASSWORD)?;
    write_secret("redis", "password", HEALTH_PASSWORD)?;
    write_secret("rabbit", "password", HEALTH_PASSWORD)?;
    write_secret("clickhouse", "password", HEALTH_PASSWORD)?;
    write_secret("aws", "secret_access_key", SECRET_ACCESS_KEY)?;
    let policy = permissions::of("Vault", &VAULT, "the AppRole at auth/approle")?;
    api("PUT", &format!("sys/policies/acl/{ROLE}"), &json!({"policy": policy}))?;
    let role = format!("auth/approle/role/{ROLE}");
    api("POST", &role, &json!({"token_policies": [ROLE], "token_ttl": "1h"}))?;
    let role_id = api("GET", &format!("{role}/role-id"), &Value::Null)?;
    let secret_id = api("POST", &format!("{role}/secret-id"), &json!({}))?;
    let state = place::state();
    place::write_secret(&state.join("role-id"), &text(&role_id, "/data/role_id")?)?;
    place::write_secret(&state.join("secret-id"), &text(&secret_id, "/data/secret_id")?)
}

fn api(method: &str, path: &str, body: &Value) -> Result<Value> {
    vault::api(VAULT.port(), method, path, body)
}

fn path(name: &str) -> String {
    format!("secret/data/{NAMESPACE}/{name}")
}

fn write_secret(name: &str, key: &str, value: &str) -> Result<()> {
    api("POST", &path(name), &json!({"data": {key: value}})).map(drop)
}

/// Enables a secrets engine or a login unless the list at `list` names it.
fn unless_there(path: &str, list: &str, name: &str, body: &Value) -> Result<()> {
    if api("GET", list, &Value::Null)?.get("data").is_some_and(|all| all.get(name).is_some()) {
        return Ok(());
    }
    api("POST", path, body).map(drop)
}

fn text(answer: &Value, pointer: &str) -> Result<String> {
    let text = answer.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| Error::new(format!("vault: no `{pointer}` in its answer")))
}

/// 128 random bits in hexadecimal.
fn random() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context(|| "read /dev/urandom".to_owned())?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
