//! Celery on Redis, as kombu's transport uses it: a queue is a list (one for each priority), a question is published, and answers are pushed onto a list.
//!
//! The transport: `kombu/transport/redis.py` and `kombu/transport/virtual/base.py` of kombu 5.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use probe::config::{Fields, Url};
use probe::{Failure, Shared, Steps};
use redis_client::{Answer, Command, Redis};
use serde_json::{Value, json};

use crate::findings::{Backlog, Report};
use crate::question::{EXCHANGE, Question, REPLY_EXCHANGE};
use crate::task::Task;

/// What kombu puts between the parts of a name.
const SEPARATOR: &str = "\u{6}\u{16}";
/// The priorities that have lists of their own; the first one has the queue's bare name.
const PRIORITIES: [&str; 4] = ["", "3", "6", "9"];
/// What the names of our ways back begin with; the time follows.
const OURS: &str = "health-gateway.";
/// No question lives as long.
const ABANDONED: Duration = Duration::from_hours(1);
/// How long the server holds back its answer when there is none yet, in seconds.
const WAIT: &str = "5";
/// So long the answers of workers that nobody waits for any more are still taken in, so that they lie around nowhere.
const STRAGGLERS: Duration = Duration::from_secs(1);
/// So long putting things in order may take when the server does not answer.
const TIDYING: Duration = Duration::from_secs(5);

pub(crate) struct RedisBroker {
    commands: Redis,
    answers: Redis,
    /// Lists to which a worker may have pushed an answer after they were deleted.
    late: Mutex<Vec<String>>,
    /// Whether it was looked for what an earlier gateway left when it was killed.
    swept: AtomicBool,
}

impl RedisBroker {
    pub(crate) fn read(
        shared: &Shared,
        fields: &mut Fields<'_>,
        url: &Url,
        tls: &tls::Settings,
    ) -> Option<Self> {
        let commands = Redis::at(shared, fields, "broker", url, tls)?;
        let answers = commands.apart();
        Some(Self { commands, answers, late: Mutex::default(), swept: AtomicBool::new(false) })
    }

    pub(crate) fn target(&self) -> &str {
        self.commands.target()
    }

    pub(crate) async fn ask(
        &self,
        steps: &Steps,
        question: &Question,
        queues: &[String],
        report: &Report,
    ) -> Result<(), Failure> {
        let path = ReplyPath::new(question);
        let result = tokio::select! {
            () = report.abandoned() => Ok(true),
            put = self.put(steps, question, &path, queues, report) => put,
        };
        let result = match result {
            Ok(true) => Ok(()),
            Ok(false) => self.hear_all(steps, &path, report).await,
            Err(failure) => Err(failure),
        };
        // Whoever asked next finds out that the server does not answer.
        let _tidied = tokio::time::timeout(TIDYING, self.tidy(path)).await;
        result
    }

    /// Pushes the task onto the queue's list; gives the message as it lies there.
    pub(crate) async fn send(
        &self,
        steps: &Steps,
        queue: &str,
        task: &Task,
    ) -> Result<String, Failure> {
        let properties = json!({
            "correlation_id": task.id(),
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": task.id(),
        });
        let message = envelope(&Task::body(), &task.headers(), &properties);
        let push = Command::new("canary", "LPUSH", [queue, &message]);
        self.commands.ask(steps, &[push]).await?;
        Ok(message)
    }

    /// Takes the message out of the queue's list, if it is still there.
    pub(crate) async fn take_back(
        &self,
        steps: &Steps,
        queue: &str,
        message: &str,
    ) -> Result<(), Failure> {
        let remove = Command::new("canary", "LREM", [queue, "1", message]);
        self.commands.ask(steps, &[remove]).await.map(drop)
    }

