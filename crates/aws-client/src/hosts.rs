//! Connections to hosts that are only known when a request is made, one kept connection to each.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Uri};
use http_body_util::BodyExt;
use http_client::{Client, Repeatable};
use probe::config::Url;
use probe::{Failure, SharedResources};

use crate::run::{Run, Told};

/// The HTTP client of everything that has the same TLS settings.
#[derive(Clone)]
pub struct Hosts(Arc<Inner>);

struct Inner {
    tls: net::TlsSettings,
    clients: Mutex<HashMap<String, Arc<Client>>>,
}

impl Hosts {
    /// The one of these TLS settings that everybody shares.
    pub fn shared(shared: &SharedResources, tls: &net::TlsSettings) -> Self {
        let make = || Inner { tls: tls.clone(), clients: Mutex::default() };
        Self(shared.get_or_insert(tls.identity(), make))
    }

    /// The client of the server at `origin`, such as `https://host:443`; the error quotes nothing.
    pub fn client(&self, origin: &str) -> Result<Arc<Client>, String> {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(origin) {
            return Ok(client.clone());
        }
        let client = Arc::new(Client::new(&Url::parse(origin)?, self.0.tls.clone()));
        clients.insert(origin.to_owned(), client.clone());
        Ok(client)
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let run = Run::current();
        let request =
            request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (mut head, body) = request.into_parts();
        let client =
            self.client(&origin(&head.uri)).map_err(|text| ConnectorError::user(text.into()))?;
        head.uri = path(&head.uri);
        // What is asked twice is asked once more; what is written twice is the same object or event.
        head.extensions.insert(Repeatable);
        // It is the default, but localstack closes unless it is said.
        head.headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
        let body = body.collect().await.map_err(ConnectorError::user)?.to_bytes();
        let answer = client.send(&run.steps, run.step, Request::from_parts(head, body)).await;
        let answer = answer.map_err(|failure| ConnectorError::io(Box::new(Told(failure))))?;
        HttpResponse::try_from(answer.map(SdkBody::from))
            .map_err(|error| ConnectorError::other(error.into(), None))
    }
}

/// Says how many hosts there are.
impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Hosts").field("clients", &clients.len()).finish_non_exhaustive()
    }
}

impl HttpClient for Hosts {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let limit = match (settings.connect_timeout(), settings.read_timeout()) {
            (None, None) => None,
            (connect, read) => Some(connect.unwrap_or_default() + read.unwrap_or_default()),
        };
        SharedHttpConnector::new(Connector { hosts: self.clone(), limit })
    }
}

/// Sends requests, each within `limit`: the SDK sets one for the machine's metadata service, which outside of AWS may be silent.
#[derive(Debug)]
struct Connector {
    hosts: Hosts,
    limit: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (hosts, limit) = (self.hosts.clone(), self.limit);
        HttpConnectorFuture::new(async move {
            let Some(limit) = limit else { return hosts.send(request).await };
            let answer = tokio::time::timeout(limit, hosts.send(request)).await;
            answer.unwrap_or_else(|_| {
                let silent = Failure::msg("request", format!("no answer within {limit:?}"));
                Err(ConnectorError::timeout(Box::new(Told(silent))))
            })
        })
    }
}

/// The scheme, host and port.
fn origin(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or("https"))
}

/// The path and the query, as a request's first line has them.
fn path(uri: &Uri) -> Uri {
    uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from)
}
