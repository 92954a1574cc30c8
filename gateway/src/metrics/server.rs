//! The metrics of the endpoint, of the limit on concurrent runs, and of the log.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::{Family, NO_LABELS, counter, gauge};
use crate::http::ServerStatistics;
use crate::log::DroppedLines;
use crate::namespaces::Namespaces;

pub(super) const FAMILIES: &[&Family] = &[
    &HTTP_REQUESTS,
    &HTTP_CONNECTIONS,
    &CHECKS_RUNNING,
    &CHECKS_WAITING,
    &HTTP_CONNECTIONS_EVICTED,
    &TOKENS_REFUSED,
    &LOG_EVENTS_DROPPED,
    &BUILD,
];

const HTTP_REQUESTS: Family = Family::counter(
    "health_gateway_http_requests",
    &["code"],
    "Requests to the endpoint that were answered, by status code.",
);

const HTTP_CONNECTIONS: Family =
    Family::gauge("health_gateway_http_connections", &[], "Open connections of the endpoint.");

const HTTP_CONNECTIONS_EVICTED: Family = Family::counter(
    "health_gateway_http_connections_evicted",
    &[],
    "Connections that were closed to make room for others.",
);

const TOKENS_REFUSED: Family = Family::counter(
    "health_gateway_tokens_refused",
    &[],
    "Requests with a token that no namespace has.",
);

const CHECKS_RUNNING: Family =
    Family::gauge("health_gateway_checks_running", &[], "Checks that run now.");

const CHECKS_WAITING: Family = Family::gauge(
    "health_gateway_checks_waiting",
    &[],
    "Checks that wait for their turn, because too many run.",
);

const LOG_EVENTS_DROPPED: Family = Family::counter(
    "health_gateway_log_events_dropped",
    &[],
    "Lines of the log that were lost, because standard error was not read fast enough.",
);

const BUILD: Family = Family::info(
    "health_gateway_build",
    &["version", "revision"],
    "The version of this program, and the commit that it was built from.",
);

/// The commit, if the build names it.
const REVISION: &str = match option_env!("HEALTH_GATEWAY_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Reads the state of the endpoint and of what all namespaces share.
#[derive(Debug)]
pub(super) struct ServerCollector {
    pub(super) namespaces: Arc<Namespaces>,
    pub(super) server: Arc<ServerStatistics>,
    pub(super) dropped_lines: DroppedLines,
}

impl Collector for ServerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = HTTP_REQUESTS.encode(&mut encoder)?;
        for (code, count) in self.server.requests() {
            counter(&mut family, &[("code", code)], count)?;
        }
        let limit = self.namespaces.concurrency();
        for (family, value) in [
            (HTTP_CONNECTIONS, self.server.connections()),
            (CHECKS_RUNNING, limit.running()),
            (CHECKS_WAITING, limit.waiting()),
        ] {
            gauge(&mut family.encode(&mut encoder)?, &NO_LABELS, &value)?;
        }
        for (family, value) in [
            (HTTP_CONNECTIONS_EVICTED, self.server.evicted()),
            (TOKENS_REFUSED, self.namespaces.refused_tokens()),
            (LOG_EVENTS_DROPPED, self.dropped_lines.count()),
        ] {
            counter(&mut family.encode(&mut encoder)?, &NO_LABELS, value)?;
        }
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("revision", REVISION)];
        BUILD.encode(&mut encoder)?.encode_info(&labels)
    }
}
