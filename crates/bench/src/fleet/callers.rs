//! Asks every replica regularly, and judges each answer by what the backends could do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, header};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::findings::Findings;
use crate::fleet::replica::Replica;
use crate::fleet::servers::{ANSWER_TIMEOUT, MAX_AGE, Servers};
use crate::gateway::TOKEN;
use crate::http::client::check_results;
use crate::http::sender::{Sender, connect};
use crate::measure::{ms, times};

/// How often each caller asks.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer may take: the gateway's own limit, and room for a busy machine.
const DEADLINE: Duration = ANSWER_TIMEOUT.saturating_add(Duration::from_secs(2));
/// How long a failure may be reported after the backend has been started again: a run takes less.
const ROOM: Duration = Duration::from_millis(500);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Callers of a fleet, or as many of one gateway.
pub(super) struct Callers {
    replicas: Arc<Vec<Replica>>,
    servers: Arc<Servers>,
    findings: Arc<Findings>,
    stats: Mutex<Stats>,
}

#[derive(Default)]
struct Stats {
    /// The times of all answers in milliseconds.
    answers: Vec<f64>,
    late: usize,
    wrong: usize,
    /// Requests to a replica that was killed or paused meanwhile.
    excused: usize,
}

/// An answer: its age and its body.
struct Answer {
    age: u64,
    body: Bytes,
}

impl Callers {
    pub(super) fn new(
        replicas: &Arc<Vec<Replica>>,
        servers: &Arc<Servers>,
        findings: &Arc<Findings>,
    ) -> Arc<Self> {
        Arc::new(Self {
            replicas: replicas.clone(),
            servers: servers.clone(),
            findings: findings.clone(),
            stats: Mutex::default(),
        })
    }

    /// Calls with `count` callers until it is stopped.
    pub(super) async fn run(self: Arc<Self>, count: u32, stopped: CancellationToken) {
        let mut callers = JoinSet::new();
        for (at, replica) in (0..count).zip((0..self.replicas.len()).cycle()) {
            let (callers_of, stopped) = (self.clone(), stopped.clone());
            callers.spawn(async move {
                let offset = INTERVAL * at / count;
                stopped.run_until_cancelled(callers_of.call(replica, offset)).await;
            });
        }
        callers.join_all().await;
    }

    /// The number of answers so far.
    pub(super) fn answers(&self) -> usize {
        self.stats.lock().answers.len()
    }

    /// The numbers of wrong and of late answers so far.
    pub(super) fn defects(&self) -> [usize; 2] {
        let stats = self.stats.lock();
        [stats.wrong, stats.late]
    }

    pub(super) fn summary(&self) -> String {
        let stats = self.stats.lock();
        format!(
            "{} answers {}, and {} requests to replicas that were killed or paused meanwhile",
            stats.answers.len(),
            times(&stats.answers),
            stats.excused
        )
    }

    async fn call(self: Arc<Self>, replica: usize, offset: Duration) {
        let Some(replica) = self.replicas.get(replica) else { return };
        sleep(offset).await;
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut kept = None;
        loop {
            ticks.tick().await;
            let sent = Instant::now();
            if replica.disturbed.touch(sent, sent) {
                kept = None;
                continue;
            }
            let answer = timeout(DEADLINE, exchange(replica, &mut kept)).await;
            let received = Instant::now();
            let mut stats = self.stats.lock();
            if replica.disturbed.touch(sent, received) {
                stats.excused += 1;
                continue;
            }
            let address = replica.address;
            match answer {
                Err(_) => {
                    stats.late += 1;
                    self.findings.report(format!("{address}: no answer within {DEADLINE:?}"));
                }
                Ok(answer) => {
                    stats.answers.push(ms(received - sent));
                    let judged = answer.map_err(|error| format!("no answer: {error}"));
                    let judged = judged.and_then(|answer| self.judge(&answer, sent, received));
                    if let Err(finding) = judged {
                        stats.wrong += 1;
                        self.findings.report(format!("{address}: {finding}"));
                    }
                }
            }
        }
    }

    /// Returns what is wrong with an answer.
    fn judge(&self, answer: &Answer, sent: Instant, received: Instant) -> Result<(), String> {
        let body = String::from_utf8_lossy(&answer.body);
        let report: Value =
            serde_json::from_str(&body).map_err(|error| format!("no JSON: {error}: {body}"))?;
        let results = check_results(&report);
        if !results.iter().map(|(name, _)| &**name).eq(["postgres", "redis"]) {
            return Err(format!("other checks: {body}"));
        }
        let age = Duration::from_secs(answer.age);
        if age > MAX_AGE + (received - sent) {
            return Err(format!("a result is {age:?} old: {body}"));
        }
        // A result of any moment since then may be in the answer.
        let since = sent.checked_sub(MAX_AGE).unwrap_or(sent);
        for (name, result) in results {
            let is_broken = name == "redis";
            let (may_fail, must_fail) = (&self.servers.may_fail, &self.servers.must_fail);
            let is_right = if result["status"] == "working" {
                !(is_broken && must_fail.cover(since, received))
            } else {
                is_broken && may_fail.touch(since.checked_sub(ROOM).unwrap_or(since), received)
            };
            if !is_right {
                return Err(format!("wrong: {name}: {result}"));
            }
        }
        Ok(())
    }
}

/// Sends a request on the connection that was kept, or on a new one.
async fn exchange(replica: &Replica, kept: &mut Option<Sender>) -> Result<Answer, Error> {
    let mut sender = kept.take();
    if let Some(kept) = &mut sender
        && kept.ready().await.is_err()
    {
        sender = None;
    }
    let mut sender = match sender {
        Some(sender) => sender,
        None => connect(replica.address).await?,
    };
    let request = Request::get(format!("/api/health/{TOKEN}/"))
        .header(header::HOST, "fleet")
        .header(header::ACCEPT, "application/json")
        .body(Empty::new())?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    *kept = Some(sender);
    if head.status != hyper::StatusCode::OK {
        return Err(head.status.to_string().into());
    }
    let age = head.headers.get(header::AGE).map_or(Ok("0"), |age| age.to_str())?.parse()?;
    Ok(Answer { age, body })
}
