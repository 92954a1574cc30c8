//! Writes the demo's configuration of the gateway: every component, on the shared stack.

use std::fs;
use std::path::PathBuf;

use crate::aws::{ACCESS_KEY_ID, REGION};
use crate::clickhouse::{DATABASE, TABLE};
use crate::error::{Context, Result};
use crate::localstack::{APP_BUCKET, BUS, CONNECTION, DESTINATION, HISTORY_BUCKET, RULE};
use crate::{
    CELERY_QUEUES, CLICKHOUSE, EDGE, HEALTH_USER, HISTORY, LOCALSTACK, MOTO, NAMESPACE, POSTGRES,
    POSTGRES_DATABASE, RABBIT, RABBIT_VHOST, REDIS, REDIS2, VAULT, WEBSOCKET, edge, moto, paths,
    seed,
};

/// Returns the path of the gateway's configuration for the demo.
pub fn demo_config() -> PathBuf {
    paths::state().join("demo.toml")
}

/// Writes the gateway's configuration for the demo, and the files that it refers to if they are missing.
pub(crate) fn write() -> Result<()> {
    let config = demo_config();
    let text = demo_toml(&moto::shared_distribution()?.id);
    let unchanged = fs::read_to_string(&config).is_ok_and(|written| written == text);
    let missing = |file: &&str| !paths::state().join(file).exists();
    if unchanged && !["role-id", "secret-id"].iter().any(missing) {
        return Ok(());
    }
    // It may refer to secrets that a running Vault does not contain yet.
    seed::shared_vault()?;
    fs::write(&config, text).context(|| format!("write {}", config.display()))
}

/// Returns the gateway's configuration for the demo, with this distribution and the addresses of the shared stack.
pub fn demo_toml(distribution: &str) -> String {
    let secret =
        |name: &str| format!("{HEALTH_USER}:${{vault:secret/{NAMESPACE}/{name}#password}}");
    let (redis, postgres, rabbit) = (secret("redis"), secret("postgres"), secret("rabbit"));
    let (cloud_front, history, s3) = (cloud_front_toml(distribution), history_toml(), s3_toml());
    let queues = CELERY_QUEUES.map(|queue| format!("\"{queue}\"")).join(", ");
    format!(
        r#"# The gateway's configuration for `cargo xtask demo`, written by `cargo xtask up`.

namespace = "{NAMESPACE}"
access_token = "vault:secret/{NAMESPACE}/health#access_token"
interval = "30s"

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

{cloud_front}
{history}
{s3}
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

fn cloud_front_toml(distribution: &str) -> String {
    let keys = aws_keys();
    let (object, content) = (edge::OBJECT, edge::CONTENT.trim_end());
    format!(
        r#"[cloud_front.site]
distribution = "{distribution}"
object = "{object}"
contains = "{content}"
# The domain of a distribution that is not AWS's does not resolve.
address = "http://{EDGE}"
endpoint_url = "http://{MOTO}"
{keys}
"#
    )
}

fn s3_toml() -> String {
    let keys = aws_keys();
    format!(
        r#"[s3.files]
bucket = "{APP_BUCKET}"
access = ["list", "read", "write", "delete"]
path_style = true
endpoint_url = "http://{LOCALSTACK}"
{keys}
"#
    )
}

/// Returns the AWS credentials of every section.
fn aws_keys() -> String {
    format!(
        r#"region = "{REGION}"
access_key_id = "{ACCESS_KEY_ID}"
secret_access_key = "vault:secret/{NAMESPACE}/aws#secret_access_key""#
    )
}

fn history_toml() -> String {
    let keys = aws_keys();
    let endpoint = format!("endpoint_url = \"http://{LOCALSTACK}\"\n{keys}");
    format!(
        r#"[history.clickhouse]
url = "http://{CLICKHOUSE}"
user = "{HEALTH_USER}"
password = "vault:secret/{NAMESPACE}/clickhouse#password"
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
{endpoint}

[history.api]
url = "http://{HISTORY}/health"
contains = "ok"

[history.files]
bucket = "{HISTORY_BUCKET}"
access = ["list", "read", "write", "delete"]
path_style = true
{endpoint}

[history.checks.e2e]
timeout = "20s"
"#
    )
}
