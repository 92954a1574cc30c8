//! Messages as kombu stores them in Redis.
//!
//! The format: `kombu/transport/virtual/base.py` of kombu 5.

use data_encoding::BASE64;
use serde_json::{Value, json};

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
    let body = message.get("body")?.as_str()?.as_bytes();
    let body = match message.pointer("/properties/body_encoding").and_then(Value::as_str) {
        Some("base64") => BASE64.decode(body).ok()?,
        _ => body.to_owned(),
    };
    Some((message.get("headers")?.clone(), body))
}
