//! What is published, and what comes back.

use std::time::Duration;

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, FieldTable, LongString, ShortString};
use probe::Cause;
use serde_json::Value;

/// A message to be published, in JSON.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// The exchange; the empty name is the default one, which leads to the queue that the routing key names.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The direct exchange through which answers come: it is declared and bound to the mailbox first, under the mailbox's name, unless [`Letters::came_through`](crate::Letters::came_through) told that it is.
    pub answers_through: Option<&'static str>,
    /// The headers, a JSON object.
    pub headers: Value,
    /// The body, which is JSON.
    pub body: String,
    /// By what an answer is recognised.
    pub correlation_id: String,
    /// The queue that an answer should go to.
    pub reply_to: String,
    /// When the broker may throw it away, if nobody has taken it by then.
    pub expires: Option<Duration>,
}

impl Publication {
    pub(crate) fn properties(&self) -> Result<BasicProperties, Cause> {
        let mut properties = BasicProperties::default()
            .with_content_type(short("application/json")?)
            .with_content_encoding(short("utf-8")?)
            .with_app_id(short("health-gateway")?)
            .with_headers(table(&self.headers));
        if !self.correlation_id.is_empty() {
            properties = properties.with_correlation_id(short(&self.correlation_id)?);
        }
        if !self.reply_to.is_empty() {
            properties = properties.with_reply_to(short(&self.reply_to)?);
        }
        if let Some(expires) = self.expires {
            properties = properties.with_expiration(short(&expires.as_millis().to_string())?);
        }
        Ok(properties)
    }
}

/// A message that came back.
#[derive(Clone, Debug)]
pub struct Message {
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The header of this name, if it is a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.properties.headers().as_ref()?;
        match headers.inner().get(name)? {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
            AMQPValue::ShortString(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// By what the question is recognised.
    pub fn correlation_id(&self) -> Option<&str> {
        self.properties.correlation_id().as_ref().map(ShortString::as_str)
    }

    /// What it says.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// A name in the form of the protocol.
pub(crate) fn short(text: &str) -> Result<ShortString, Cause> {
    ShortString::try_new(text)
        .map_err(|_| Cause::msg("a name of more than 255 bytes, which the protocol cannot say"))
}

fn table(object: &Value) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in object.as_object().into_iter().flatten() {
        if let Ok(name) = short(name) {
            table.insert(name, field(value));
        }
    }
    table
}

fn field(value: &Value) -> AMQPValue {
    match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(flag) => AMQPValue::Boolean(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(number) => AMQPValue::LongLongInt(number),
            None => AMQPValue::Double(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => AMQPValue::LongString(LongString::from(text.as_bytes())),
        Value::Array(items) => {
            AMQPValue::FieldArray(items.iter().map(field).collect::<Vec<_>>().into())
        }
        Value::Object(_) => AMQPValue::FieldTable(table(value)),
    }
}
