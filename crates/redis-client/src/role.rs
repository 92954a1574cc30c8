//! Detects a writable replica that has lost its primary.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use probe::{Failure, Steps};
use redis::Value;

use crate::node_connection::NodeConnection;
use crate::{Command, error};

const STEP: &str = "role";

/// How many connections in a row may end when the server is asked for its role, until it is not asked again.
const MAX_CLOSED: u8 = 2;

/// Asks the server of one connection for its role, until the answer is a good one.
///
/// The role is verified once for each connection and not in each run, like everything else that only a new connection shows.
#[derive(Debug, Default)]
pub(crate) struct RoleCheck {
    proven: AtomicBool,
    /// How many connections to this server ended at this request: a proxy that does not know the command closes the connection.
    closed: Arc<AtomicU8>,
}

impl RoleCheck {
    /// A check for a new connection; `closed` is common to all connections to its server.
    pub(crate) fn new(closed: Arc<AtomicU8>) -> Self {
        Self { proven: AtomicBool::new(false), closed }
    }

    /// A check for a server that is known to be a primary.
    pub(crate) fn proven() -> Self {
        Self { proven: AtomicBool::new(true), closed: Arc::default() }
    }

    /// Fails if the server is a replica that is not connected to its primary: it may accept writes, and lose them.
    ///
    /// A server that does not report its role passes.
    pub(crate) async fn run(&self, steps: &Steps, node: &NodeConnection) -> Result<(), Failure> {
        if self.proven.load(Ordering::Relaxed) || self.closed.load(Ordering::Relaxed) >= MAX_CLOSED
        {
            return Ok(());
        }
        steps.begin(STEP);
        // Since Redis 6, `HELLO` needs no permission. Older servers have no permissions, so that `ROLE` is allowed.
        let Some(hello) = self.ask(node, "HELLO").await else { return Ok(()) };
        let is_replica = match &hello {
            Value::Array(properties) => properties.chunks(2).any(|pair| {
                text(pair.first()) == Some("role") && text(pair.get(1)) != Some("master")
            }),
            _ => false,
        };
        if is_replica || matches!(hello, Value::ServerError(_)) {
            let Some(role) = self.ask(node, "ROLE").await else { return Ok(()) };
            if is_replica || !matches!(role, Value::ServerError(_)) {
                verify(&error::check_reply(STEP, role)?)?;
            }
        }
        self.proven.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The reply, or `None` if the connection has ended.
    async fn ask(&self, node: &NodeConnection, command: &'static str) -> Option<Value> {
        let replies = node.exchange(0, &[Command::new(STEP, command, [])]).await;
        if replies.is_ok() {
            self.closed.store(0, Ordering::Relaxed);
        } else {
            self.closed.fetch_add(1, Ordering::Relaxed);
        }
        replies.ok()?.pop()
    }
}

/// Whether the reply to `ROLE` is that of a primary.
pub(crate) fn is_primary(reply: &Value) -> bool {
    matches!(reply, Value::Array(parts) if text(parts.first()) == Some("master"))
}

/// How many bytes the slowest replica has not received, according to a primary's reply to `ROLE`. `None` if the primary has no replicas.
pub(crate) fn replication_lag(reply: &Value) -> Option<u64> {
    let Value::Array(parts) = reply else { return None };
    let [_, Value::Int(offset), Value::Array(replicas)] = parts.as_slice() else { return None };
    let received = |replica: &Value| match replica {
        Value::Array(replica) => text(replica.get(2))?.parse::<i64>().ok(),
        _ => None,
    };
    let behind = offset.saturating_sub(replicas.iter().filter_map(received).min()?);
    Some(behind.max(0).unsigned_abs())
}

/// Verifies that the reply to `ROLE` is not that of a replica without its primary.
pub(crate) fn verify(reply: &Value) -> Result<(), Failure> {
    let Value::Array(parts) = reply else { return Ok(()) };
    match parts.as_slice() {
        [role, host, Value::Int(port), link, ..]
            if text(Some(role)) == Some("slave") && text(Some(link)) != Some("connected") =>
        {
            let (host, link) = (text(Some(host)), text(Some(link)));
            Err(Failure::msg(
                STEP,
                format!(
                    "the server is a replica that is not connected to its primary {}:{port} ({})",
                    host.unwrap_or_default(),
                    link.unwrap_or_default()
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// A string of a reply.
pub(crate) fn text(value: Option<&Value>) -> Option<&str> {
    match value {
        Some(Value::BulkString(bytes)) => std::str::from_utf8(bytes).ok(),
        Some(Value::SimpleString(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(replicas: &[&str]) -> Value {
        let string = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let replica = |offset: &&str| Value::Array(["10.0.0.7", "6379", offset].map(string).into());
        let replicas = Value::Array(replicas.iter().map(replica).collect());
        Value::Array(vec![string("master"), Value::Int(5000), replicas])
    }

    #[test]
    fn the_lag_is_that_of_the_slowest_replica() {
        assert_eq!(replication_lag(&primary(&["4990", "1200"])), Some(3800));
        // A replica that has just received more than the primary counted.
        assert_eq!(replication_lag(&primary(&["5010"])), Some(0));
        assert_eq!(replication_lag(&primary(&[])), None);
        assert_eq!(replication_lag(&Value::Nil), None);
    }
}
