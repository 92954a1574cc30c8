//! A private pipeline, and helpers that run its checks.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use probe::DynChecks;
use probe_history::KIND;
use probe_testkit::{RunOutcome, checks, component, run};
use stack::aws::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};
use stack::clickhouse::{Clickhouse, DATABASE, TABLE};
use stack::history::{Behaviour, History};
use stack::localstack::{BUS, CONNECTION, DESTINATION, HISTORY_BUCKET, Localstack, RULE};
use stack::{HEALTH_PASSWORD, HEALTH_USER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Longer than any response takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// How long `e2e` waits for an event that does not arrive.
const LOST_EVENT_TIMEOUT: Duration = Duration::from_secs(3);

/// The beginning of the error line of `e2e` in that case.
pub(crate) const LOST: &str =
    "e2e: arrive: the event is not in the database within 3s (the bus accepted it ";

/// The servers of a pipeline. The test creates the bus, which it may then break.
pub(crate) struct Pipeline {
    pub(crate) localstack: Localstack,
    pub(crate) history: History,
    pub(crate) clickhouse: Clickhouse,
}

impl Pipeline {
    pub(crate) fn start() -> Self {
        let clickhouse = Clickhouse::start().unwrap();
        let history = History::start(clickhouse.port(), Behaviour::Works).unwrap();
        Self { localstack: Localstack::start().unwrap(), history, clickhouse }
    }

    /// All checks of the pipeline.
    pub(crate) fn component(&self) -> DynChecks {
        component(&KIND, "history", &self.lines())
    }

    /// The settings of the section.
    pub(crate) fn lines(&self) -> String {
        let aws = local(self.localstack.port());
        let tables = [
            clickhouse_settings(local(self.clickhouse.port()), "writes = true\n"),
            event_bridge_settings(aws, ACCESS_KEY_ID, SECRET_ACCESS_KEY),
            "[e2e]\ntime_column = 'received'\n".to_owned(),
            format!("[api]\nurl = 'http://127.0.0.1:{}/health'\n", self.history.port()),
            format!(
                "[files]\nbucket = '{HISTORY_BUCKET}'\naccess = ['list', 'read', 'write', 'delete']\npath_style = true\n{}",
                aws_settings(aws, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
            ),
        ];
        tables.concat()
    }

    /// The target of the bus.
    pub(crate) fn bus_target(&self) -> SocketAddr {
        local(self.localstack.port())
    }
}

pub(crate) fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// The table `clickhouse`, with the additional settings `more`.
pub(crate) fn clickhouse_settings(server: SocketAddr, more: &str) -> String {
    format!(
        "[clickhouse]\nurl = 'http://{server}'\nuser = '{HEALTH_USER}'\npassword = '{HEALTH_PASSWORD}'\ndatabase = '{DATABASE}'\ntable = '{TABLE}'\n{more}"
    )
}

/// The table `event_bridge` with these keys.
pub(crate) fn event_bridge_settings(server: SocketAddr, id: &str, secret: &str) -> String {
    format!(
        "[event_bridge]\nbus = '{BUS}'\nrule = '{RULE}'\napi_destination = '{DESTINATION}'\nconnection = '{CONNECTION}'\n{}",
        aws_settings(server, id, secret)
    )
}

/// The settings for the server and the keys.
fn aws_settings(server: SocketAddr, id: &str, secret: &str) -> String {
    format!(
        "endpoint_url = 'http://{server}'\nregion = '{REGION}'\naccess_key_id = '{id}'\nsecret_access_key = '{secret}'\n"
    )
}

/// The failures of all checks, as `name: line`.
pub(crate) async fn failures(component: &DynChecks) -> Vec<String> {
    failures_within(component, TIMEOUT).await
}

/// Like [`failures`], but with the timeout [`LOST_EVENT_TIMEOUT`] for `e2e`.
pub(crate) async fn failures_without_event(component: &DynChecks) -> Vec<String> {
    failures_within(component, LOST_EVENT_TIMEOUT).await
}

async fn failures_within(component: &DynChecks, e2e: Duration) -> Vec<String> {
    let runs = checks(component).into_iter().map(|(name, check)| async move {
        let timeout = if name == "e2e" { e2e } else { TIMEOUT };
        match run(&check, timeout).await {
            RunOutcome::Working => None,
            RunOutcome::Failed { line, .. } | RunOutcome::TimedOut { line, .. } => {
                Some(format!("{name}: {line}"))
            }
        }
    });
    join_all(runs).await.into_iter().flatten().collect()
}

/// Asserts that each line has the expected beginning, and that there are no others.
#[track_caller]
pub(crate) fn assert_lines(lines: &[String], beginnings: &[&str]) {
    let is_expected = lines.len() == beginnings.len()
        && lines.iter().zip(beginnings).all(|(line, beginning)| line.starts_with(beginning));
    assert!(is_expected, "expected {beginnings:#?}, got {lines:#?}");
}

/// A server that sends one response to its first client. The task returns all that the client sent.
pub(crate) async fn impostor(
    status: &'static str,
    body: &'static str,
) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
            stream.read_buf(&mut bytes).await.unwrap();
        }
        let length = body.len();
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(response.as_bytes()).await.unwrap();
        stream.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    });
    (address, received)
}
