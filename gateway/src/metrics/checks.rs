//! The metrics of namespaces and their checks.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, GaugeValueEncoder, MetricEncoder, NoLabelSet,
};

use super::family::check_labels;
use super::{Family, counter, gauge, observations};
use crate::namespace::NamespaceSample;
use crate::namespaces::Namespaces;
use crate::runner::{CheckSample, Durations, RunResult};

/// The families of checks and namespaces, in the order of the exposition.
pub(super) fn families() -> impl Iterator<Item = &'static Family> {
    let of_checks = OF_CHECKS.iter().map(|(family, _)| family);
    let of_namespaces = OF_NAMESPACES.iter().map(|(family, _)| family);
    of_checks.chain(of_namespaces).chain(observations::FAMILIES.iter().copied())
}

/// Writes the series of a check.
type Write = fn(&CheckSample, &mut Series<'_, '_>) -> fmt::Result;

/// The families of checks, except for what these observe.
const OF_CHECKS: &[(Family, Write)] = &[
    (
        Family::gauge(
            "health_gateway_check_up",
            check_labels!("severity"),
            "Whether the last run of a check found its backend working.",
        ),
        |check, series| {
            let works = check.last.map(|last| flag(last.failed_step.is_none()));
            series.gauge_if(Some(check.severity.as_str()), works)
        },
    ),
    (
        Family::gauge(
            "health_gateway_check_failing",
            check_labels!("step"),
            "1 with the step that failed in the last run of a check; absent while it works.",
        ),
        |check, series| {
            let step = check.last.and_then(|last| last.failed_step);
            series.gauge_if(step, step.map(|_| 1_u64))
        },
    ),
    (
        Family::counter(
            "health_gateway_check_status_changes",
            check_labels!(),
            "How often a check began to fail or to work again.",
        ),
        |check, series| series.counter(None, check.statistics.status_changes),
    ),
    (
        Family::counter(
            "health_gateway_check_runs",
            check_labels!("result"),
            "Completed runs of a check.",
        ),
        |check, series| {
            let runs = |result| check.statistics.runs(result);
            RunResult::ALL
                .into_iter()
                .try_for_each(|result| series.counter(Some(result.as_str()), runs(result)))
        },
    ),
    (
        Family::histogram(
            "health_gateway_check_duration_seconds",
            check_labels!(),
            "How long the runs of a check took.",
        ),
        |check, series| series.histogram(&check.statistics.durations),
    ),
    (
        Family::gauge(
            "health_gateway_check_last_run_timestamp_seconds",
            check_labels!(),
            "When the last run of a check was complete.",
        ),
        |check, series| series.gauge_if(None, check.statistics.last_completed.map(timestamp)),
    ),
    (
        Family::gauge(
            "health_gateway_check_maintenance",
            check_labels!(),
            "Whether a check is in maintenance.",
        ),
        |check, series| series.gauge_if(None, Some(flag(check.in_maintenance))),
    ),
    (
        Family::gauge(
            "health_gateway_check_shared",
            check_labels!(),
            "Whether the last result of a check with shared results is another replica's.",
        ),
        |check, series| {
            let last = check.last.filter(|_| check.is_shared);
            series.gauge_if(None, last.map(|last| flag(last.is_shared)))
        },
    ),
];

/// A family of namespaces, and the value of one, if it has one.
type OfNamespace = (Family, fn(&NamespaceSample) -> Option<Value>);

/// The families of namespaces.
const OF_NAMESPACES: &[OfNamespace] = &[
    (
        Family::gauge(
            "health_gateway_config_last_reload_successful",
            &["gateway_namespace"],
            "Whether the current files and secrets of a namespace are in use, and not rejected.",
        ),
        |sample| Some(Value::Count(flag(!sample.reload.is_rejected))),
    ),
    (
        Family::gauge(
            "health_gateway_config_last_reload_success_timestamp_seconds",
            &["gateway_namespace"],
            "When the configuration in use was loaded.",
        ),
        |sample| Some(Value::Seconds(timestamp(sample.reload.installed))),
    ),
    (
        Family::gauge(
            "health_gateway_secrets_unreadable",
            &["gateway_namespace"],
            "Secrets that could not be read from Vault the last time.",
        ),
        |sample| {
            let count = sample.reload.unreadable_secrets.try_into().unwrap_or(u64::MAX);
            Some(Value::Count(count))
        },
    ),
    (
        Family::gauge(
            "health_gateway_share_store_up",
            &["gateway_namespace"],
            "Whether the store of shared results is available.",
        ),
        |sample| sample.share_store_up.map(|is_up| Value::Count(flag(is_up))),
    ),
];

