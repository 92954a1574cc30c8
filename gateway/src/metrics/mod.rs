//! The metrics of the checks and of the gateway itself, which `admin` serves on `/metrics`.
//!
//! Each collector reads the current state when it is scraped, so that the series of a check end with the check.
//! No label contains an address, a URL, an error text or a secret.

mod checks;
mod exposition;
mod family;
mod observations;
mod process;
mod server;

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use prometheus_client::encoding::{EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::registry::Registry;

use self::checks::{NamespaceCollector, SampleCollector};
pub use self::exposition::Exposition;
use self::exposition::ExpositionFormat;
pub use self::family::Family;
pub(crate) use self::observations::measured;
use self::process::ProcessCollector;
use self::server::ServerCollector;
use crate::http::ServerStatistics;
use crate::log::DroppedLines;
use crate::namespace::NamespaceSample;
use crate::namespaces::Namespaces;

/// All families of metrics, in the order of the exposition.
pub fn families() -> impl Iterator<Item = &'static Family> {
    checks::families().chain([server::FAMILIES, process::FAMILIES].concat())
}

/// The metrics of this process.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Registry>);

impl Metrics {
    /// The metrics of all `namespaces`, of the endpoint's `server`, of the log and of the process.
    pub fn new(
        namespaces: &Arc<Namespaces>,
        server: Arc<ServerStatistics>,
        dropped_lines: DroppedLines,
    ) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(NamespaceCollector(namespaces.clone())));
        let namespaces = namespaces.clone();
        registry.register_collector(Box::new(ServerCollector {
            namespaces,
            server,
            dropped_lines,
        }));
        registry.register_collector(Box::new(ProcessCollector::new()));
        Self(registry.into())
    }

    /// No metrics, for tests of the listener.
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self(Arc::default())
    }

    /// Writes all metrics in the format that the headers of a request ask for.
    pub fn expose(&self, headers: &HeaderMap) -> Exposition {
        ExpositionFormat::negotiate(headers).write(&self.0)
    }
}

/// The metrics of these namespaces and their checks, in the classic format.
pub(crate) fn text(samples: Vec<NamespaceSample>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(SampleCollector(samples)));
    let parts = ExpositionFormat::Classic.write(&registry).parts;
    String::from_utf8_lossy(&parts.concat()).into_owned()
}

/// Writes a gauge with these labels.
fn gauge(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: &impl EncodeGaugeValue,
) -> fmt::Result {
    family.encode_family(labels)?.encode_gauge(value)
}

/// Writes a counter with these labels.
fn counter(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: u64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

/// The labels of a metric without any.
const NO_LABELS: [(&str, &str); 0] = [];
