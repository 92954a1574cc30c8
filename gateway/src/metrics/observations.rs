//! The metrics of what checks observe beside their verdict.

use std::fmt;

use probe::Observation;
use prometheus_client::encoding::DescriptorEncoder;

use super::checks::{checks, timestamp};
use super::{Family, gauge};
use crate::namespace::NamespaceSample;

pub(super) const FAMILIES: &[&Family] =
    &[&CERTIFICATE_EXPIRY, &VAULT_TOKEN_EXPIRY, &QUEUE_MESSAGES, &QUEUE_CONSUMERS];

const CERTIFICATE_EXPIRY: Family = Family::gauge(
    "health_gateway_certificate_expiry_timestamp_seconds",
    &["gateway_namespace", "component", "check"],
    "When the certificate of a backend expires.",
);

const VAULT_TOKEN_EXPIRY: Family = Family::gauge(
    "health_gateway_vault_token_expiry_timestamp_seconds",
    &["gateway_namespace", "component", "check"],
    "When the gateway's token of Vault expires, unless it is renewed.",
);

const QUEUE_MESSAGES: Family = Family::gauge(
    "health_gateway_queue_messages",
    &["gateway_namespace", "component", "check", "queue"],
    "Messages of a queue that wait for a consumer.",
);

const QUEUE_CONSUMERS: Family = Family::gauge(
    "health_gateway_queue_consumers",
    &["gateway_namespace", "component", "check", "queue"],
    "Consumers of a queue.",
);

/// A value in the unit of its metric.
enum Value {
    Count(u64),
    Seconds(f64),
}

/// The metric of an observation, and its value.
fn metric(observation: &Observation) -> (&'static Family, Value) {
    match observation {
        Observation::CertificateExpiry(at) => (&CERTIFICATE_EXPIRY, Value::Seconds(timestamp(*at))),
        Observation::VaultTokenExpiry(at) => (&VAULT_TOKEN_EXPIRY, Value::Seconds(timestamp(*at))),
        Observation::QueueMessages(_, count) => (&QUEUE_MESSAGES, Value::Count(*count)),
        Observation::QueueConsumers(_, count) => (&QUEUE_CONSUMERS, Value::Count(*count)),
    }
}

/// Writes the observations of the last run of each check.
pub(super) fn encode(
    samples: &[NamespaceSample],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    for family in FAMILIES {
        let mut encoder = family.encode(encoder)?;
        for (labels, check) in checks(samples) {
            for observation in &check.observations {
                let (of, value) = metric(observation);
                if of.name() != family.name() {
                    continue;
                }
                // Only the last label of a family differs from those of every check.
                let name = observation.name().map(|name| (family.labels[labels.len()], name));
                let labels = (labels, name.as_slice());
                match value {
                    Value::Count(count) => gauge(&mut encoder, &labels, &count)?,
                    Value::Seconds(seconds) => gauge(&mut encoder, &labels, &seconds)?,
                }
            }
        }
    }
    Ok(())
}
