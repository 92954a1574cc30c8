//! Queues and messages as kombu stores them in Redis.
//!
//! The transport: `kombu/transport/redis.py` and `kombu/transport/virtual/base.py` of kombu 5.

use data_encoding::BASE64;
use serde_json::{Value, json};

/// The separator between the parts of a name.
pub(crate) const SEPARATOR: &str = "\u{6}\u{16}";
/// The priorities that have a list of their own; the first list has the name of the queue alone.
pub(crate) const PRIORITIES: [&str; 4] = ["", "3", "6", "9"];

/// The lists of a queue, one for each priority.
pub(crate) fn priority_lists(queue: &str) -> [String; 4] {
    PRIORITIES.map(|priority| match priority {
        "" => queue.to_owned(),
        priority => format!("{queue}{SEPARATOR}{priority}"),
    })
}

/// Encodes a message of kombu's virtual transports.
pub(crate) fn encode_message(body: &str, headers: &Value, properties: &Value) -> String {
    json!({
        "body": BASE64.encode(body.as_bytes()),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    })
    .to_string()
}

/// Decodes a message into its headers and its body.
pub(crate) fn decode_message(message: &str) -> Option<(Value, Vec<u8>)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let body = BASE64.decode(message.get("body")?.as_str()?.as_bytes()).ok()?;
    Some((message.get("headers")?.clone(), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_has_a_list_for_each_priority() {
        assert_eq!(priority_lists("a"), ["a", "a\x06\x163", "a\x06\x166", "a\x06\x169"]);
    }
}
