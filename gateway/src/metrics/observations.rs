//! The metrics of what checks observe besides their results.

use std::fmt;

use probe::Observation;
use prometheus_client::encoding::DescriptorEncoder;

use super::Family;
use super::checks::{Value, encode_checks, timestamp};
use super::family::check_labels;
use crate::namespace::NamespaceSample;

pub(super) const FAMILIES: &[&Family] = &[
    &CERTIFICATE_EXPIRY,
    &VAULT_TOKEN_EXPIRY,
    &QUEUE_MESSAGES,
    &QUEUE_CONSUMERS,
    &HISTORY_STAGE,
    &POSTGRES_REPLICATION_LAG,
    &POSTGRES_CONNECTIONS,
    &POSTGRES_CONNECTIONS_MAX,
    &REDIS_REPLICATION_LAG,
    &CELERY_WORKERS,
    &CELERY_WORKERS_EXPECTED,
];

const CERTIFICATE_EXPIRY: Family = Family::gauge(
    "health_gateway_certificate_expiry_timestamp_seconds",
    check_labels!(),
    "When the certificate of a backend expires.",
);

const VAULT_TOKEN_EXPIRY: Family = Family::gauge(
    "health_gateway_vault_token_expiry_timestamp_seconds",
    check_labels!(),
    "When the gateway's Vault token expires, unless it is renewed.",
);

const QUEUE_MESSAGES: Family = Family::gauge(
    "health_gateway_queue_messages",
    check_labels!("queue"),
    "Messages of a queue that wait for a consumer.",
);

const QUEUE_CONSUMERS: Family = Family::gauge(
    "health_gateway_queue_consumers",
    check_labels!("queue"),
    "Consumers of a queue.",
);

const HISTORY_STAGE: Family = Family::gauge(
    "health_gateway_history_stage_seconds",
    check_labels!("stage"),
    "How long an event took for a stage of the history pipeline.",
);

const POSTGRES_REPLICATION_LAG: Family = Family::gauge(
    "health_gateway_postgres_replication_lag_seconds",
    check_labels!(),
    "How far a replica of PostgreSQL may be behind its primary.",
);

const POSTGRES_CONNECTIONS: Family = Family::gauge(
    "health_gateway_postgres_connections",
    check_labels!(),
    "Connections to the databases of a PostgreSQL server.",
);

const POSTGRES_CONNECTIONS_MAX: Family = Family::gauge(
    "health_gateway_postgres_connections_max",
    check_labels!(),
    "How many connections a PostgreSQL server allows.",
);

const REDIS_REPLICATION_LAG: Family = Family::gauge(
    "health_gateway_redis_replication_lag_bytes",
    check_labels!(),
    "How much data the slowest replica of a Redis primary has not received.",
);

const CELERY_WORKERS: Family = Family::gauge(
    "health_gateway_celery_workers",
    check_labels!(),
    "Celery workers that replied before the check ended.",
);

const CELERY_WORKERS_EXPECTED: Family = Family::gauge(
    "health_gateway_celery_workers_expected",
    check_labels!(),
    "Celery workers that must reply.",
);

/// The metric of an observation, and its value.
fn metric(observation: &Observation) -> (&'static Family, Value) {
    match observation {
        Observation::CertificateExpiry(at) => (&CERTIFICATE_EXPIRY, Value::Seconds(timestamp(*at))),
        Observation::VaultTokenExpiry(at) => (&VAULT_TOKEN_EXPIRY, Value::Seconds(timestamp(*at))),
        Observation::QueueMessages(_, count) => (&QUEUE_MESSAGES, Value::Count(*count)),
        Observation::QueueConsumers(_, count) => (&QUEUE_CONSUMERS, Value::Count(*count)),
        Observation::HistoryStage(_, time) => (&HISTORY_STAGE, Value::Seconds(time.as_secs_f64())),
        Observation::PostgresReplicationLag(lag) => {
            (&POSTGRES_REPLICATION_LAG, Value::Seconds(lag.as_secs_f64()))
        }
        Observation::PostgresConnections(count) => (&POSTGRES_CONNECTIONS, Value::Count(*count)),
        Observation::PostgresConnectionsMax(count) => {
            (&POSTGRES_CONNECTIONS_MAX, Value::Count(*count))
        }
        Observation::RedisReplicationLag(bytes) => (&REDIS_REPLICATION_LAG, Value::Count(*bytes)),
        Observation::CeleryWorkers(count) => (&CELERY_WORKERS, Value::Count(*count)),
        Observation::CeleryWorkersExpected(count) => {
            (&CELERY_WORKERS_EXPECTED, Value::Count(*count))
        }
    }
}

/// The name of the metric of an observation, and its value.
pub(crate) fn measured(observation: &Observation) -> (String, f64) {
    let (family, value) = metric(observation);
    let value = match value {
        Value::Count(count) => f64::from(u32::try_from(count).unwrap_or(u32::MAX)),
        Value::Seconds(seconds) => seconds,
    };
    (family.name(), value)
}

/// Writes the observations of the last run of each check.
pub(super) fn encode(
    samples: &[NamespaceSample],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    FAMILIES.iter().try_for_each(|family| {
        encode_checks(family, samples, encoder, |check, series| {
            check.observations.iter().try_for_each(|observation| {
                let (of, value) = metric(observation);
                let is_own = of.name == family.name;
                series.gauge_if(observation.name(), is_own.then_some(value))
            })
        })
    })
}
