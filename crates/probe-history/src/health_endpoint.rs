//! The check of the history service's own health endpoint.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_client::Client;
use probe::config::Fields;
use probe::step::AUTHENTICATE;
use probe::{Failure, Secret, SharedResources, Steps};

use crate::secret_headers::SecretHeaders;
use crate::settings;

const STEP: &str = "get";

/// The request, and the expected response.
pub(crate) struct HealthEndpoint {
    client: Arc<Client>,
    /// The path and the query. It is not a `Secret` as a whole: masking a path such as `/health` would garble other text.
    path: String,
    headers: SecretHeaders,
    status: u16,
    contains: Option<String>,
    /// The query, which may contain credentials.
    query: Option<Secret>,
}

impl HealthEndpoint {
    /// Reads `url`, `status`, `headers`, `contains` and the settings of TLS.
    pub(crate) fn read(fields: &mut Fields<'_>, shared: &SharedResources) -> Option<Self> {
        let url = fields.url("url", &["http", "https"]);
        if url.as_ref().is_some_and(|url| url.text().expose().contains('#')) {
            fields.error("url", "expected a URL without a fragment: no server would see it");
        }
        let status = fields.with_default("status", 200_u16);
        if !(200..600).contains(&status) {
            fields.error("status", "expected a status such as `200`");
        }
        let has_contains = fields.has("contains");
        let contains: Option<String> = fields.optional("contains");
        let headers = SecretHeaders::read(fields);
        let client = settings::shared_client(fields, shared, url.as_ref());
        let (url, mut headers, client) = (url?, headers?, client?);
        if !headers.add_user(&url) {
            fields.error("headers", "expected no `Authorization` beside a user in `url`");
        }
        let query = url.path_and_query().split_once('?').map(|(_, query)| Secret::new(query));
        (contains.is_some() || !has_contains).then(|| Self {
            client,
            path: url.path_and_query().to_owned(),
            headers,
            status,
            contains,
            query,
        })
    }

    /// The target, as `host:port`.
    pub(crate) fn target(&self) -> &str {
        self.client.target()
    }

    /// Sends the request once. The body is never quoted, since it may contain internals of the service.
    pub(crate) async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let request = Request::get(self.path.as_str()).body(Bytes::new());
        let mut request = request.map_err(|error| Failure::new(STEP, error))?;
        *request.headers_mut() = self.headers.map().clone();
        let response = self.client.send(steps, STEP, request).await?;
        if response.status().as_u16() != self.status {
            return Err(self.unexpected_status(response.status()));
        }
        match &self.contains {
            Some(text) if !String::from_utf8_lossy(response.body()).contains(text) => {
                Err(Failure::msg(STEP, "the response does not contain the expected text"))
            }
            _ => Ok(()),
        }
    }

    /// If the server rejected credentials, the step is `authenticate`: the gateway then reads the secrets again.
    fn unexpected_status(&self, status: StatusCode) -> Failure {
        let has_credentials = self.query.is_some() || !self.headers.map().is_empty();
        let is_rejected = matches!(status.as_u16(), 401 | 403) && has_credentials;
        let step = if is_rejected { AUTHENTICATE } else { STEP };
        let hint = if status.is_redirection() { ", and redirects are not followed" } else { "" };
        let phrase =
            status.canonical_reason().map(|phrase| format!(" {phrase}")).unwrap_or_default();
        let status = status.as_u16();
        let reason = format!("expected status {}, got {status}{phrase}{hint}", self.status);
        Failure::msg(step, reason)
    }
}
