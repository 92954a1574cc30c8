//! Messages as kombu stores them in Redis.
//!
//! The format: `kombu/transport/virtual/base.py` of kombu 5.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::content::Serializer;

/// A message that was decoded.
pub(crate) struct Message {
    pub(crate) headers: Value,
    /// Empty if it is not stated.
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// Encodes a message of kombu's virtual transports.
pub(crate) fn encode_message(
    serializer: Serializer,
    content: &Value,
    headers: &Value,
    properties: &Value,
) -> String {
    json!({
        "body": BASE64.encode(&serializer.encode(content)),
        "content-encoding": serializer.content_encoding(),
        "content-type": serializer.content_type(),
        "headers": headers,
        "properties": properties,
    })
    .to_string()
}

/// Decodes a message.
pub(crate) fn decode_message(message: &str) -> Option<Message> {
    let message: Value = serde_json::from_str(message).ok()?;
    let body = message.get("body")?.as_str()?.as_bytes();
    let body = match message.pointer("/properties/body_encoding").and_then(Value::as_str) {
        Some("base64") => BASE64.decode(body).ok()?,
        _ => body.to_owned(),
    };
    let content_type = message.get("content-type").and_then(Value::as_str).unwrap_or_default();
    Some(Message {
        headers: message.get("headers")?.clone(),
        content_type: content_type.to_owned(),
        body,
    })
}
