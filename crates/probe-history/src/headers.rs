//! Headers of a request whose values may be secrets.

use http::{HeaderMap, HeaderName, HeaderValue};
use probe::Secret;
use probe::config::{Fields, FromNode, Node, ValueError};

/// What HTTP says by itself.
const OURS: &[&str] = &["connection", "content-length", "transfer-encoding", "upgrade"];

/// Headers as they are sent.
pub(crate) struct Headers {
    map: HeaderMap,
    // Never read, but kept alive: they are masked wherever they appear.
    _secrets: Vec<Secret>,
}

impl Headers {
    /// Reads the table `headers`.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let headers = fields.named("headers", header)?;
        let (mut map, mut secrets) = (HeaderMap::new(), Vec::new());
        for (name, value, secret) in headers {
            if name == http::header::AUTHORIZATION
                && let Some((_, credentials)) = secret.expose().split_once(' ')
            {
                // Its scheme is no secret, and what follows may be quoted without it.
                secrets.push(Secret::new(credentials));
            }
            secrets.push(secret);
            if map.insert(name, value).is_some() {
                fields.error("headers", "expected each name once, in whatever case");
                return None;
            }
        }
        Some(Self { map, _secrets: secrets })
    }

    /// The headers.
    pub(crate) fn map(&self) -> &HeaderMap {
        &self.map
    }
}

/// A text as the value of a header.
pub(crate) fn value(text: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(text.expose().as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn header(name: &str, node: &Node) -> Result<(HeaderName, HeaderValue, Secret), ValueError> {
    let secret = Secret::from_node(node)?;
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| "expected the name of an HTTP header".to_owned())?;
    if OURS.contains(&name.as_str()) {
        return Err("expected another header: this one is written by HTTP itself"
            .to_owned()
            .into());
    }
    let value = value(&secret).ok_or_else(|| "expected a value without line breaks".to_owned())?;
    Ok((name, value, secret))
}
