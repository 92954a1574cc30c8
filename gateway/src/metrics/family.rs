//! A family of metrics: its name, type, labels and meaning.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;

/// The labels of every metric of a check, and those with one more.
macro_rules! check_labels {
    ($($last:literal)?) => {
        &["gateway_namespace", "component", "check" $(, $last)?]
    };
}
pub(super) use check_labels;

/// A family of metrics. `docs/metrics.md` is compared with all of them.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name, without the suffix of its type.
    pub(super) name: &'static str,
    kind: MetricType,
    /// Its labels, in the order of the exposition.
    pub labels: &'static [&'static str],
    /// What it means, in one sentence.
    pub help: &'static str,
}

impl Family {
    pub(super) const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: MetricType::Gauge, labels, help }
    }

    pub(super) const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: MetricType::Counter, labels, help }
    }

    pub(super) const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: MetricType::Histogram, labels, help }
    }

    pub(super) const fn info(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: MetricType::Info, labels, help }
    }

    /// Its name in the classic format, and in queries.
    pub fn name(&self) -> String {
        let suffix = match self.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            MetricType::Gauge | MetricType::Histogram | MetricType::Unknown => "",
        };
        format!("{}{suffix}", self.name)
    }

    /// Its type in the classic format.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            MetricType::Counter => "counter",
            MetricType::Histogram => "histogram",
            MetricType::Gauge | MetricType::Info => "gauge",
            MetricType::Unknown => "untyped",
        }
    }

    /// Writes its head. Its metrics are written to the returned encoder.
    pub(super) fn encode<'a>(
        &self,
        encoder: &'a mut DescriptorEncoder<'_>,
    ) -> Result<MetricEncoder<'a>, fmt::Error> {
        encoder.encode_descriptor(self.name, self.help, None, self.kind)
    }
}
