//! The tables of a section, and the checks that each of them makes.

use std::sync::Arc;

use aws_client::s3::Bucket;
use http_client::Client;
use probe::config::{Fields, Url};
use probe::{CheckName, Failure, Secret, SharedResources};

use crate::HistoryCheck;
use crate::api::Api;
use crate::clickhouse::Table;
use crate::e2e::{EndToEnd, Event};
use crate::event_bridge::{EventBridge, Link};

/// Every check, in the order of the answer.
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

/// What a table says, if there is one, or why that is not known yet.
type Part<T> = Option<Result<Arc<T>, Failure>>;

/// What a section says.
pub(crate) struct Settings {
    clickhouse: Part<Table>,
    event_bridge: Part<EventBridge>,
    e2e: Part<Event>,
    api: Part<Api>,
    files: Part<Bucket>,
    written: Vec<&'static str>,
}

impl Settings {
    /// Reads all tables; what is wrong is noted.
    pub(crate) fn read(shared: &SharedResources, fields: &mut Fields<'_>) -> Self {
        const TABLES: [&str; 5] = ["clickhouse", "event_bridge", "e2e", "api", "files"];
        let written: Vec<_> = TABLES.into_iter().filter(|table| fields.has(table)).collect();
        let settings = Self {
            clickhouse: part(fields, "clickhouse", |table| Table::read(shared, table)),
            event_bridge: part(fields, "event_bridge", |table| EventBridge::read(shared, table)),
            e2e: part(fields, "e2e", Event::read),
            api: part(fields, "api", |table| Api::read(shared, table)),
            files: part(fields, "files", |table| Bucket::read(table, shared)),
            written,
        };
        if settings.written.is_empty() {
            let known = TABLES.map(|table| format!("`{table}`")).join(", ");
            fields.error("clickhouse", format!("expected at least one of the tables {known}"));
        }
        let complete = ["clickhouse", "event_bridge"].iter().all(|table| fields.has(table));
        if fields.has("e2e") && !complete {
            fields.error("e2e", "expected `clickhouse` and `event_bridge` beside it");
        }
        settings
    }

    /// The names of the checks that there are.
    pub(crate) fn names(&self) -> Vec<CheckName> {
        let is_written = |name: &&str| {
            let table = name.split_once('.').map_or(*name, |(table, _)| table);
            self.written.contains(&table)
        };
        NAMES.into_iter().filter(is_written).filter_map(|name| CheckName::new(name).ok()).collect()
    }

    /// The check of this name.
    pub(crate) fn check(&self, name: &str) -> Option<HistoryCheck> {
        let check = match name {
            "clickhouse" => self.clickhouse.clone()?.map(HistoryCheck::Clickhouse),
            "e2e" => self.end_to_end()?,
            "event_bridge.api_destination" => self.link(Link::ApiDestination)?,
            "event_bridge.connection" => self.link(Link::Connection)?,
            "event_bridge.credentials" => self.link(Link::Credentials)?,
            "event_bridge.rule" => self.link(Link::Rule)?,
            "api" => self.api.clone()?.map(HistoryCheck::Api),
            _ => self.files.clone()?.map(HistoryCheck::Files),
        };
        Some(check.unwrap_or_else(HistoryCheck::Unknown))
    }

    fn link(&self, link: Link) -> Option<Result<HistoryCheck, Failure>> {
        let event_bridge = self.event_bridge.clone()?;
        Some(event_bridge.map(|event_bridge| HistoryCheck::EventBridge(event_bridge, link)))
    }

    fn end_to_end(&self) -> Option<Result<HistoryCheck, Failure>> {
        let parts = (self.event_bridge.clone()?, self.clickhouse.clone()?, self.e2e.clone()?);
        Some(match parts {
            (Ok(event_bridge), Ok(table), Ok(event)) => {
                Ok(HistoryCheck::EndToEnd(EndToEnd::new(event_bridge, table, event)))
            }
            (Err(failure), _, _) | (_, Err(failure), _) | (_, _, Err(failure)) => Err(failure),
        })
    }
}

fn part<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Part<T> {
    fields.table(key, |table| read(table)).map(|read| read.map(Arc::new))
}

/// The client of the server in `url`, which everybody with the same TLS settings shares: whoever asks says with each request who he is.
pub(crate) fn server(
    shared: &SharedResources,
    fields: &mut Fields<'_>,
    url: Option<&Url>,
) -> Option<Arc<Client>> {
    let tls = net::TlsSettings::read(fields);
    let (url, tls) = (url?, tls?);
    let secure = url.scheme() == "https";
    tls.expect_use(fields, secure, "a `url` that begins with `https`")?;
    let authority = url.authority(if secure { 443 } else { 80 });
    let key = format!("{}://{authority};{}", url.scheme(), tls.identity().expose());
    Some(shared.get_or_insert(&Secret::new(key), || Client::new(url, tls)))
}
