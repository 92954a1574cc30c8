//! Checks each stage of an application's history pipeline, and sends an event through it.
//!
//! ```toml
//! [history.clickhouse]
//! url = "http://clickhouse:8123"
//! user = "health"
//! password = "${env:CLICKHOUSE_PASSWORD}"
//! database = "history"
//! table = "events"
//!
//! [history.event_bridge]
//! bus = "history"
//! rule = "to-history"
//! api_destination = "history"
//! connection = "history"
//! region = "eu-central-1"
//!
//! [history.e2e]               # may be empty
//!
//! [history.api]
//! url = "http://history/health"
//!
//! [history.files]             # a bucket, as in `s3`
//! bucket = "history-files"
//! region = "eu-central-1"
//! access = ["list", "read", "write", "delete"]
//! ```
//!
//! Each table is optional and adds its own checks. A check reports only on its own stage, so that the cause is the first failure in the order of the pipeline: bus, rule, destination, connection, service, database.

mod clickhouse;
mod e2e;
mod event_bridge;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod health_endpoint;
mod secret_headers;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use aws_client::s3::Bucket;
use probe::{Check, DynChecks, Failure, Grant, Kind, Section, Steps};

use crate::clickhouse::ClickhouseTable;
use crate::e2e::EndToEnd;
use crate::event_bridge::{EventBridge, Stage};
use crate::health_endpoint::HealthEndpoint;
use crate::settings::Settings;

/// The kind of the section with one history.
pub const KIND: Kind = Kind { name: "history", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let settings = Settings::read(&mut fields, section.shared());
    let names = settings.names();
    fields.group(names, |name| settings.check(name.as_str()))
}

/// A check of the group.
enum HistoryCheck {
    Clickhouse(Arc<ClickhouseTable>),
    EndToEnd(EndToEnd),
    EventBridge(Arc<EventBridge>, Stage),
    Api(Arc<HealthEndpoint>),
    Files(Arc<Bucket>),
    /// A check with settings that are not known yet.
    Unavailable(Failure),
}

impl Check for HistoryCheck {
    fn target(&self) -> &str {
        match self {
            Self::Clickhouse(table) => table.target(),
            Self::EndToEnd(e2e) => e2e.target(),
            Self::EventBridge(event_bridge, _) => event_bridge.target(),
            Self::Api(endpoint) => endpoint.target(),
            Self::Files(bucket) => bucket.target(),
            Self::Unavailable(_) => "",
        }
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        match self {
            Self::Clickhouse(table) => table.check(steps).await,
            Self::EndToEnd(e2e) => e2e.check(steps).await,
            Self::EventBridge(event_bridge, stage) => event_bridge.check(steps, *stage).await,
            Self::Api(endpoint) => endpoint.check(steps).await,
            Self::Files(bucket) => bucket.check(steps).await,
            Self::Unavailable(failure) => Err(failure.clone()),
        }
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(match self {
            Self::Clickhouse(table) => table.grants(),
            Self::EndToEnd(e2e) => e2e.grants(),
            Self::EventBridge(event_bridge, stage) => event_bridge.grants(*stage),
            Self::Api(_) => Vec::new(),
            Self::Files(bucket) => bucket.grants(),
            Self::Unavailable(failure) => return Err(failure.clone()),
        })
    }

    fn leaves_traces(&self) -> bool {
        match self {
            Self::EndToEnd(_) => true,
            Self::Files(bucket) => bucket.writes(),
            _ => false,
        }
    }

    fn min_interval(&self) -> Option<Duration> {
        matches!(self, Self::EndToEnd(_)).then_some(e2e::MIN_INTERVAL)
    }
}
