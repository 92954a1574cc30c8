//! The application's result backend: waits for a task's result and deletes it.

use std::sync::Arc;
use std::time::Duration;

use amqp::Deliveries;
use probe::config::{Fields, UrlText};
use probe::{Cause, Failure, Grant, Reconnect, SharedResources, Steps};
use redis_client::{Command, Redis, Reply, SentinelSettings, literal_pattern};
use serde_json::Value;

use crate::content::Serializer;
use crate::task::{PREFIX, Task};
use crate::transport::read_sentinel;

/// The step in which a result is awaited and evaluated.
const STEP: &str = "canary";
/// The step of a failure of the result backend, which is a different server from the check's target.
pub(crate) const BACKEND: &str = "result backend";
/// The prefix of the keys of results; the task's id follows.
const KEY_PREFIX: &str = "celery-task-meta-";
/// Options of Celery's Redis backend that change no name.
const OTHER_OPTIONS: &[&str] = &[
    "health_check_interval",
    "min_other_sentinels",
    "result_chord_ordered",
    "retry_policy",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_timeout",
    "visibility_timeout",
];
/// The interval between two polls for a result starts at the first value and doubles up to the second.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A result backend.
#[derive(Clone)]
pub(crate) enum ResultBackend {
    /// Results are messages to the sender of the task.
    Rpc,
    /// Results are keys in Redis.
    Redis(Arc<RedisResults>),
}

/// The options of a result backend.
pub(crate) struct ResultOptions {
    /// The prefix of the keys of results.
    key_prefix: String,
    sentinel: SentinelSettings,
}

/// Results that are keys in Redis.
pub(crate) struct RedisResults {
    redis: Redis,
    key_prefix: String,
}

impl ResultBackend {
    pub(crate) fn read(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        url: &UrlText,
        tls: &net::TlsSettings,
        reconnect: Reconnect,
        ResultOptions { key_prefix, sentinel }: ResultOptions,
    ) -> Option<Self> {
        let key = "result_backend";
        let redis = Redis::from_url(shared, fields, key, url, tls, &sentinel, reconnect)?;
        if redis.is_cluster() {
            fields.error(key, "expected no cluster: Celery has no result backend for it");
            return None;
        }
        Some(Self::Redis(Arc::new(RedisResults { redis, key_prefix })))
    }

    /// Reads the table `result_backend_transport_options`, and records errors in `fields`.
    pub(crate) fn read_options(fields: &mut Fields<'_>) -> Option<ResultOptions> {
        let (prefix, sentinel) = fields.part("result_backend_transport_options", |fields| {
            fields.allow(OTHER_OPTIONS);
            let prefix = fields.with_default("global_keyprefix", String::new());
            Some((prefix, read_sentinel(fields)))
        })?;
        // As in `celery/backends/base.py`.
        let separator =
            if prefix.is_empty() || prefix.ends_with([':', '_', '-', '.']) { "" } else { "_" };
        Some(ResultOptions { key_prefix: format!("{prefix}{separator}{KEY_PREFIX}"), sentinel })
    }

    /// The grants for reading and deleting results; `rpc://` needs no more than sending does.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let Self::Redis(results) = self else { return Vec::new() };
        let RedisResults { redis, key_prefix } = &**results;
        let commands = ["GET", "DEL"].map(|name| Command::new(BACKEND, name, []));
        redis.grants(&commands, &[format!("~{}{PREFIX}*", literal_pattern(key_prefix))])
    }

    /// Whether results are messages over AMQP.
    pub(crate) fn is_rpc(&self) -> bool {
        matches!(self, Self::Rpc)
    }

    /// Waits until the task is done, and deletes its result; `None` if the connection on which it would arrive is needed for another one.
    pub(crate) async fn wait_for(
        &self,
        task: &Task,
        deliveries: &mut Option<Deliveries>,
    ) -> Option<Result<(), Failure>> {
        match (self, deliveries) {
            (Self::Redis(results), _) => Some(results.wait_for(task).await),
            (Self::Rpc, Some(deliveries)) => {
                let released = deliveries.release_requested();
                tokio::select! {
                    biased;
                    outcome = from_deliveries(deliveries) => Some(outcome),
                    () = released => None,
                }
            }
            (Self::Rpc, None) => {
                Some(Err(Failure::msg(BACKEND, "`rpc://` needs a broker on AMQP")))
            }
        }
    }

    /// Deletes the results of these tasks that have arrived since; returns the tasks that had none.
    pub(crate) async fn delete_late(&self, tasks: Vec<Task>) -> Vec<Task> {
        let Self::Redis(results) = self else { return Vec::new() };
        if tasks.is_empty() {
            return tasks;
        }
        let commands: Vec<_> =
            tasks.iter().map(|task| Command::new(BACKEND, "DEL", [&results.key(task)])).collect();
        match results.redis.execute(&Steps::new(), &commands).await {
            Ok(replies) => {
                let tasks = tasks.into_iter().zip(replies);
                tasks
                    .filter(|(_, reply)| *reply != Reply::Number(1))
                    .map(|(task, _)| task)
                    .collect()
            }
            Err(_) => tasks,
        }
    }
}

