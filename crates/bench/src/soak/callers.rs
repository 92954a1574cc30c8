//! Calls the gateway twenty times a second, and checks every answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, header};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::findings::Findings;
use crate::http::client::check_results;
use crate::http::sender::{Sender, connect};
use crate::measure::{ms, times};
use crate::soak::ANSWER_TIMEOUT;
use crate::soak::rotation::Rotation;

/// The pause between two requests.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long a report may take: the gateway's own limit, and room for a busy machine.
const REPORT_DEADLINE: Duration = ANSWER_TIMEOUT.saturating_add(Duration::from_secs(2));
/// How long an answer to an unknown token may take: 3 s for a read from Vault and the delay together, and room for a busy machine.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(5);
/// The longest time after which a caller disconnects, in milliseconds.
const MAX_WAIT: u64 = 300;
/// The longest status, in characters.
const MAX_STATUS: usize = 300;
const REFUSED: &str = r#"{"detail":"Method \"GET\" not allowed."}"#;

/// The kinds of requests, in plural for the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Reports,
    FreshReports,
    ReportsWithinASecond,
    Pages,
    OtherNamespace,
    WrongTokens,
    Disconnects,
}

impl Kind {
    fn choose(random: &mut StdRng) -> Self {
        match random.random_range(0..100) {
            0..60 => Self::Reports,
            60..75 => Self::FreshReports,
            75..83 => Self::ReportsWithinASecond,
            83..87 => Self::Pages,
            87..91 => Self::OtherNamespace,
            91..95 => Self::WrongTokens,
            _ => Self::Disconnects,
        }
    }
}

/// The callers of one gateway.
pub(super) struct Callers {
    address: SocketAddr,
    /// The names of all checks, which are the same in every report.
    names: Vec<String>,
    token: Arc<Mutex<String>>,
    other_token: String,
    findings: Arc<Findings>,
    kept: Mutex<Vec<Sender>>,
    stats: Mutex<Stats>,
}

#[derive(Default)]
struct Stats {
    calls: BTreeMap<Kind, usize>,
    failed_checks: usize,
    /// The times of all reports in milliseconds.
    reports: Vec<f64>,
    /// The times of all refusals, which are delayed, in milliseconds.
    refusals: Vec<f64>,
}

/// An answer to a caller.
struct Answer {
    status: StatusCode,
    content_type: String,
    body: String,
}

impl Callers {
    pub(super) fn new(
        address: SocketAddr,
        names: Vec<String>,
        rotation: &Rotation<'_>,
        findings: &Arc<Findings>,
    ) -> Arc<Self> {
        Arc::new(Self {
            address,
            names,
            token: rotation.shared_token(),
            other_token: rotation.other_token().to_owned(),
            findings: findings.clone(),
            kept: Mutex::default(),
            stats: Mutex::default(),
        })
    }

