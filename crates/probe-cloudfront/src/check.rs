//! The check: the distribution's state, then an object through it.

use probe::{Check, Failure, Grant, Steps};

use crate::distribution::Distribution;
use crate::edge::Edge;

/// The check of a distribution, of an object, or of both.
pub(crate) struct CloudFrontCheck {
    distribution: Option<Distribution>,
    edge: Option<Edge>,
    target: String,
}

impl CloudFrontCheck {
    pub(crate) fn new(distribution: Option<Distribution>, edge: Option<Edge>) -> Self {
        let target = match (&distribution, &edge) {
            (Some(distribution), _) => distribution.target(),
            (None, Some(edge)) => edge.target(""),
            (None, None) => String::new(),
        };
        Self { distribution, edge, target }
    }
}

impl Check for CloudFrontCheck {
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
            Some(edge) => fetch_from(edge, steps, &domain).await,
            None => Ok(()),
        }
    }

    /// The permission to look up the distribution. The object needs none.
    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(self.distribution.iter().map(Distribution::grant).collect())
    }
}

/// Fetches the object in a check with the API as its target, so that the cause names the edge.
async fn fetch_from(edge: &Edge, steps: &Steps, domain: &str) -> Result<(), Failure> {
    let target = edge.target(domain);
    steps.begin_with("fetch", format!("no answer from {target}"), "");
    edge.fetch(&Steps::new(), domain).await.map_err(|failure| {
        Failure::msg("fetch", format!("{}, from {target}", failure.cause().text()))
    })
}
