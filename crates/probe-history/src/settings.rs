//! The tables of a section, and the checks that each of them adds.

use std::sync::Arc;

use aws_client::s3::Bucket;
use http_client::Client;
use probe::config::{Fields, Url};
use probe::{CheckName, Failure, Secret, SharedResources};

use crate::HistoryCheck;
use crate::clickhouse::ClickhouseTable;
use crate::e2e::{EndToEnd, EventSettings};
use crate::event_bridge::{EventBridge, Stage};
use crate::health_endpoint::HealthEndpoint;

/// The names of all checks, in the order of the report.
const NAMES: [&str; 8] = [
    "clickhouse",
    "e2e",
    "event_bridge.api_destination",
    "event_bridge.connection",
    "event_bridge.credentials",
    "event_bridge.rule",
    "api",
    "files",
];

/// A table, if it is configured, or why its values are not known yet.
type OptionalTable<T> = Option<Result<Arc<T>, Failure>>;

/// The settings of a section.
pub(crate) struct Settings {
    clickhouse: OptionalTable<ClickhouseTable>,
    event_bridge: OptionalTable<EventBridge>,
    e2e: OptionalTable<EventSettings>,
    api: OptionalTable<HealthEndpoint>,
    files: OptionalTable<Bucket>,
    configured: Vec<&'static str>,
}

impl Settings {
    /// Reads all tables. Errors are reported in `fields`.
    pub(crate) fn read(fields: &mut Fields<'_>, shared: &SharedResources) -> Self {
        const TABLES: [&str; 5] = ["clickhouse", "event_bridge", "e2e", "api", "files"];
        let configured: Vec<_> = TABLES.into_iter().filter(|table| fields.has(table)).collect();
        let settings = Self {
            clickhouse: read_table(fields, "clickhouse", |table| {
                ClickhouseTable::read(table, shared)
            }),
            event_bridge: read_table(fields, "event_bridge", |table| {
                EventBridge::read(table, shared)
            }),
            e2e: read_table(fields, "e2e", EventSettings::read),
            api: read_table(fields, "api", |table| HealthEndpoint::read(table, shared)),
            files: read_table(fields, "files", |table| Bucket::read(table, shared)),
            configured,
        };
        if settings.configured.is_empty() {
            let known = TABLES.map(|table| format!("`{table}`")).join(", ");
            fields.error("clickhouse", format!("expected at least one of the tables {known}"));
        }
        let has_both_ends = ["clickhouse", "event_bridge"].iter().all(|table| fields.has(table));
        if fields.has("e2e") && !has_both_ends {
            fields.error("e2e", "expected `clickhouse` and `event_bridge` beside it");
        }
        settings
    }

    /// The names of the checks of all configured tables.
    pub(crate) fn names(&self) -> Vec<CheckName> {
        let is_configured = |name: &&str| {
            let table = name.split_once('.').map_or(*name, |(table, _)| table);
            self.configured.contains(&table)
        };
        NAMES
            .into_iter()
            .filter(is_configured)
            .filter_map(|name| CheckName::new(name).ok())
            .collect()
    }

    /// Returns the check with this name.
    pub(crate) fn check(&self, name: &str) -> Option<HistoryCheck> {
        let check = match name {
            "clickhouse" => self.clickhouse.clone()?.map(HistoryCheck::Clickhouse),
            "e2e" => self.end_to_end()?,
            "event_bridge.api_destination" => self.stage(Stage::ApiDestination)?,
            "event_bridge.connection" => self.stage(Stage::Connection)?,
            "event_bridge.credentials" => self.stage(Stage::Credentials)?,
            "event_bridge.rule" => self.stage(Stage::Rule)?,
            "api" => self.api.clone()?.map(HistoryCheck::Api),
            _ => self.files.clone()?.map(HistoryCheck::Files),
        };
        Some(check.unwrap_or_else(HistoryCheck::Unavailable))
    }

    fn stage(&self, stage: Stage) -> Option<Result<HistoryCheck, Failure>> {
        let event_bridge = self.event_bridge.clone()?;
        Some(event_bridge.map(|event_bridge| HistoryCheck::EventBridge(event_bridge, stage)))
    }

    fn end_to_end(&self) -> Option<Result<HistoryCheck, Failure>> {
        let tables = (self.event_bridge.clone()?, self.clickhouse.clone()?, self.e2e.clone()?);
        Some(match tables {
            (Ok(event_bridge), Ok(table), Ok(event)) => {
                Ok(HistoryCheck::EndToEnd(EndToEnd::new(event_bridge, table, event)))
            }
            (Err(failure), _, _) | (_, Err(failure), _) | (_, _, Err(failure)) => Err(failure),
        })
    }
}

fn read_table<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> OptionalTable<T> {
    fields.table(key, |table| read(table)).map(|read| read.map(Arc::new))
}

/// Returns the client of the server in `url`, shared by all users with equal TLS settings: credentials are part of each request.
pub(crate) fn shared_client(
    fields: &mut Fields<'_>,
    shared: &SharedResources,
    url: Option<&Url>,
) -> Option<Arc<Client>> {
    let tls = net::TlsSettings::read(fields);
    let (url, tls) = (url?, tls?);
    let is_https = url.scheme() == "https";
    tls.expect_use(fields, is_https, "a `url` that begins with `https`")?;
    let authority = url.authority(if is_https { 443 } else { 80 });
    let (scheme, identity) = (url.scheme(), tls.identity());
    let key = Secret::formatted(format_args!("{scheme}://{authority};{}", identity.expose()));
    Some(shared.get_or_insert(&key, || Client::new(url, tls)))
}
