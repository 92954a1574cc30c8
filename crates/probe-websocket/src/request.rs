//! The upgrade request, built once from the settings.

use http::HeaderValue;
use probe::config::{Fields, Url};
use probe::{Secret, append_secret};

use crate::header::{self, Header};

/// The upgrade request without its key.
pub(crate) struct UpgradeRequest {
    head: Secret,
    /// The offered subprotocol, which the server must select.
    pub(crate) subprotocol: Option<String>,
    /// Whether the request has headers or a query, which may be credentials.
    pub(crate) has_credentials: bool,
    // These are kept because a secret is masked in all texts only as long as its value exists.
    _url: Url,
    _secrets: Vec<Secret>,
}

impl UpgradeRequest {
    /// Reads `headers`, `subprotocol` and `origin`. A user in `url` is sent in the header `Authorization`.
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
        if let Some(user) = Header::basic_auth(url) {
            if headers.iter().any(|header| header.is("authorization")) {
                fields.error("headers", "expected no `Authorization` beside a user in `url`");
            }
            headers.push(user);
        }
        let query = url.path_and_query().split_once('?').map(|(_, query)| Secret::new(query));
        let mut head = head(url, &headers);
        for (name, value) in [("Origin", &origin), ("Sec-WebSocket-Protocol", &subprotocol)] {
            if let Some(value) = value {
                write_header(&mut head, name, value);
            }
        }
        Some(Self {
            head: Secret::unmasked(head),
            subprotocol,
            has_credentials: !headers.is_empty() || query.is_some(),
            _url: url.clone(),
            _secrets: headers.iter().flat_map(Header::secrets).chain(query).collect(),
        })
    }

    /// The request with this `Sec-WebSocket-Key`.
    pub(crate) fn text(&self, key: &str) -> Secret {
        let head = self.head.expose();
        Secret::formatted(format_args!("{head}Sec-WebSocket-Key: {key}\r\n\r\n"))
    }
}

/// The request line and the headers, without `Origin` and `Sec-WebSocket-Protocol`. The settings may replace `Host` and `User-Agent`.
fn head(url: &Url, headers: &[Header]) -> String {
    let mut head = String::new();
    for part in ["GET ", url.path_and_query(), " HTTP/1.1\r\n"] {
        append_secret(&mut head, part);
    }
    let host = host(url);
    for (name, value) in [("Host", host.as_str()), ("User-Agent", "health-gateway")] {
        if !headers.iter().any(|header| header.is(name)) {
            write_header(&mut head, name, value);
        }
    }
    for header in headers {
        write_header(&mut head, header.name(), header.value().expose());
    }
    for (name, value) in
        [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
    {
        write_header(&mut head, name, value);
    }
    head
}

/// The header `Host`. Browsers leave out the default port, and some servers compare the header literally.
fn host(url: &Url) -> String {
    let default = if url.scheme() == "wss" { 443 } else { 80 };
    match url.port() {
        Some(port) if port != default => format!("{}:{port}", url.host()),
        _ => url.host().to_owned(),
    }
}

fn write_header(head: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        append_secret(head, part);
    }
}
