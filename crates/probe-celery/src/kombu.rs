//! Queues and messages as kombu keeps them in Redis.
//!
//! The transport: `kombu/transport/redis.py` and `kombu/transport/virtual/base.py` of kombu 5.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::reply_path::SEPARATOR;

/// The priorities that have lists of their own; the first one has the queue's bare name.
pub(crate) const PRIORITIES: [&str; 4] = ["", "3", "6", "9"];

/// The lists of a queue, one for each priority.
pub(crate) fn lists(queue: &str) -> [String; 4] {
    PRIORITIES.map(|priority| match priority {
        "" => queue.to_owned(),
        priority => format!("{queue}{SEPARATOR}{priority}"),
    })
}

/// A message in the form of kombu's virtual transports.
pub(crate) fn envelope(body: &str, headers: &Value, properties: &Value) -> String {
    json!({
        "body": STANDARD.encode(body),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    })
    .to_string()
}

/// The headers and the body of a message.
pub(crate) fn opened(message: &str) -> Option<(Value, Vec<u8>)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let body = STANDARD.decode(message.get("body")?.as_str()?).ok()?;
    Some((message.get("headers")?.clone(), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_has_a_list_for_each_priority() {
        assert_eq!(lists("a"), ["a", "a\x06\x163", "a\x06\x166", "a\x06\x169"]);
    }
}
