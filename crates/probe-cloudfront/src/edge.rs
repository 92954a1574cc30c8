//! The half that fetches an object through the distribution's domain.

use aws_client::Hosts;
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use probe::config::Url;
use probe::{Failure, Steps};

use crate::verdict;

const STEP: &str = "fetch";

/// What is fetched, from where, and what must come.
pub(crate) struct Expected {
    /// In place of the distribution's own domain.
    pub(crate) domain: Option<String>,
    /// Where to connect, in place of the domain.
    pub(crate) address: Option<Url>,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) contains: Option<String>,
}

/// An edge, as clients reach it.
pub(crate) struct Edge {
    hosts: Hosts,
    expected: Expected,
}

impl Edge {
    pub(crate) fn new(hosts: Hosts, expected: Expected) -> Self {
        Self { hosts, expected }
    }

    /// The `host:port` that is connected to for `domain`, which a configured one replaces.
    pub(crate) fn target(&self, domain: &str) -> String {
        match &self.expected.address {
            Some(address) => address.authority(443),
            None => format!("{}:443", self.domain(domain)),
        }
    }

    /// Fetches the object for `domain`, which a configured one replaces.
    pub(crate) async fn fetch(&self, steps: &Steps, domain: &str) -> Result<(), Failure> {
        let wrong = |reason: String| Failure::msg(STEP, reason);
        let domain = self.domain(domain);
        let scheme = self.expected.address.as_ref().map_or("https", Url::scheme);
        let origin = format!("{scheme}://{}", self.target(domain));
        let client = self.hosts.client(&origin).map_err(wrong)?;
        let request = Request::get(&self.expected.path).header(HOST, domain).body(Bytes::new());
        let request = request.map_err(|error| Failure::new(STEP, error))?;
        let answer = client.send(steps, STEP, request).await?;
        if answer.status().as_u16() != self.expected.status {
            let came = verdict::of(answer.status(), answer.headers());
            return Err(wrong(format!("expected status {}, {came}", self.expected.status)));
        }
        match &self.expected.contains {
            Some(text) if !holds(answer.body(), text.as_bytes()) => {
                Err(wrong("the object does not contain what it should".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn domain<'a>(&'a self, known: &'a str) -> &'a str {
        self.expected.domain.as_deref().unwrap_or(known)
    }
}

fn holds(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|part| part == text)
}