async fn from_deliveries(deliveries: &mut Deliveries) -> Result<(), Failure> {
    while let Some(delivery) = deliveries.next().await {
        let serializer = Serializer::of(delivery.content_type());
        if let Some(outcome) = outcome(serializer, delivery.body()) {
            return outcome;
        }
    }
    Err(Failure::new(STEP, Cause::msg("connection closed").connection_lost()))
}

impl RedisResults {
    async fn wait_for(&self, task: &Task) -> Result<(), Failure> {
        let redis = &self.redis;
        let execute = |name: &'static str| async move {
            let command = Command::new(BACKEND, name, [&self.key(task)]);
            let replies = redis.execute(&Steps::new(), &[command]).await;
            replies.map_err(|failure| {
                let (step, cause, target) =
                    (failure.step(), failure.cause().text(), redis.target());
                Failure::msg(BACKEND, format!("{step}: {cause} ({target})"))
            })
        };
        let mut interval = MIN_POLL_INTERVAL;
        loop {
            let replies = execute("GET").await?;
            let result = match &replies[..] {
                [Reply::Text(text)] => Some(text.as_bytes()),
                [Reply::Bytes(bytes)] => Some(&bytes[..]),
                _ => None,
            };
            if let Some(result) = result
                && let Some(outcome) = outcome(Some(Serializer::guess(result)), result)
            {
                execute("DEL").await?;
                return outcome;
            }
            tokio::time::sleep(interval).await;
            interval = (interval * 2).min(MAX_POLL_INTERVAL);
        }
    }

    fn key(&self, task: &Task) -> String {
        format!("{}{}", self.key_prefix, task.id())
    }
}

/// The outcome of a task; `None` while it is not done. A result that cannot be read counts as success, since the task has run.
pub(crate) fn outcome(
    serializer: Option<Serializer>,
    result: &[u8],
) -> Option<Result<(), Failure>> {
    let Some(result) = serializer.and_then(|serializer| serializer.decode::<Value>(result)) else {
        return Some(Ok(()));
    };
    let fail = |reason: String| Some(Err(Failure::msg(STEP, reason)));
    match result.get("status").and_then(Value::as_str) {
        Some("SUCCESS") => Some(Ok(())),
        Some("FAILURE") => {
            let kind = result.pointer("/result/exc_type").and_then(Value::as_str);
            fail(format!("the task failed: {}", kind.unwrap_or("no reason given")))
        }
        Some("REVOKED") => fail(
            "a worker discarded the task as expired: the clocks of worker and gateway may differ"
                .to_owned(),
        ),
        Some(ended @ ("REJECTED" | "IGNORED")) => fail(format!("the task ended as {ended}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: impl AsRef<[u8]>, expected: &str) {
        let result = result.as_ref();
        let outcome = match outcome(Some(Serializer::guess(result)), result) {
            None => "not done".to_owned(),
            Some(Ok(())) => "done".to_owned(),
            Some(Err(failure)) => failure.render(""),
        };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn a_result_gives_the_outcome_of_the_task() {
        check(r#"{"status": "SUCCESS", "result": ["health-gateway"]}"#, "done");
        check(r#"{"status": "STARTED"}"#, "not done");
        check(
            r#"{"status": "FAILURE", "result": {"exc_type": "MemoryError"}}"#,
            "canary: the task failed: MemoryError",
        );
        check(
            r#"{"status": "REVOKED"}"#,
            "canary: a worker discarded the task as expired: the clocks of worker and gateway may differ",
        );
        check(b"\x80\x04pickled", "done");
        check(
            Serializer::Pickle.encode(&serde_json::json!({"status": "REVOKED"})),
            "canary: a worker discarded the task as expired: the clocks of worker and gateway may differ",
        );
        check("status: IGNORED\n", "canary: the task ended as IGNORED");
    }
}
