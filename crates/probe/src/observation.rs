//! Quantities that a check observes besides its result.

use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The value of a quantity, which means the same in every probe that observes it.
///
/// The gateway exposes each variant as a metric. A name is part of it, so it must be neither an address nor a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// When the server's certificate expires.
    CertificateExpiry(SystemTime),
    /// When the gateway's Vault token expires, unless it is renewed.
    VaultTokenExpiry(SystemTime),
    /// The name of a queue, and how many of its messages wait for a consumer.
    QueueMessages(Arc<str>, u64),
    /// The name of a queue, and how many consumers it has.
    QueueConsumers(Arc<str>, u64),
    /// A stage of the history pipeline, and how long an event took for it.
    HistoryStage(&'static str, Duration),
    /// How far a replica of PostgreSQL may be behind its primary.
    PostgresReplicationLag(Duration),
    /// How many connections a PostgreSQL server has.
    PostgresConnections(u64),
    /// How many connections a PostgreSQL server allows.
    PostgresConnectionsMax(u64),
    /// How many bytes the slowest replica of a Redis primary has not received.
    RedisReplicationLag(u64),
    /// How many Celery workers have replied.
    CeleryWorkers(u64),
    /// How many Celery workers must reply.
    CeleryWorkersExpected(u64),
}

impl Observation {
    /// Its name, if a check may observe the quantity of several things.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::QueueMessages(name, _) | Self::QueueConsumers(name, _) => Some(name),
            Self::HistoryStage(stage, _) => Some(stage),
            Self::CertificateExpiry(_)
            | Self::VaultTokenExpiry(_)
            | Self::PostgresReplicationLag(_)
            | Self::PostgresConnections(_)
            | Self::PostgresConnectionsMax(_)
            | Self::RedisReplicationLag(_)
            | Self::CeleryWorkers(_)
            | Self::CeleryWorkersExpected(_) => None,
        }
    }

    /// What a later observation must have in common to replace this one.
    pub(crate) fn subject(&self) -> (Discriminant<Self>, Option<&str>) {
        (discriminant(self), self.name())
    }
}
