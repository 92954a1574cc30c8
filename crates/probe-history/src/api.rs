//! The history service's own health endpoint.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_client::Client;
use probe::config::Fields;
use probe::{Failure, Secret, SharedResources, Steps};

use crate::headers::Headers;
use crate::settings;

const STEP: &str = "get";

/// What is asked, and what must be answered.
pub(crate) struct Api {
    client: Arc<Client>,
    /// With the query. It is no secret as a whole: masked wherever it appears, a path such as `/health` would tear other words apart.
    path: String,
    headers: Headers,
    status: u16,
    contains: Option<String>,
    /// It may be what lets us in, and is masked wherever it appears.
    query: Option<Secret>,
}

impl Api {
    /// Reads `url`, `status`, `headers`, `contains`, `ca`, `certificate` and `private_key`.
    pub(crate) fn read(shared: &SharedResources, fields: &mut Fields<'_>) -> Option<Self> {
        let url = fields.url("url", &["http", "https"]);
        if let Some(url) = &url {
            if !url.username().is_empty() || url.password().is_some() {
                fields.error("url", "expected a URL without a user, who belongs in `headers`");
            }
            if url.text().expose().contains('#') {
                fields.error("url", "expected a URL without a fragment: no server would see it");
            }
        }
        let status = fields.with_default("status", 200_u16);
        if !(200..600).contains(&status) {
            fields.error("status", "expected a status such as `200`");
        }
        let contains_is_written = fields.has("contains");
        let contains: Option<String> = fields.optional("contains");
        let headers = Headers::read(fields);
        let client = settings::server(shared, fields, url.as_ref());
        let (url, headers, client) = (url?, headers?, client?);
        let query = url.path_and_query().split_once('?').map(|(_, query)| Secret::new(query));
        (contains.is_some() || !contains_is_written).then(|| Self {
            client,
            path: url.path_and_query().to_owned(),
            headers,
            status,
            contains,
            query,
        })
    }

    /// `host:port`.
    pub(crate) fn target(&self) -> &str {
        self.client.target()
    }

    /// Asks once. The body is never quoted: it is whatever the service finds worth telling its friends.
    pub(crate) async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let request = Request::get(self.path.as_str()).body(Bytes::new());
        let mut request = request.map_err(|error| Failure::new(STEP, error))?;
        *request.headers_mut() = self.headers.map().clone();
        let answer = self.client.send(steps, STEP, request).await?;
        if answer.status().as_u16() != self.status {
            return Err(self.other_status(answer.status()));
        }
        match &self.contains {
            Some(text) if !holds(answer.body(), text.as_bytes()) => {
                Err(Failure::msg(STEP, "the answer does not contain what it should"))
            }
            _ => Ok(()),
        }
    }

    /// Whether it was our credentials decides the step: the gateway then looks for new ones.
    fn other_status(&self, status: StatusCode) -> Failure {
        let showed_credentials = self.query.is_some() || !self.headers.map().is_empty();
        let refused = matches!(status.as_u16(), 401 | 403) && showed_credentials;
        let step = if refused { "authenticate" } else { STEP };
        let hint = if status.is_redirection() { ", and redirects are not followed" } else { "" };
        let words = status.canonical_reason().map(|words| format!(" {words}")).unwrap_or_default();
        let status = status.as_u16();
        let reason = format!("expected status {}, got {status}{words}{hint}", self.status);
        Failure::msg(step, reason)
    }
}

fn holds(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|part| part == text)
}
