//! The metrics of namespaces and their checks, without what these observe.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};

use super::{Family, counter, gauge, observations};
use crate::namespace::NamespaceSample;
use crate::namespaces::Namespaces;
use crate::runner::{CheckSample, RunResult};

pub(super) const FAMILIES: &[&Family] = &[
    &CHECK_UP,
    &CHECK_FAILING,
    &CHECK_STATUS_CHANGES,
    &CHECK_RUNS,
    &CHECK_DURATION,
    &CHECK_LAST_RUN,
    &CHECK_MAINTENANCE,
    &CONFIG_LAST_RELOAD_SUCCESSFUL,
    &CONFIG_LAST_RELOAD_SUCCESS,
    &SECRETS_UNREADABLE,
];

const CHECK_UP: Family = Family::gauge(
    "health_gateway_check_up",
    &["gateway_namespace", "component", "check", "severity"],
    "Whether the last run of a check found its backend working.",
);

const CHECK_FAILING: Family = Family::gauge(
    "health_gateway_check_failing",
    &["gateway_namespace", "component", "check", "step"],
    "1 with the step that failed in the last run of a check; absent while it works.",
);

const CHECK_STATUS_CHANGES: Family = Family::counter(
    "health_gateway_check_status_changes",
    &["gateway_namespace", "component", "check"],
    "How often a check began to fail or to work again.",
);

const CHECK_RUNS: Family = Family::counter(
    "health_gateway_check_runs",
    &["gateway_namespace", "component", "check", "result"],
    "Completed runs of a check.",
);

const CHECK_DURATION: Family = Family::histogram(
    "health_gateway_check_duration_seconds",
    &["gateway_namespace", "component", "check"],
    "How long the runs of a check took.",
);

const CHECK_LAST_RUN: Family = Family::gauge(
    "health_gateway_check_last_run_timestamp_seconds",
    &["gateway_namespace", "component", "check"],
    "When the last run of a check was complete.",
);

const CHECK_MAINTENANCE: Family = Family::gauge(
    "health_gateway_check_maintenance",
    &["gateway_namespace", "component", "check"],
    "Whether a check is in maintenance.",
);

const CONFIG_LAST_RELOAD_SUCCESSFUL: Family = Family::gauge(
    "health_gateway_config_last_reload_successful",
    &["gateway_namespace"],
    "Whether the current files and secrets of a namespace are in use, and not rejected.",
);

const CONFIG_LAST_RELOAD_SUCCESS: Family = Family::gauge(
    "health_gateway_config_last_reload_success_timestamp_seconds",
    &["gateway_namespace"],
    "When the configuration in use was loaded.",
);

const SECRETS_UNREADABLE: Family = Family::gauge(
    "health_gateway_secrets_unreadable",
    &["gateway_namespace"],
    "Secrets that could not be read from Vault the last time.",
);

/// Reads the state of all namespaces.
#[derive(Debug)]
pub(super) struct NamespaceCollector(pub(super) Arc<Namespaces>);

impl Collector for NamespaceCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let samples: Vec<_> =
            self.0.all().iter().map(|namespace| namespace.sample(SystemTime::now())).collect();
        encode_checks(&samples, &mut encoder)?;
        encode_configuration(&samples, &mut encoder)?;
        observations::encode(&samples, &mut encoder)
    }
}

pub(super) type Labels<'a> = [(&'static str, &'a str); 3];

/// Each check with its labels.
pub(super) fn checks(
    samples: &[NamespaceSample],
) -> impl Iterator<Item = (Labels<'_>, &CheckSample)> {
    samples.iter().flat_map(|namespace| {
        namespace.checks.iter().map(|check| {
            let labels = [
                ("gateway_namespace", namespace.name.as_str()),
                ("component", &check.component),
                ("check", &check.name),
            ];
            (labels, check)
        })
    })
}

fn encode_checks(samples: &[NamespaceSample], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = CHECK_UP.encode(encoder)?;
    for (labels, check) in checks(samples) {
        if let Some(last) = &check.last {
            let labels = (labels, [("severity", check.severity.as_str())]);
            gauge(&mut family, &labels, &flag(last.failed_step.is_none()))?;
        }
    }
    let mut family = CHECK_FAILING.encode(encoder)?;
    for (labels, check) in checks(samples) {
        if let Some(step) = check.last.as_ref().and_then(|last| last.failed_step) {
            gauge(&mut family, &(labels, [("step", step)]), &1_u64)?;
        }
    }
    let mut family = CHECK_STATUS_CHANGES.encode(encoder)?;
    for (labels, check) in checks(samples) {
        counter(&mut family, &labels, check.statistics.status_changes)?;
    }
    let mut family = CHECK_RUNS.encode(encoder)?;
    for (labels, check) in checks(samples) {
        for result in RunResult::ALL {
            let labels = (labels, [("result", result.as_str())]);
            counter(&mut family, &labels, check.statistics.runs(result))?;
        }
    }
    let mut family = CHECK_DURATION.encode(encoder)?;
    for (labels, check) in checks(samples) {
        let durations = &check.statistics.durations;
        let (sum, count) = (durations.sum(), durations.count());
        let mut histogram = family.encode_family(&labels)?;
        histogram.encode_histogram::<NoLabelSet>(sum, count, &durations.buckets(), None)?;
    }
    let mut family = CHECK_LAST_RUN.encode(encoder)?;
    for (labels, check) in checks(samples) {
        if let Some(completed) = check.statistics.last_completed {
            gauge(&mut family, &labels, &timestamp(completed))?;
        }
    }
    let mut family = CHECK_MAINTENANCE.encode(encoder)?;
    for (labels, check) in checks(samples) {
        gauge(&mut family, &labels, &flag(check.in_maintenance))?;
    }
    Ok(())
}

fn encode_configuration(
    samples: &[NamespaceSample],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    encode_each(CONFIG_LAST_RELOAD_SUCCESSFUL, samples, encoder, |sample| {
        flag(!sample.reload.is_rejected)
    })?;
    encode_each(CONFIG_LAST_RELOAD_SUCCESS, samples, encoder, |sample| {
        timestamp(sample.reload.installed)
    })?;
    encode_each(SECRETS_UNREADABLE, samples, encoder, |sample| sample.reload.unreadable_secrets)
}

/// Writes a gauge with a value for each namespace.
fn encode_each<V: EncodeGaugeValue>(
    family: Family,
    samples: &[NamespaceSample],
    encoder: &mut DescriptorEncoder<'_>,
    value: impl Fn(&NamespaceSample) -> V,
) -> fmt::Result {
    let mut family = family.encode(encoder)?;
    samples.iter().try_for_each(|sample| {
        gauge(&mut family, &[("gateway_namespace", sample.name.as_str())], &value(sample))
    })
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
