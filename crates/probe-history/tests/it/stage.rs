//! A pipeline of a test's own, and what the checks say of it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use probe::DynChecks;
use probe_history::KIND;
use probe_testkit::{Outcome, checks, component, run};
use stack::aws::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};
use stack::clickhouse::{Clickhouse, DATABASE, TABLE};
use stack::history::{Behaviour, History};
use stack::localstack::{BUS, CONNECTION, DESTINATION, HISTORY_BUCKET, Localstack, RULE};
use stack::{HEALTH_PASSWORD, HEALTH_USER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Far longer than any answer takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long an event is waited for that does not come.
const IN_VAIN: Duration = Duration::from_secs(3);

/// What `e2e` says then.
pub(crate) const LOST: &str =
    "e2e: arrive: the event is not in the database within 3s (the bus accepted it ";

/// Three servers of which two know the next; the bus is made by the test, which may break it.
pub(crate) struct Stage {
    pub(crate) localstack: Localstack,
    pub(crate) history: History,
    pub(crate) clickhouse: Clickhouse,
}

impl Stage {
    pub(crate) fn start() -> Self {
        let clickhouse = Clickhouse::start().unwrap();
        let history = History::start(clickhouse.port(), Behaviour::Works).unwrap();
        Self { localstack: Localstack::start().unwrap(), history, clickhouse }
    }

    /// All eight checks of this pipeline.
    pub(crate) fn component(&self) -> DynChecks {
        component(&KIND, "history", &self.lines())
    }

    /// The whole section.
    pub(crate) fn lines(&self) -> String {
        let aws = local(self.localstack.port());
        let parts = [
            clickhouse_part(local(self.clickhouse.port()), "writes = true\n"),
            event_bridge_part(aws, ACCESS_KEY_ID, SECRET_ACCESS_KEY),
            "[e2e]\ntime_column = 'received'\n".to_owned(),
            format!("[api]\nurl = 'http://127.0.0.1:{}/health'\n", self.history.port()),
            format!(
                "[files]\nbucket = '{HISTORY_BUCKET}'\naccess = ['list', 'read', 'write', 'delete']\npath_style = true\n{}",
                place(aws, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
            ),
        ];
        parts.concat()
    }

    /// Where events begin, as failures show it.
    pub(crate) fn bus_target(&self) -> SocketAddr {
        local(self.localstack.port())
    }
}

pub(crate) fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// The table `clickhouse` with these further lines.
pub(crate) fn clickhouse_part(server: SocketAddr, more: &str) -> String {
    format!(
        "[clickhouse]\nurl = 'http://{server}'\nuser = '{HEALTH_USER}'\npassword = '{HEALTH_PASSWORD}'\ndatabase = '{DATABASE}'\ntable = '{TABLE}'\n{more}"
    )
}

/// The table `event_bridge` with these keys.
pub(crate) fn event_bridge_part(server: SocketAddr, id: &str, secret: &str) -> String {
    format!(
        "[event_bridge]\nbus = '{BUS}'\nrule = '{RULE}'\napi_destination = '{DESTINATION}'\nconnection = '{CONNECTION}'\n{}",
        place(server, id, secret)
    )
}

fn place(server: SocketAddr, id: &str, secret: &str) -> String {
    format!(
        "endpoint_url = 'http://{server}'\nregion = '{REGION}'\naccess_key_id = '{id}'\nsecret_access_key = '{secret}'\n"
    )
}

/// What is not working, as `name: line`.
pub(crate) async fn failures(component: &DynChecks) -> Vec<String> {
    failures_within(component, PATIENCE).await
}

/// The same when no event will come, which is then waited for [`IN_VAIN`].
pub(crate) async fn failures_without_event(component: &DynChecks) -> Vec<String> {
    failures_within(component, IN_VAIN).await
}

async fn failures_within(component: &DynChecks, e2e: Duration) -> Vec<String> {
    let runs = checks(component).into_iter().map(|(name, check)| async move {
        let deadline = if name == "e2e" { e2e } else { PATIENCE };
        match run(&check, deadline).await {
            Outcome::Working => None,
            Outcome::Failed { line, .. } | Outcome::Cut { line, .. } => {
                Some(format!("{name}: {line}"))
            }
        }
    });
    join_all(runs).await.into_iter().flatten().collect()
}

/// `found` begins as expected, each line with its own beginning, and there are no others.
#[track_caller]
pub(crate) fn expect(found: &[String], beginnings: &[&str]) {
    let right = found.len() == beginnings.len()
        && found.iter().zip(beginnings).all(|(line, beginning)| line.starts_with(beginning));
    assert!(right, "expected {beginnings:#?}, got {found:#?}");
}

/// A server that gives its first client one answer and tells everything that this client has said.
pub(crate) async fn impostor(
    status: &'static str,
    body: &'static str,
) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = Vec::new();
        while !said.windows(4).any(|end| end == b"\r\n\r\n") {
            stream.read_buf(&mut said).await.unwrap();
        }
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.read_to_end(&mut said).await.unwrap();
        String::from_utf8(said).unwrap()
    });
    (address, asked)
}
