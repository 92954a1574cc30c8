//! What the shared Vault holds, and the gateway's configuration for the demo.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::aws::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};
use crate::clickhouse::{DATABASE, TABLE};
use crate::error::{Context, Error, Result};
use crate::localstack::{BUS, CONNECTION, DESTINATION, HISTORY_BUCKET, RULE};
use crate::{
    CELERY_QUEUES, CLICKHOUSE, HEALTH_PASSWORD, HEALTH_USER, HISTORY, LOCALSTACK, NAMESPACE,
    POSTGRES, POSTGRES_DATABASE, RABBIT, RABBIT_VHOST, REDIS, REDIS2, VAULT, WEBSOCKET, place,
    vault,
};

/// The name of the policy and of the `AppRole`.
const ROLE: &str = "health-gateway";

/// Where the gateway's configuration for the demo is written.
pub fn demo_config() -> PathBuf {
    place::state().join("demo.toml")
}

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
    let read = ["aws", "clickhouse", "health", "postgres", "rabbit", "redis"]
        .map(|name| format!("path \"{}\" {{ capabilities = [\"read\"] }}\n", path(name)));
    api("PUT", &format!("sys/policies/acl/{ROLE}"), &json!({"policy": read.concat()}))?;
    let role = format!("auth/approle/role/{ROLE}");
    api("POST", &role, &json!({"token_policies": [ROLE], "token_ttl": "1h"}))?;
    let role_id = api("GET", &format!("{role}/role-id"), &Value::Null)?;
    let secret_id = api("POST", &format!("{role}/secret-id"), &json!({}))?;
    let state = place::state();
    place::write_secret(&state.join("role-id"), &text(&role_id, "/data/role_id")?)?;
    place::write_secret(&state.join("secret-id"), &text(&secret_id, "/data/secret_id")?)
}

/// Writes the gateway's configuration for the demo, and what it refers to when that is gone.
pub(crate) fn demo() -> Result<()> {
    let config = demo_config();
    let text = demo_toml();
    let same = fs::read_to_string(&config).is_ok_and(|written| written == text);
    let missing = |file: &&str| !place::state().join(file).exists();
    if same && !["role-id", "secret-id"].iter().any(missing) {
        return Ok(());
    }
    // It may refer to secrets that a Vault of an earlier day does not hold.
    vault()?;
    fs::write(&config, text).context(|| format!("write {}", config.display()))
}

fn demo_toml() -> String {
    let secret =
        |name: &str| format!("{HEALTH_USER}:${{vault:secret/{NAMESPACE}/{name}#password}}");
    let (redis, postgres, rabbit) = (secret("redis"), secret("postgres"), secret("rabbit"));
    let history = history_toml();
    let queues = CELERY_QUEUES.map(|queue| format!("\"{queue}\"")).join(", ");
    format!(
        r#"# The gateway's configuration for `cargo xtask demo`, written by `cargo xtask up`.

namespace = "{NAMESPACE}"
access_token = "vault:secret/{NAMESPACE}/health#access_token"

[cache]
data = "redis://{redis}@{REDIS2}/1"
pages = "redis://{redis}@{REDIS2}/2"
task_lock = "redis://{redis}@{REDIS2}/3"
task_queue = "redis://{redis}@{REDIS2}/4"

[celery]
broker = "amqp://{rabbit}@{RABBIT}/{RABBIT_VHOST}"
result_backend = "rpc://"
canary = true
max_messages = 1000
queues = [{queues}]

{history}
[postgres]
url = "postgres://{postgres}@{POSTGRES}/{POSTGRES_DATABASE}?sslmode=disable"

[rabbit]
url = "amqp://{rabbit}@{RABBIT}/{RABBIT_VHOST}"

[redis2]
kind = "redis"
url = "redis://{redis}@{REDIS2}/0"

[redis]
url = "redis://{redis}@{REDIS}/0"

[vault]
url = "http://{VAULT}"
login = "approle"
role_id = "${{file:role-id}}"
secret_id = "${{file:secret-id}}"

[websocket]
url = "ws://{WEBSOCKET}/"
"#
    )
}

fn history_toml() -> String {
    let secret = |name: &str| format!("vault:secret/{NAMESPACE}/{name}");
    let (clickhouse, aws) = (secret("clickhouse#password"), secret("aws#secret_access_key"));
    let place = format!(
        r#"endpoint_url = "http://{LOCALSTACK}"
region = "{REGION}"
access_key_id = "{ACCESS_KEY_ID}"
secret_access_key = "{aws}""#
    );
    format!(
        r#"[history.clickhouse]
url = "http://{CLICKHOUSE}"
user = "{HEALTH_USER}"
password = "{clickhouse}"
database = "{DATABASE}"
table = "{TABLE}"
writes = true

[history.e2e]
time_column = "received"

[history.event_bridge]
bus = "{BUS}"
rule = "{RULE}"
api_destination = "{DESTINATION}"
connection = "{CONNECTION}"
{place}

[history.api]
url = "http://{HISTORY}/health"
contains = "ok"

[history.files]
bucket = "{HISTORY_BUCKET}"
access = ["list", "read", "write", "delete"]
path_style = true
{place}
"#
    )
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