    /// Puts the question and looks how full the queues are; whether nobody was asked.
    async fn put(
        &self,
        steps: &Steps,
        question: &Question,
        path: &ReplyPath,
        queues: &[String],
        report: &Report,
    ) -> Result<bool, Failure> {
        let channel = format!("/{}.{EXCHANGE}", self.commands.database());
        let properties = json!({
            "delivery_mode": 2,
            "delivery_info": {"exchange": EXCHANGE, "routing_key": ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": question.ticket(),
        });
        let message = envelope(&question.body(&path.name), &Question::headers(), &properties);
        let mut commands = vec![path.bind(), Command::new("ask", "PUBLISH", [&channel, &message])];
        commands.extend(self.late().drain(..).map(|list| Command::new("ask", "DEL", [&list])));
        let before = commands.len();
        for queue in queues {
            commands.extend(lists(queue).map(|list| Command::new("queues", "LLEN", [&list])));
        }
        let answers = self.commands.ask(steps, &commands).await?;
        let asked = number(&answers[1]);
        let lengths = answers[before..].chunks(PRIORITIES.len());
        let backlogs = lengths.map(|lengths| Backlog::Waiting(lengths.iter().map(number).sum()));
        report.asked(Some(asked), queues.iter().cloned().zip(backlogs).collect::<BTreeMap<_, _>>());
        Ok(asked == 0)
    }

    /// Reports every answer, until all have come or nobody waits any more.
    async fn hear_all(
        &self,
        steps: &Steps,
        path: &ReplyPath,
        report: &Report,
    ) -> Result<(), Failure> {
        let enough = async {
            report.abandoned().await;
            tokio::time::sleep(STRAGGLERS).await;
        };
        let hear = async {
            loop {
                let wait = Command::new("ask", "BRPOP", [&path.list, WAIT]);
                let answers = self.answers.ask(steps, &[wait]).await?;
                let reply = read(answers.first()).and_then(|body| Question::read(&body));
                if reply.is_some_and(|reply| report.answered(reply)) {
                    return Ok(());
                }
            }
        };
        tokio::select! {
            () = enough => Ok(()),
            heard = hear => heard,
        }
    }

    /// Takes back what lets answers come, and whatever came.
    async fn tidy(&self, path: ReplyPath) -> Result<(), Failure> {
        let commands = [path.unbind(), Command::new("ask", "DEL", [&path.list])];
        // A worker may have looked up the way just before.
        self.late().push(path.list);
        self.commands.ask(&Steps::new(), &commands).await?;
        if self.swept.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.sweep().await
    }

    /// Removes what a gateway left behind that was killed while it asked.
    async fn sweep(&self) -> Result<(), Failure> {
        let entries = Command::new("ask", "SMEMBERS", [&table()]);
        let answers = self.commands.ask(&Steps::new(), &[entries]).await?;
        let Some(Answer::List(entries)) = answers.first() else { return Ok(()) };
        let now = seconds_since_epoch();
        let mut commands = Vec::new();
        for entry in entries {
            let Answer::Text(entry) = entry else { continue };
            if let Some(list) = abandoned(entry, now) {
                commands.push(Command::new("ask", "SREM", [&table(), entry]));
                commands.push(Command::new("ask", "DEL", [list]));
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        self.commands.ask(&Steps::new(), &commands).await.map(drop)
    }

    fn late(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way by which answers come back: a worker looks it up, and drops its answer if there is none.
struct ReplyPath {
    name: String,
    list: String,
}

impl ReplyPath {
    fn new(question: &Question) -> Self {
        let name = format!("{OURS}{}.{}", seconds_since_epoch(), question.ticket());
        Self { list: format!("{name}.{REPLY_EXCHANGE}"), name }
    }

    fn bind(&self) -> Command {
        Command::new("ask", "SADD", [&table(), &self.entry()])
    }

    fn unbind(&self) -> Command {
        Command::new("ask", "SREM", [&table(), &self.entry()])
    }

    /// Routing key, pattern and queue.
    fn entry(&self) -> String {
        [&self.name, "", &self.list].join(SEPARATOR)
    }
}

/// Where kombu keeps what the exchange for answers leads to.
fn table() -> String {
    format!("_kombu.binding.{REPLY_EXCHANGE}")
}

/// The list of an entry in that table, if it is a gateway's and much older than any question lives.
fn abandoned(entry: &str, now: u64) -> Option<&str> {
    let (begun, _) = entry.strip_prefix(OURS)?.split_once('.')?;
    let begun: u64 = begun.parse().ok()?;
    let old = begun < now.saturating_sub(ABANDONED.as_secs());
    entry.rsplit(SEPARATOR).next().filter(|_| old)
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The lists of a queue, one for each priority.
fn lists(queue: &str) -> [String; 4] {
    PRIORITIES.map(|priority| match priority {
        "" => queue.to_owned(),
        priority => format!("{queue}{SEPARATOR}{priority}"),
    })
}

/// A message in the form of kombu's virtual transports.
fn envelope(body: &str, headers: &Value, properties: &Value) -> String {
    json!({
        "body": STANDARD.encode(body),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    })
    .to_string()
}

/// The body of the message that `BRPOP` gave; `None` if there was none yet.
fn read(answer: Option<&Answer>) -> Option<Vec<u8>> {
    let Some(Answer::List(parts)) = answer else { return None };
    let Some(Answer::Text(message)) = parts.get(1) else { return None };
    let message: Value = serde_json::from_str(message).ok()?;
    STANDARD.decode(message.get("body")?.as_str()?).ok()
}

fn number(answer: &Answer) -> u64 {
    match answer {
        Answer::Number(number) => u64::try_from(*number).unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_has_a_list_for_each_priority() {
        assert_eq!(lists("a"), ["a", "a\x06\x163", "a\x06\x166", "a\x06\x169"]);
    }

    #[test]
    fn only_an_old_entry_of_a_gateway_is_abandoned() {
        let entry = "health-gateway.1000.t\x06\x16\x06\x16the-list";
        assert_eq!(abandoned(entry, 1000 + 3601), Some("the-list"));
        assert_eq!(abandoned(entry, 1000 + 3599), None);
        assert_eq!(abandoned("some-celery-client\x06\x16\x06\x16its-list", 9999), None);
    }

    #[test]
    fn the_way_back_is_an_entry_as_kombu_reads_it() {
        let path = ReplyPath { name: "me".into(), list: "me.reply.celery.pidbox".into() };
        assert_eq!(path.entry(), "me\x06\x16\x06\x16me.reply.celery.pidbox");
        assert_eq!(table(), "_kombu.binding.reply.celery.pidbox");
    }
}
