//! Asks Sentinel for the address of the primary.
//!
//! The protocol: <https://redis.io/docs/latest/develop/reference/sentinel-clients/>.

use std::sync::Arc;

use probe::{Failure, Observation, Steps};
use redis::Value;

use crate::deployment::{Credentials, Deployment, Node};
use crate::node_connection::NodeConnection;
use crate::role::{is_primary, replication_lag, text};
use crate::{Command, error};

const ASK_SENTINEL: &str = "ask sentinel";

/// Connects to the primary `service` at the address from the first sentinel that answers.
pub(crate) async fn connect(
    deployment: &Deployment,
    service: &str,
    credentials: &Credentials,
    steps: &Steps,
) -> Result<NodeConnection, Failure> {
    let primary = primary(deployment, service, credentials, steps).await?;
    let label = format!("the primary {primary} that sentinel names");
    let name = |failure: Failure| failure.in_context(&label);
    let own = Arc::new(Steps::new());
    steps.follow_in_context(own.clone(), label.as_str());
    let opened =
        NodeConnection::open(&own, &primary, deployment.tls.as_ref(), &deployment.credentials);
    let connection = opened.await.map_err(name)?;
    let role = Command::new("ask role", "ROLE", []);
    own.begin(role.step);
    let reply = connection.execute(0, &[role]).await.map_err(name)?.pop();
    match reply {
        Some(reply) if is_primary(&reply) => {
            if let Some(bytes) = replication_lag(&reply) {
                own.observe(Observation::RedisReplicationLag(bytes));
            }
            Ok(connection)
        }
        // During a failover, sentinels may know only the old primary.
        _ => Err(Failure::msg(
            ASK_SENTINEL,
            format!("the server {primary} that sentinel names is a replica"),
        )),
    }
}

/// The address of the primary `service` from the first sentinel that answers.
pub(crate) async fn primary(
    deployment: &Deployment,
    service: &str,
    credentials: &Credentials,
    steps: &Steps,
) -> Result<Node, Failure> {
    let ask = |sentinel, steps| ask(deployment, sentinel, service, credentials, steps);
    net::first_answer(&deployment.nodes, steps, ask).await
}

/// The address of the primary that a sentinel knows.
async fn ask(
    deployment: &Deployment,
    sentinel: &Node,
    service: &str,
    credentials: &Credentials,
    steps: Arc<Steps>,
) -> Result<Node, Failure> {
    let connection =
        NodeConnection::open(&steps, sentinel, deployment.tls.as_ref(), credentials).await?;
    let arguments = ["GET-MASTER-ADDR-BY-NAME", service];
    let command = Command::new(ASK_SENTINEL, "SENTINEL", arguments);
    steps.begin(command.step);
    let reply = connection.execute(0, &[command]).await?.pop();
    match reply.as_ref() {
        Some(Value::Nil) => {
            Err(Failure::msg(ASK_SENTINEL, "sentinel has no primary with this name"))
        }
        Some(Value::Array(address)) => {
            let port = text(address.get(1)).and_then(|port| port.parse().ok());
            let node = text(address.first()).zip(port).map(|(host, port)| Node::new(host, port));
            node.ok_or_else(|| Failure::new(ASK_SENTINEL, error::not_redis()))
        }
        _ => Err(Failure::new(ASK_SENTINEL, error::not_redis())),
    }
}
