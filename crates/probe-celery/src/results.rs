//! Where the results of tasks go, and what a result says.

use std::time::Duration;

use amqp::Deliveries;
use probe::config::{Fields, Url};
use probe::{Cause, Failure, Grant, SharedResources, Steps};
use redis_client::{Answer, Command, Redis};
use serde_json::Value;

use crate::broker::Sent;
use crate::task::{PREFIX, Task};

/// The step in which a result is waited for or judged.
const STEP: &str = "canary";
/// The step in which the result backend fails: it is another server than the one that failures name.
const BACKEND: &str = "result backend";
/// What the keys of results begin with; the task's id follows.
const META: &str = "celery-task-meta-";
/// How soon a result is looked for, and how often when it takes longer.
const SOON: Duration = Duration::from_millis(1);
const OFTEN: Duration = Duration::from_millis(50);

/// The application's result backend.
#[derive(Clone)]
pub(crate) enum Results {
    /// Results are messages to whoever sent the task.
    Rpc,
    /// Results are keys.
    Redis(std::sync::Arc<Redis>),
}

impl Results {
    /// What a result backend's URL may begin with, besides `rpc://`.
    pub(crate) const SCHEMES: &[&str] = &["redis", "rediss", "redis-sentinel", "rediss-sentinel"];

    pub(crate) fn read(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        url: &Url,
        tls: &net::TlsSettings,
    ) -> Option<Self> {
        let redis = Redis::at(shared, fields, "result_backend", url, tls)?;
        Some(Self::Redis(std::sync::Arc::new(redis)))
    }

    /// Results that are messages come to the mailbox, which needs nothing more.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let Self::Redis(redis) = self else { return Vec::new() };
        let commands = ["GET", "DEL"].map(|name| Command::new(BACKEND, name, []));
        redis.grants(&commands, &[format!("~{META}{PREFIX}*")])
    }

    /// Waits until the task is done, and leaves no result behind.
    pub(crate) async fn of(&self, task: &Task, sent: &mut Sent) -> Result<(), Failure> {
        match (self, sent) {
            (Self::Redis(redis), _) => from_redis(redis, task).await,
            (Self::Rpc, Sent::ByAmqp(letters)) => from_letters(letters).await,
            (Self::Rpc, Sent::ByRedis(..)) => {
                Err(Failure::msg(BACKEND, "`rpc://` needs a broker on AMQP"))
            }
        }
    }

    /// Removes the results of these tasks, should there be any by now; gives those that had none.
    pub(crate) async fn forget(&self, tasks: Vec<Task>) -> Vec<Task> {
        let Self::Redis(redis) = self else { return Vec::new() };
        if tasks.is_empty() {
            return tasks;
        }
        let commands: Vec<_> =
            tasks.iter().map(|task| Command::new(BACKEND, "DEL", [&key(task)])).collect();
        match redis.ask(&Steps::new(), &commands).await {
            Ok(answers) => {
                let left = tasks.into_iter().zip(answers);
                left.filter(|(_, answer)| *answer != Answer::Number(1))
                    .map(|(task, _)| task)
                    .collect()
            }
            Err(_) => tasks,
        }
    }
}

async fn from_letters(letters: &mut Deliveries) -> Result<(), Failure> {
    while let Some(letter) = letters.next().await {
        if let Some(verdict) = judge(letter.body()) {
            return verdict;
        }
    }
    Err(Failure::new(STEP, Cause::msg("connection closed").connection_lost()))
}

async fn from_redis(redis: &Redis, task: &Task) -> Result<(), Failure> {
    let ask = |name: &'static str| async move {
        let command = Command::new(BACKEND, name, [&key(task)]);
        let answers = redis.ask(&Steps::new(), &[command]).await;
        answers.map_err(|failure| {
            let (step, cause, target) = (failure.step(), failure.cause().text(), redis.target());
            Failure::msg(BACKEND, format!("{step}: {cause} ({target})"))
        })
    };
    let mut pause = SOON;
    loop {
        if let [Answer::Text(result)] = &ask("GET").await?[..]
            && let Some(verdict) = judge(result.as_bytes())
        {
            ask("DEL").await?;
            return verdict;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(OFTEN);
    }
}

fn key(task: &Task) -> String {
    format!("{META}{}", task.id())
}

/// What a result says; `None` if the task goes on. A result that is not in JSON has come back as well.
fn judge(result: &[u8]) -> Option<Result<(), Failure>> {
    let Ok(result) = serde_json::from_slice::<Value>(result) else { return Some(Ok(())) };
    let fail = |reason: String| Some(Err(Failure::msg(STEP, reason)));
    match result.get("status").and_then(Value::as_str) {
        Some("SUCCESS") => Some(Ok(())),
        Some("FAILURE") => {
            let kind = result.pointer("/result/exc_type").and_then(Value::as_str);
            fail(format!("the task failed: {}", kind.unwrap_or("no reason given")))
        }
        Some("REVOKED") => {
            fail("a worker threw the task away as too old; do the clocks agree?".to_owned())
        }
        Some(ended @ ("REJECTED" | "IGNORED")) => fail(format!("the task ended as {ended}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: &str, expected: &str) {
        let said = match judge(result.as_bytes()) {
            None => "goes on".to_owned(),
            Some(Ok(())) => "done".to_owned(),
            Some(Err(failure)) => failure.render(""),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn a_result_says_how_the_task_ended() {
        check(r#"{"status": "SUCCESS", "result": ["health-gateway"]}"#, "done");
        check(r#"{"status": "STARTED"}"#, "goes on");
        check(
            r#"{"status": "FAILURE", "result": {"exc_type": "MemoryError"}}"#,
            "canary: the task failed: MemoryError",
        );
        check(
            r#"{"status": "REVOKED"}"#,
            "canary: a worker threw the task away as too old; do the clocks agree?",
        );
        check("\u{80}\u{4}pickled", "done");
    }
}