    /// Calls until it is stopped, and waits for the last answers.
    pub(super) async fn run(self: Arc<Self>, seed: u64, stopped: CancellationToken) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut calls = JoinSet::new();
        while stopped.run_until_cancelled(ticks.tick()).await.is_some() {
            let kind = Kind::choose(&mut random);
            let wait = Duration::from_millis(random.random_range(0..MAX_WAIT));
            calls.spawn(self.clone().call(kind, wait));
            while calls.try_join_next().is_some() {}
        }
        calls.join_all().await;
    }

    /// Returns the calls and the times as one line.
    pub(super) fn summary(&self) -> String {
        let stats = self.stats.lock();
        let calls: Vec<_> =
            stats.calls.iter().map(|(kind, count)| format!("{count} {kind:?}")).collect();
        format!(
            "called {}; {} checks not working\nreports {}; refusals {}",
            calls.join(", "),
            stats.failed_checks,
            times(&stats.reports),
            times(&stats.refusals)
        )
    }

    async fn call(self: Arc<Self>, kind: Kind, wait: Duration) {
        *self.stats.lock().calls.entry(kind).or_default() += 1;
        if kind == Kind::Disconnects {
            if let Err(error) = self.disconnect(wait).await {
                self.findings.report(format!("connect: {error}"));
            }
            return;
        }
        let begun = Instant::now();
        let deadline = match kind {
            Kind::WrongTokens | Kind::OtherNamespace => REFUSAL_DEADLINE,
            _ => REPORT_DEADLINE,
        };
        let finding = match timeout(deadline, self.exchange(&self.request(kind))).await {
            Err(_) => Some(format!("no answer within {deadline:?}")),
            Ok(Err(error)) => Some(error),
            Ok(Ok(answer)) => {
                self.findings.check_text("an answer", &answer.body);
                self.record(&answer, begun.elapsed());
                self.judge(kind, &answer).err()
            }
        };
        if let Some(finding) = finding {
            self.findings.report(format!("{kind:?}: {finding}"));
        }
    }

    fn record(&self, answer: &Answer, time: Duration) {
        let mut stats = self.stats.lock();
        let is_report = answer.status == StatusCode::OK;
        let times = if is_report { &mut stats.reports } else { &mut stats.refusals };
        times.push(ms(time));
    }

    fn request(&self, kind: Kind) -> Request<Empty<Bytes>> {
        let token = match kind {
            Kind::OtherNamespace => self.other_token.clone(),
            Kind::WrongTokens => "a-token-of-no-namespace".to_owned(),
            _ => self.token.lock().clone(),
        };
        let accept = if kind == Kind::Pages { "text/html" } else { "application/json" };
        let mut request = Request::new(Empty::new());
        // The path of a token is always valid.
        *request.uri_mut() = format!("/api/health/{token}/").parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::HOST, header::HeaderValue::from_static("soak"));
        headers.insert(header::ACCEPT, header::HeaderValue::from_static(accept));
        if kind == Kind::FreshReports {
            let no_cache = header::HeaderValue::from_static("no-cache");
            headers.insert(header::CACHE_CONTROL, no_cache);
        }
        if kind == Kind::ReportsWithinASecond {
            headers.insert("prefer", header::HeaderValue::from_static("wait=1"));
        }
        request
    }

    /// Sends a request on a connection that was kept, or on a new one: the gateway may close one that is kept at any time.
    async fn exchange(&self, request: &Request<Empty<Bytes>>) -> Result<Answer, String> {
        let kept = self.kept.lock().pop();
        if let Some(sender) = kept
            && let Ok(answer) = self.send(sender, request.clone()).await
        {
            return Ok(answer);
        }
        let sender = connect(self.address).await.map_err(|error| format!("connect: {error}"))?;
        self.send(sender, request.clone()).await.map_err(|error| format!("no answer: {error:?}"))
    }

    async fn send(
        &self,
        mut sender: Sender,
        request: Request<Empty<Bytes>>,
    ) -> hyper::Result<Answer> {
        sender.ready().await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        if !sender.is_closed() {
            self.kept.lock().push(sender);
        }
        let content_type = head.headers.get(header::CONTENT_TYPE);
        Ok(Answer {
            status: head.status,
            content_type: String::from_utf8_lossy(content_type.map_or(b"", |it| it.as_bytes()))
                .into_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// Disconnects before the answer.
    async fn disconnect(&self, wait: Duration) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        let path = format!("/api/health/{}/", self.token.lock());
        let head = format!("GET {path} HTTP/1.1\r\nHost: soak\r\nCache-Control: no-cache\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        sleep(wait).await;
        Ok(())
    }

    /// Returns what is wrong with an answer.
    fn judge(&self, kind: Kind, answer: &Answer) -> Result<(), String> {
        let Answer { status, content_type, body } = answer;
        match (kind, status.as_u16()) {
            (Kind::Pages, 200) if content_type.starts_with("text/html") => {
                let is_complete = body.trim_end().ends_with("</html>");
                is_complete.then_some(()).ok_or_else(|| format!("the page has no end: {body}"))
            }
            // The file of the other namespace is missing from time to time.
            (Kind::WrongTokens | Kind::OtherNamespace, 405) if body == REFUSED => Ok(()),
            (Kind::OtherNamespace, 200) => self.judge_report(body, &["redis".to_owned()]),
            (Kind::WrongTokens | Kind::Pages, _) => Err(format!("{status} {content_type}: {body}")),
            (_, 200) if content_type == "application/json" => self.judge_report(body, &self.names),
            _ => Err(format!("{status} {content_type}: {body}")),
        }
    }

    fn judge_report(&self, body: &str, names: &[String]) -> Result<(), String> {
        let report: Value =
            serde_json::from_str(body).map_err(|error| format!("no JSON: {error}: {body}"))?;
        let results = check_results(&report);
        if !results.iter().map(|(name, _)| name).eq(names) {
            return Err(format!("other checks: {body}"));
        }
        let wrong = results.iter().find(|(_, result)| !is_result(result));
        if let Some((name, result)) = wrong {
            return Err(format!("{name}: {result}"));
        }
        let failed = results.iter().filter(|(_, result)| result["status"] != "working").count();
        self.stats.lock().failed_checks += failed;
        Ok(())
    }
}

/// Whether a result has a status of one line and a response time.
fn is_result(result: &Value) -> bool {
    let (status, time) = (result["status"].as_str(), result["response_time"].as_str());
    let is_status = |text: &str| {
        (1..=MAX_STATUS).contains(&text.chars().count()) && !text.contains(char::is_control)
    };
    let is_time = |text: &str| text.parse::<f64>().is_ok_and(|seconds| seconds >= 0.0);
    status.is_some_and(is_status) && time.is_some_and(is_time)
}
