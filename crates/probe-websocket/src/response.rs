//! Parses and verifies the response to the upgrade request.

use http::StatusCode;
use probe::{Failure, step};

use crate::request::UpgradeRequest;

/// The largest number of headers in a response.
const MAX_HEADERS: usize = 128;

/// The status and the headers of a response.
pub(crate) struct UpgradeResponse {
    status: u16,
    headers: Vec<(String, String)>,
}

impl UpgradeResponse {
    /// Parses the response at the beginning of `bytes` and returns it with its length, or `None` if it is incomplete.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, &'static str> {
        // A TLS server answers plain text with an alert record.
        if bytes.starts_with(&[0x15, 3]) {
            return Err("the server speaks TLS, which needs `wss` in place of `ws`");
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(bytes).map_err(|_| "the answer is not HTTP/1.1")?;
        let httparse::Status::Complete(length) = parsed else { return Ok(None) };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = head
            .headers
            .iter()
            .map(|header| (header.name.to_ascii_lowercase(), text(header.value)));
        let response = Self { status: head.code.unwrap_or_default(), headers: headers.collect() };
        Ok(Some((response, length)))
    }

    /// Verifies that the server accepts `request`. `accept` is the expected `Sec-WebSocket-Accept`.
    pub(crate) fn verify(&self, accept: &str, request: &UpgradeRequest) -> Result<(), Failure> {
        if self.status != 101 {
            return Err(self.rejection(request.has_credentials));
        }
        let error = if !self.lists("upgrade", "websocket") || !self.lists("connection", "upgrade") {
            "the server switches to a protocol other than WebSocket"
        } else if self.values("sec-websocket-accept").ne([accept]) {
            "the server's `Sec-WebSocket-Accept` does not belong to our request: a cache, or no WebSocket server"
        } else if self.values("sec-websocket-extensions").any(|value| !value.is_empty()) {
            "the server uses an extension that was not offered"
        } else if self.values("sec-websocket-protocol").ne(request.subprotocol.as_deref()) {
            self.wrong_subprotocol(request.subprotocol.is_some())
        } else {
            return Ok(());
        };
        Err(Failure::msg("handshake", error))
    }

    /// The failure for a status other than 101. After a failure of the step `authenticate`, the gateway reads the secrets again.
    fn rejection(&self, has_credentials: bool) -> Failure {
        let unauthorized = matches!(self.status, 401 | 403) && has_credentials;
        let step = if unauthorized { step::AUTHENTICATE } else { "handshake" };
        let code = StatusCode::from_u16(self.status).ok();
        let reason = code.and_then(|code| code.canonical_reason()).unwrap_or_default();
        let status = format!("{} {reason}", self.status);
        let hint = match self.status {
            300..400 => "; redirects are not followed",
            _ => "",
        };
        let status = status.trim();
        Failure::msg(step, format!("the server answered {status} in place of the upgrade{hint}"))
    }

    fn wrong_subprotocol(&self, offered: bool) -> &'static str {
        match (self.values("sec-websocket-protocol").next(), offered) {
            (None, _) => "the server does not select the subprotocol",
            (Some(_), true) => "the server selects a subprotocol other than the one offered",
            (Some(_), false) => "the server selects a subprotocol, but none was offered",
        }
    }

    /// The values of all headers with this name.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// Whether `token` is in the comma-separated list of the header with this name.
    fn lists(&self, name: &str, token: &str) -> bool {
        let mut tokens = self.values(name).flat_map(|value| value.split(','));
        tokens.any(|listed| listed.trim().eq_ignore_ascii_case(token))
    }
}