/// A value in the unit of its metric.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Count(u64),
    Seconds(f64),
}

impl EncodeGaugeValue for Value {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.encode(encoder),
            Self::Seconds(seconds) => seconds.encode(encoder),
        }
    }
}

/// Reads the state of all namespaces when it is scraped.
#[derive(Debug)]
pub(super) struct NamespaceCollector(pub(super) Arc<Namespaces>);

impl Collector for NamespaceCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = SystemTime::now();
        let samples: Vec<_> = self.0.all().iter().map(|namespace| namespace.sample(now)).collect();
        encode(&samples, encoder)
    }
}

/// The state of some namespaces.
#[derive(Debug)]
pub(super) struct SampleCollector(pub(super) Vec<NamespaceSample>);

impl Collector for SampleCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode(&self.0, encoder)
    }
}

fn encode(samples: &[NamespaceSample], mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
    for (family, write) in OF_CHECKS {
        encode_checks(family, samples, &mut encoder, write)?;
    }
    for (family, value) in OF_NAMESPACES {
        let mut family = family.encode(&mut encoder)?;
        for sample in samples {
            if let Some(value) = value(sample) {
                gauge(&mut family, &[("gateway_namespace", sample.name.as_str())], &value)?;
            }
        }
    }
    observations::encode(samples, &mut encoder)
}

/// Writes a family with what `write` adds for each check.
pub(super) fn encode_checks(
    family: &Family,
    samples: &[NamespaceSample],
    encoder: &mut DescriptorEncoder<'_>,
    write: impl Fn(&CheckSample, &mut Series<'_, '_>) -> fmt::Result,
) -> fmt::Result {
    let mut encoder = family.encode(encoder)?;
    for namespace in samples {
        for check in &namespace.checks {
            let labels = [
                ("gateway_namespace", namespace.name.as_str()),
                ("component", &check.component),
                ("check", &check.name),
            ];
            // Only the last label of a family differs from those of every check.
            let last = family.labels.get(labels.len()).copied();
            write(check, &mut Series { encoder: &mut encoder, labels, last })?;
        }
    }
    Ok(())
}

/// Writes the series of one check.
pub(super) struct Series<'a, 'e> {
    encoder: &'a mut MetricEncoder<'e>,
    labels: [(&'static str, &'a str); 3],
    last: Option<&'static str>,
}

impl Series<'_, '_> {
    /// Writes a gauge with the value of the last label, if it has one of its own, unless its value is absent.
    pub(super) fn gauge_if<V: EncodeGaugeValue>(
        &mut self,
        label: Option<&str>,
        value: Option<V>,
    ) -> fmt::Result {
        let last = self.last.zip(label);
        value.map_or(Ok(()), |value| gauge(self.encoder, &(self.labels, last.as_slice()), &value))
    }

    fn counter(&mut self, label: Option<&str>, value: u64) -> fmt::Result {
        let last = self.last.zip(label);
        counter(self.encoder, &(self.labels, last.as_slice()), value)
    }

    fn histogram(&mut self, durations: &Durations) -> fmt::Result {
        let (sum, count, buckets) = (durations.sum(), durations.count(), durations.buckets());
        let mut histogram = self.encoder.encode_family(&self.labels)?;
        histogram.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

fn flag(is_set: bool) -> u64 {
    u64::from(is_set)
}

/// Seconds since 1970, with milliseconds: the conversion to floating point would make up further digits.
pub(super) fn timestamp(at: SystemTime) -> f64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(milliseconds).as_secs_f64()
}
