//! HTTP clients by host, for hosts that are only known when a request is made.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::BodyExt;
use http_client::{Client, Repeatable};
use parking_lot::Mutex;
use probe::config::Url;
use probe::{Failure, SharedResources, in_seconds};

use crate::call_context::CallContext;
use crate::call_error::FailureError;

/// One client for each host, all with the same TLS settings. The pool is the SDK's HTTP client.
#[derive(Clone)]
pub struct ClientPool(Arc<Inner>);

struct Inner {
    tls: net::TlsSettings,
    clients: Mutex<HashMap<String, Arc<Client>>>,
}

impl ClientPool {
    /// Returns the shared pool with these TLS settings.
    pub fn shared(shared: &SharedResources, tls: &net::TlsSettings) -> Self {
        let make = || Inner { tls: tls.clone(), clients: Mutex::default() };
        Self(shared.get_or_insert(tls.identity(), make))
    }

    /// Returns the client of the server at `origin`, such as `https://host:443`. The error does not quote it.
    pub fn client(&self, origin: &str) -> Result<Arc<Client>, String> {
        let mut clients = self.0.clients.lock();
        if let Some(client) = clients.get(origin) {
            return Ok(client.clone());
        }
        let client = Arc::new(Client::new(&Url::parse(origin)?, self.0.tls.clone()));
        clients.insert(origin.to_owned(), client.clone());
        Ok(client)
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let call = CallContext::current();
        let request =
            request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (mut head, body) = request.into_parts();
        let client =
            self.client(&origin(&head.uri)).map_err(|text| ConnectorError::user(text.into()))?;
        head.uri = path(&head.uri);
        // A request is repeatable even if it writes: the second write stores the same object or event.
        head.extensions.insert(Repeatable);
        if head.method == Method::PUT {
            head.extensions.insert(call.put);
        }
        // HTTP/1.1 implies this header, but localstack closes the connection without it.
        head.headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
        let body = body.collect().await.map_err(ConnectorError::user)?.to_bytes();
        let response = client.send(&call.steps, call.step, Request::from_parts(head, body)).await;
        let response =
            response.map_err(|failure| ConnectorError::io(Box::new(FailureError(failure))))?;
        HttpResponse::try_from(response.map(SdkBody::from))
            .map_err(|error| ConnectorError::other(error.into(), None))
    }
}

/// Shows the number of clients only.
impl fmt::Debug for ClientPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.0.clients.lock();
        f.debug_struct("ClientPool").field("clients", &clients.len()).finish_non_exhaustive()
    }
}

impl HttpClient for ClientPool {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let timeout = match (settings.connect_timeout(), settings.read_timeout()) {
            (None, None) => None,
            (connect, read) => Some(connect.unwrap_or_default() + read.unwrap_or_default()),
        };
        SharedHttpConnector::new(Connector { pool: self.clone(), timeout })
    }
}

/// Sends requests with a timeout. The SDK sets one for the instance metadata service, which may be silent outside of AWS.
#[derive(Debug)]
struct Connector {
    pool: ClientPool,
    timeout: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (pool, timeout) = (self.pool.clone(), self.timeout);
        HttpConnectorFuture::new(async move {
            let Some(timeout) = timeout else { return pool.send(request).await };
            tokio::time::timeout(timeout, pool.send(request)).await.unwrap_or_else(|_| {
                let failure =
                    Failure::msg("request", format!("no answer within {}", in_seconds(timeout)));
                Err(ConnectorError::timeout(Box::new(FailureError(failure))))
            })
        })
    }
}

/// The scheme, host and port of a URI.
fn origin(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or("https"))
}

/// The path and the query, in the form of a request line.
fn path(uri: &Uri) -> Uri {
    uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from)
}
