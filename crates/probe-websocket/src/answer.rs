//! The head of the answer to the handshake, and whether it grants what was asked for.

use http::StatusCode;
use probe::Failure;

use crate::request::Request;

/// More than any server sends.
const MAX_HEADERS: usize = 128;

/// A status and its headers.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Answer {
    /// The answer at the beginning of `bytes` and its length, or `None` while it is not complete; the error says what stands there in place of one.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, &'static str> {
        // The record in which a server with TLS complains of a client without.
        if bytes.starts_with(&[0x15, 3]) {
            return Err("the server speaks TLS, which `ws` does not: `wss` does");
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(bytes).map_err(|_| "the answer is not HTTP/1.1")?;
        let httparse::Status::Complete(length) = parsed else { return Ok(None) };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = head.headers.iter().map(|it| (it.name.to_ascii_lowercase(), text(it.value)));
        let answer = Self { status: head.code.unwrap_or_default(), headers: headers.collect() };
        Ok(Some((answer, length)))
    }

    /// Whether it grants `request` the upgrade, proven by `accept`.
    pub(crate) fn judge(&self, accept: &str, request: &Request) -> Result<(), Failure> {
        if self.status != 101 {
            return Err(self.refusal(request.shows_credentials));
        }
        let fault = if !self.lists("upgrade", "websocket") || !self.lists("connection", "upgrade") {
            "the server switches to another protocol than WebSocket"
        } else if self.all("sec-websocket-accept").ne([accept]) {
            "the server's `Sec-WebSocket-Accept` does not belong to our request: a cache, or no WebSocket server"
        } else if self.all("sec-websocket-extensions").any(|value| !value.is_empty()) {
            "the server uses an extension that was not offered"
        } else if self.all("sec-websocket-protocol").ne(request.subprotocol.as_deref()) {
            self.wrong_subprotocol(request.subprotocol.is_some())
        } else {
            return Ok(());
        };
        Err(Failure::msg("handshake", fault))
    }

    /// What was answered in place of the upgrade. Whether it was our credentials decides the step: the gateway then looks for new ones.
    fn refusal(&self, showed_credentials: bool) -> Failure {
        let refused = matches!(self.status, 401 | 403) && showed_credentials;
        let step = if refused { "authenticate" } else { "handshake" };
        let code = StatusCode::from_u16(self.status).ok();
        let words = code.and_then(|code| code.canonical_reason()).unwrap_or_default();
        let status = format!("{} {words}", self.status);
        let hint = match self.status {
            300..400 => "; redirects are not followed",
            _ => "",
        };
        let said = format!("the server answered {} in place of the upgrade{hint}", status.trim());
        Failure::msg(step, said)
    }

    fn wrong_subprotocol(&self, offered: bool) -> &'static str {
        match (self.all("sec-websocket-protocol").next(), offered) {
            (None, _) => "the server does not select the subprotocol",
            (Some(_), true) => "the server selects another subprotocol than the one offered",
            (Some(_), false) => "the server selects a subprotocol, and none was offered",
        }
    }

    /// Every value under this name.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// Whether `word` is in the list under this name.
    fn lists(&self, name: &str, word: &str) -> bool {
        let mut words = self.all(name).flat_map(|value| value.split(','));
        words.any(|listed| listed.trim().eq_ignore_ascii_case(word))
    }
}
