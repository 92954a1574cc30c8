//! Sends requests to one server, each on a connection that has no other request in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, Response};
use probe::config::Url;
use probe::{Failure, Steps};

use crate::connection::{Connection, Connector};
use crate::pool::Pool;

/// The largest body of a response. A larger one is a failure.
pub const MAX_BODY: usize = 1024 * 1024;

/// A request extension that allows a request to be sent again after a lost connection, even if its method is not idempotent.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable;

/// A request extension for a request that must not overtake itself: it is not sent on a second connection while the first one is silent. It counts how often the request was sent.
#[derive(Clone, Debug, Default)]
pub struct Unhedged(Arc<AtomicUsize>);

impl Unhedged {
    /// How often the request may have reached the server.
    pub fn sent(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A client for one server.
///
/// An HTTP/1.1 server answers the requests on a connection in order, so one that waits for a slow one is sent on another connection.
/// A request that is dropped in flight closes its connection.
#[derive(Debug)]
pub struct Client {
    target: String,
    host: Option<HeaderValue>,
    pool: Pool,
}

impl Client {
    /// Returns a client for the server in `url`. The scheme selects plain text or TLS. The path, the query and the user-info are ignored.
    pub fn new(url: &Url, tls: net::TlsSettings) -> Self {
        let encrypted = url.scheme() == "https";
        let port = url.port().unwrap_or(if encrypted { 443 } else { 80 });
        let target = format!("{}:{port}", url.host());
        // Browsers leave out the default port, and some servers compare the header literally.
        let host = if port == if encrypted { 443 } else { 80 } { url.host() } else { &target };
        let host = HeaderValue::from_str(host).ok();
        let connector = Connector::new(url.host(), port, encrypted.then_some(tls));
        Self { target, host, pool: Pool::new(connector) }
    }

    /// `host:port`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Sends `request` in the step `step` and reads the whole response. The URI of the request is a path with an optional query.
    ///
    /// If the cached connection proves to be closed, a request that was not sent is sent on a new connection.
    /// If the request was sent and got no response, the server may have processed it.
    /// It is then sent again only if its method is idempotent or it is [`Repeatable`].
    /// Such a request is also sent on a second connection if the cached one is silent, unless it is [`Unhedged`].
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
        let connection = self.pool.acquire(steps, step).await;
        let exchange = |connection: Arc<Connection>| async move {
            steps.run(step, connection.exchange(request.clone())).await
        };
        let is_unhedged = request.extensions().get::<Unhedged>().is_some();
        if is_repeatable(request) && !is_unhedged {
            connection.run(steps, exchange).await
        } else {
            connection.run_unhedged(steps, exchange).await
        }
    }
}

/// Whether a request may be sent twice.
pub(crate) fn is_repeatable(request: &Request<Bytes>) -> bool {
    request.method().is_idempotent() || request.extensions().get::<Repeatable>().is_some()
}
