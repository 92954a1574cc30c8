//! The check: the distribution's state, then an object through it.

use probe::{Check, Failure, Grant, Steps};

use crate::distribution::Distribution;
use crate::edge::Edge;

/// One or both halves.
pub(crate) struct CloudFront {
    distribution: Option<Distribution>,
    edge: Option<Edge>,
    target: String,
}

impl CloudFront {
    pub(crate) fn new(distribution: Option<Distribution>, edge: Option<Edge>) -> Self {
        let target = match (&distribution, &edge) {
            (Some(distribution), _) => distribution.target(),
            (None, Some(edge)) => edge.target(""),
            (None, None) => String::new(),
        };
        Self { distribution, edge, target }
    }
}

impl Check for CloudFront {
    fn target(&self) -> &str {
        &self.target
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let Some(distribution) = &self.distribution else {
            return match &self.edge {
                Some(edge) => edge.fetch(steps, "").await,
                None => Ok(()),
            };
        };
        let domain = distribution.domain(steps).await?;
        match &self.edge {
            Some(edge) => fetch_beside(edge, steps, &domain).await,
            None => Ok(()),
        }
    }

    /// What an edge serves, it serves to everybody.
    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(self.distribution.iter().map(Distribution::grant).collect())
    }
}

/// Fetches in a check whose target is the API: where the object comes from is said in the cause.
async fn fetch_beside(edge: &Edge, steps: &Steps, domain: &str) -> Result<(), Failure> {
    let target = edge.target(domain);
    steps.begin_with("fetch", format!("no answer from {target}"), "");
    edge.fetch(&Steps::new(), domain).await.map_err(|failure| {
        Failure::msg("fetch", format!("{}, from {target}", failure.cause().text()))
    })
}
