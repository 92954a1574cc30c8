//! Published and received messages.

use std::time::Duration;

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, FieldTable, LongString, ShortString};
use probe::Cause;
use serde_json::Value;

/// A message to publish.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// The exchange. The empty name is the default exchange, which routes to the queue named by the routing key.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The direct exchange that delivers replies.
    /// It is first declared and bound to the reply queue, unless [`Deliveries::mark_bound`](crate::Deliveries::mark_bound) was called.
    pub reply_exchange: Option<String>,
    /// The headers: a JSON object.
    pub headers: Value,
    /// The body.
    pub body: Vec<u8>,
    /// The content type and the content encoding of the body, unless it is in JSON.
    pub content: Option<(&'static str, &'static str)>,
    /// The correlation id, which a reply repeats.
    pub correlation_id: String,
    /// The queue for the reply.
    pub reply_to: String,
    /// The time after which the broker drops the message.
    pub expires: Option<Duration>,
}

impl Publication {
    pub(crate) fn properties(&self) -> Result<BasicProperties, Cause> {
        let (content_type, encoding) = self.content.unwrap_or(("application/json", "utf-8"));
        let mut properties = BasicProperties::default()
            .with_content_type(short_string(content_type)?)
            .with_content_encoding(short_string(encoding)?)
            .with_app_id(short_string("health-gateway")?)
            .with_headers(field_table(&self.headers));
        if !self.correlation_id.is_empty() {
            properties = properties.with_correlation_id(short_string(&self.correlation_id)?);
        }
        if !self.reply_to.is_empty() {
            properties = properties.with_reply_to(short_string(&self.reply_to)?);
        }
        if let Some(expires) = self.expires {
            properties =
                properties.with_expiration(short_string(&expires.as_millis().to_string())?);
        }
        Ok(properties)
    }
}

/// A message from the reply queue.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The header with this name, if it is a string.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.properties.headers().as_ref()?;
        match headers.inner().get(name)? {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
            AMQPValue::ShortString(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The correlation id.
    pub fn correlation_id(&self) -> Option<&str> {
        self.properties.correlation_id().as_ref().map(ShortString::as_str)
    }

    /// The content type of the body; empty if it is not stated.
    pub fn content_type(&self) -> &str {
        self.properties.content_type().as_ref().map_or("", ShortString::as_str)
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// About how much memory it takes.
    pub(crate) fn size(&self) -> usize {
        self.body.len() + properties_size(&self.properties)
    }
}

/// About how much memory `properties` take. A value of one byte in a header takes many times as much.
pub(crate) fn properties_size(properties: &BasicProperties) -> usize {
    // Short strings have at most 255 bytes each.
    let others = size_of::<BasicProperties>() + 8 * 255;
    others + properties.headers().as_ref().map_or(0, table_size)
}

fn table_size(table: &FieldTable) -> usize {
    let entries = table.inner().iter();
    entries
        .map(|(name, value)| size_of::<ShortString>() + name.as_str().len() + value_size(value))
        .sum()
}

/// The depth is bounded: `field_tables.rs` has verified it.
fn value_size(value: &AMQPValue) -> usize {
    size_of::<AMQPValue>()
        + match value {
            AMQPValue::LongString(text) => text.as_bytes().len(),
            AMQPValue::ShortString(text) => text.as_str().len(),
            AMQPValue::ByteArray(bytes) => bytes.as_slice().len(),
            AMQPValue::FieldArray(items) => items.as_slice().iter().map(value_size).sum(),
            AMQPValue::FieldTable(table) => table_size(table),
            _ => 0,
        }
}

/// Returns `text` as a short string of the protocol, which has at most 255 bytes.
pub(crate) fn short_string(text: &str) -> Result<ShortString, Cause> {
    ShortString::try_new(text).map_err(|_| Cause::msg("a name is longer than 255 bytes"))
}

fn field_table(object: &Value) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in object.as_object().into_iter().flatten() {
        if let Ok(name) = short_string(name) {
            table.insert(name, field_value(value));
        }
    }
    table
}

fn field_value(value: &Value) -> AMQPValue {
    match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(flag) => AMQPValue::Boolean(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(number) => AMQPValue::LongLongInt(number),
            None => AMQPValue::Double(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => AMQPValue::LongString(LongString::from(text.as_bytes())),
        Value::Array(items) => {
            AMQPValue::FieldArray(items.iter().map(field_value).collect::<Vec<_>>().into())
        }
        Value::Object(_) => AMQPValue::FieldTable(field_table(value)),
    }
}
