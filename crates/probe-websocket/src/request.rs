//! The request for the upgrade, made once from the settings.

use std::fmt::Write as _;

use http::HeaderValue;
use probe::Secret;
use probe::config::{Fields, Url};

use crate::header::{self, Header};

/// The request, complete but for its key, and what its answer is judged by.
pub(crate) struct Request {
    head: Secret,
    /// The subprotocol that is offered, and that the server must then select.
    pub(crate) subprotocol: Option<String>,
    /// Whether anything in it could tell us from a stranger.
    pub(crate) shows_credentials: bool,
    // Never read, but kept alive: whatever is secret in them is masked wherever it appears.
    _url: Url,
    _secrets: Vec<Secret>,
}

impl Request {
    /// Reads `headers`, `subprotocol` and `origin`; a user in `url` becomes a header as well.
    pub(crate) fn read(fields: &mut Fields<'_>, url: Option<&Url>) -> Option<Self> {
        let headers = fields.named("headers", Header::read);
        let subprotocol: Option<String> = fields.optional("subprotocol");
        if subprotocol.as_ref().is_some_and(|name| !header::is_token(name)) {
            fields.error("subprotocol", "expected the name of one subprotocol, such as `chat.v2`");
        }
        let origin: Option<String> = fields.optional("origin");
        if origin.as_ref().is_some_and(|origin| HeaderValue::from_str(origin).is_err()) {
            fields.error("origin", "expected an origin, such as `https://app.example`");
        }
        let (url, mut headers) = (url?, headers?);
        if url.text().expose().contains('#') {
            fields.error("url", "expected a URL without a fragment: no server would see it");
        }
        if let Some(user) = Header::of_user(url) {
            if headers.iter().any(|header| header.is("authorization")) {
                fields.error("headers", "expected no `Authorization` beside a user in `url`");
            }
            headers.push(user);
        }
        let query = url.path_and_query().split_once('?').map(|(_, query)| Secret::new(query));
        let mut head = head(url, &headers);
        for (name, value) in [("Origin", &origin), ("Sec-WebSocket-Protocol", &subprotocol)] {
            if let Some(value) = value {
                line(&mut head, name, value);
            }
        }
        Some(Self {
            head: Secret::new(head),
            subprotocol,
            shows_credentials: !headers.is_empty() || query.is_some(),
            _url: url.clone(),
            _secrets: headers.iter().flat_map(Header::secrets).chain(query).collect(),
        })
    }

    /// The whole request with this key.
    pub(crate) fn text(&self, key: &str) -> String {
        format!("{}Sec-WebSocket-Key: {key}\r\n\r\n", self.head.expose())
    }
}

/// The first line and all headers but those of settings of their own; `Host` and `User-Agent` may be configured.
fn head(url: &Url, headers: &[Header]) -> String {
    let mut head = format!("GET {} HTTP/1.1\r\n", url.path_and_query());
    let host = host(url);
    for (name, value) in [("Host", host.as_str()), ("User-Agent", "health-gateway")] {
        if !headers.iter().any(|header| header.is(name)) {
            line(&mut head, name, value);
        }
    }
    for header in headers {
        line(&mut head, header.name(), header.value().expose());
    }
    head.push_str("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
    head
}

/// Without the scheme's own port, as browsers do: some servers compare the header as it is.
fn host(url: &Url) -> String {
    let default = if url.scheme() == "wss" { 443 } else { 80 };
    match url.port() {
        Some(port) if port != default => format!("{}:{port}", url.host()),
        _ => url.host().to_owned(),
    }
}

fn line(head: &mut String, name: &str, value: &str) {
    let _infallible = write!(head, "{name}: {value}\r\n");
}
