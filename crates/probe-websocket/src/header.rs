//! A request header with a value that may be a secret.

use http::{HeaderName, HeaderValue};
use probe::Secret;
use probe::config::{FromNode, Node, Url, ValueError};

/// Headers that HTTP or the handshake sets, or that have their own setting.
const RESERVED: &[&str] =
    &["connection", "content-length", "origin", "transfer-encoding", "upgrade"];

/// A valid name and a valid value.
pub(crate) struct Header {
    name: String,
    value: Secret,
}

impl Header {
    /// Reads one entry of `headers`.
    pub(crate) fn read(name: &str, node: &Node) -> Result<Self, ValueError> {
        let value = Secret::from_node(node)?;
        let lower = name.to_ascii_lowercase();
        if !is_token(name) {
            return Err("expected the name of an HTTP header".to_owned().into());
        }
        if RESERVED.contains(&lower.as_str()) || lower.starts_with("sec-websocket-") {
            let message = "expected another header: the handshake writes this one, and `origin` and `subprotocol` are settings";
            return Err(message.to_owned().into());
        }
        if HeaderValue::from_str(value.expose()).is_err() {
            return Err("expected a value without line breaks".to_owned().into());
        }
        Ok(Self { name: name.to_owned(), value })
    }

    /// The user in `url` as a header for Basic authentication.
    pub(crate) fn basic_auth(url: &Url) -> Option<Self> {
        url.basic_auth().map(|value| Self { name: "Authorization".to_owned(), value })
    }

    /// The name, as configured.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    pub(crate) fn value(&self) -> &Secret {
        &self.value
    }

    /// Whether the header has this name, in any case.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The texts to mask: the value, and the credentials of an `Authorization`, which a server may quote without their scheme.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = Secret> + use<> {
        let credentials = self.value.expose().split_once(' ').filter(|_| self.is("authorization"));
        let credentials = credentials.map(|(_, credentials)| Secret::new(credentials));
        credentials.into_iter().chain([self.value.clone()])
    }
}

/// Whether `name` is an HTTP token.
pub(crate) fn is_token(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}
