//! Asks each link of the pipeline that an application's history takes, and sends an event through all of it.
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
//! A table that is left out leaves out its checks. Each check speaks for its own link, so that the first that fails in the order of the pipeline is the one to look at: bus, rule, destination, connection, service, database.

mod api;
mod clickhouse;
mod e2e;
mod event_bridge;
mod headers;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use aws_client::s3::Bucket;
use probe::{Check, DynChecks, Failure, Grant, Kind, Section, Steps};

use crate::api::Api;
use crate::clickhouse::Table;
use crate::e2e::EndToEnd;
use crate::event_bridge::{EventBridge, Link};
use crate::settings::Settings;

/// The kind of sections that hold one history.
pub const KIND: Kind = Kind { name: "history", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let settings = Settings::read(section.shared(), &mut fields);
    let names = settings.names();
    fields.group(names, |name| settings.check(name.as_str()))
}

/// A check of the group.
enum HistoryCheck {
    Clickhouse(Arc<Table>),
    EndToEnd(EndToEnd),
    EventBridge(Arc<EventBridge>, Link),
    Api(Arc<Api>),
    Files(Arc<Bucket>),
    /// Its settings are not known yet.
    Unknown(Failure),
}

impl Check for HistoryCheck {
    fn target(&self) -> &str {
        match self {
            Self::Clickhouse(table) => table.target(),
            Self::EndToEnd(e2e) => e2e.target(),
            Self::EventBridge(event_bridge, _) => event_bridge.target(),
            Self::Api(api) => api.target(),
            Self::Files(bucket) => bucket.target(),
            Self::Unknown(_) => "",
        }
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        match self {
            Self::Clickhouse(table) => table.check(steps).await,
            Self::EndToEnd(e2e) => e2e.check(steps).await,
            Self::EventBridge(event_bridge, link) => event_bridge.check(steps, *link).await,
            Self::Api(api) => api.check(steps).await,
            Self::Files(bucket) => bucket.check(steps).await,
            Self::Unknown(failure) => Err(failure.clone()),
        }
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(match self {
            Self::Clickhouse(table) => table.grants(),
            Self::EndToEnd(e2e) => e2e.grants(),
            Self::EventBridge(event_bridge, link) => event_bridge.grants(*link),
            Self::Api(_) => Vec::new(),
            Self::Files(bucket) => bucket.grants(),
            Self::Unknown(failure) => return Err(failure.clone()),
        })
    }

    fn min_interval(&self) -> Option<Duration> {
        matches!(self, Self::EndToEnd(_)).then_some(e2e::PACE)
    }
}
