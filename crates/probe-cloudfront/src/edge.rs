//! Fetches an object through the distribution's domain.

use aws_client::ClientPool;
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use probe::config::Url;
use probe::{Failure, Steps};

use crate::responder;

const STEP: &str = "fetch";

/// The settings of the object to fetch.
pub(crate) struct ObjectSettings {
    /// Used instead of the distribution's own domain.
    pub(crate) domain: Option<String>,
    /// The address to connect to instead of the domain.
    pub(crate) address: Option<Url>,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) contains: Option<String>,
}

/// Fetches the object from an edge of the distribution, as a browser would.
pub(crate) struct Edge {
    client_pool: ClientPool,
    object: ObjectSettings,
}

impl Edge {
    pub(crate) fn new(client_pool: ClientPool, object: ObjectSettings) -> Self {
        Self { client_pool, object }
    }

    /// The `host:port` to connect to. A configured domain takes precedence over `domain`.
    pub(crate) fn target(&self, domain: &str) -> String {
        match &self.object.address {
            Some(address) => address.authority(443),
            None => format!("{}:443", self.domain(domain)),
        }
    }

    /// Fetches the object. A configured domain takes precedence over `domain`.
    pub(crate) async fn fetch(&self, steps: &Steps, domain: &str) -> Result<(), Failure> {
        let failed = |reason: String| Failure::msg(STEP, reason);
        let domain = self.domain(domain);
        let scheme = self.object.address.as_ref().map_or("https", Url::scheme);
        let origin = format!("{scheme}://{}", self.target(domain));
        let client = self.client_pool.client(&origin).map_err(failed)?;
        let request = Request::get(&self.object.path).header(HOST, domain).body(Bytes::new());
        let request = request.map_err(|error| Failure::new(STEP, error))?;
        let response = client.send(steps, STEP, request).await?;
        if response.status().as_u16() != self.object.status {
            let actual = responder::describe(response.status(), response.headers());
            return Err(failed(format!("expected status {}, {actual}", self.object.status)));
        }
        match &self.object.contains {
            Some(text) if !String::from_utf8_lossy(response.body()).contains(text) => {
                Err(failed("the object does not contain the expected text".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn domain<'a>(&'a self, default: &'a str) -> &'a str {
        self.object.domain.as_deref().unwrap_or(default)
    }
}
