//! Sends requests to one server, one after the other, on one kept connection.

use bytes::Bytes;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, Response};
use probe::config::Url;
use probe::{CachedConnection, Failure, Steps};
use tokio::sync::Mutex;

use crate::connection::Connector;

/// The largest body of an answer that is read; a larger one is a failure.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// Among a request's extensions: it may be sent again although the server may have acted on it, whatever its method.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable;

/// A client of one server.
///
/// Requests take turns, since HTTP/1.1 answers them in order anyway: a caller that gives up halfway closes the connection, and whoever comes next opens another without having lost anything on the first.
#[derive(Debug)]
pub struct Client {
    target: String,
    host: Option<HeaderValue>,
    kept: CachedConnection<Connector>,
    /// Whose turn it is, and whether the one before was cut off in the middle of it.
    turn: Mutex<bool>,
}

impl Client {
    /// A client of the server in `url`, whose scheme decides between plain text and TLS; its path, query and user-info are not used.
    pub fn new(url: &Url, tls: tls::Settings) -> Self {
        let secure = url.scheme() == "https";
        let port = url.port().unwrap_or(if secure { 443 } else { 80 });
        let target = format!("{}:{port}", url.host());
        // The default port is left out, as browsers do: some servers compare the header as it is.
        let host = if port == if secure { 443 } else { 80 } { url.host() } else { &target };
        let host = HeaderValue::from_str(host).ok();
        let connector = Connector::new(url.host(), port, secure.then_some(tls));
        Self { target, host, kept: CachedConnection::new(connector), turn: Mutex::new(false) }
    }

    /// `host:port`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Sends `request`, whose URI is a path with its query, in the step `step`, and reads the whole answer.
    ///
    /// A connection that was kept may turn out closed. A request that did not leave us is then sent again on a fresh one;
    /// so is one that got no answer, if its method is idempotent or it is [`Repeatable`]: nobody knows whether the server has acted on it.
    pub async fn send(
        &self,
        steps: &Steps,
        step: &'static str,
        mut request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Failure> {
        if let Some(host) = &self.host {
            request.headers_mut().entry(HOST).or_insert_with(|| host.clone());
        }
        let name = HeaderValue::from_static("health-gateway");
        request.headers_mut().entry(USER_AGENT).or_insert(name);
        let request = &request;
        let unseen = Steps::new();
        let (mut cut_off, steps) = if let Ok(turn) = self.turn.try_lock() {
            (turn, steps)
        } else {
            // Whoever waits for the turn waits for the server's answer to the one before.
            steps.begin(step);
            let turn = self.turn.lock().await;
            // If that one was cut off, then mostly by the deadline that is about to cut us off, too: it would be wrong to say then that we could not connect.
            let steps = if *turn { &unseen } else { steps };
            (turn, steps)
        };
        *cut_off = true;
        let answer = self.kept.run(steps, |connection| async move {
            steps.run(step, connection.exchange(request.clone())).await
        });
        let answer = answer.await;
        *cut_off = false;
        answer
    }
}
