//! Celery on Redis, as kombu's transport uses it: a queue is a list (one for each priority), a question is published, and answers are pushed onto a list.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use probe::config::{Fields, Url};
use probe::{Failure, Grant, Secret, SharedResources, Steps};
use redis_client::{Answer, Command, Redis, literal};
use serde_json::json;
use tokio::sync::mpsc;

use crate::findings::{Backlog, Report};
use crate::kombu::{PRIORITIES, envelope, lists};
use crate::question::{EXCHANGE, Question, Reply};
use crate::reply_path::{abandoned, pattern, table};
use crate::session::Session;
use crate::task::Task;

/// So long the answers of workers that nobody waits for any more are still taken in, so that they lie around nowhere.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// One database of a Redis as a broker, shared by every section that names it.
pub(crate) struct RedisBroker {
    pub(crate) commands: Redis,
    pub(crate) answers: Redis,
    /// Where answers come in while anybody waits for some.
    session: Mutex<Option<Arc<Session>>>,
    /// Lists to which a worker may have pushed an answer after they were deleted.
    late: Mutex<Vec<String>>,
    /// Whether it was looked for what an earlier gateway left when it was killed.
    swept: Mutex<bool>,
}

impl RedisBroker {
    pub(crate) fn read(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        url: &Url,
        tls: &net::TlsSettings,
    ) -> Option<Arc<Self>> {
        let commands = Redis::at(shared, fields, "broker", url, tls)?;
        let identity = Secret::new(commands.identity().expose());
        Some(shared.get_or_insert(&identity, || Self {
            answers: commands.apart(),
            commands,
            session: Mutex::default(),
            late: Mutex::default(),
            swept: Mutex::default(),
        }))
    }

    pub(crate) fn target(&self) -> &str {
        self.commands.target()
    }

    /// All that is asked of it but the tasks that go through its queues.
    pub(crate) fn grants(&self, queues: &[String]) -> Vec<Grant> {
        let count = if queues.is_empty() { None } else { Some("LLEN") };
        let names =
            ["SADD", "PUBLISH", "BRPOP", "SREM", "DEL", "SMEMBERS"].into_iter().chain(count);
        let commands: Vec<_> = names.map(|name| Command::new("ask", name, [])).collect();
        let channel = format!("&{}", literal(&self.channel()));
        let ours = [channel, format!("~{}", literal(&table())), format!("~{}", pattern())];
        let lists =
            queues.iter().flat_map(|queue| lists(queue)).map(|list| format!("~{}", literal(&list)));
        self.commands.grants(&commands, &ours.into_iter().chain(lists).collect::<Vec<_>>())
    }

    /// A task is pushed onto its queue's list, and taken back from it when it does not come back.
    pub(crate) fn grants_to_send(&self, queue: &str) -> Vec<Grant> {
        let commands = ["LPUSH", "LREM"].map(|name| Command::new("canary", name, []));
        self.commands.grants(&commands, &[format!("~{}", literal(queue))])
    }

    /// Where questions are published.
    fn channel(&self) -> String {
        format!("/{}.{EXCHANGE}", self.commands.database())
    }

    pub(crate) async fn ask(
        self: &Arc<Self>,
        steps: &Steps,
        question: &Question,
        queues: &[String],
        report: &Report,
    ) -> Result<(), Failure> {
        let (sender, mut replies) = mpsc::unbounded_channel();
        let place = self.listen(question, sender);
        let session = place.session.clone();
        let heard = self.put_and_hear(steps, question, &session, queues, report, &mut replies);
        let result = tokio::select! {
            () = gone(report) => Ok(()),
            heard = heard => heard,
        };
        drop(place);
        session.tidy(self).await;
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

    /// Takes a place where the answers to this question come in.
    fn listen(
        self: &Arc<Self>,
        question: &Question,
        sender: mpsc::UnboundedSender<Result<Reply, Failure>>,
    ) -> Place {
        let ticket = question.ticket().to_owned();
        let mut current = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let known = current.take().filter(|session| session.listen(&ticket, sender.clone()));
        let session = known.unwrap_or_else(|| Session::start(self.clone(), &ticket, sender));
        *current = Some(session.clone());
        Place { session, ticket }
    }

    /// Puts the question, looks how full the queues are, and reports every answer until all have come.
    async fn put_and_hear(
        &self,
        steps: &Steps,
        question: &Question,
        session: &Session,
        queues: &[String],
        report: &Report,
        replies: &mut mpsc::UnboundedReceiver<Result<Reply, Failure>>,
    ) -> Result<(), Failure> {
        if self.put(steps, question, session, queues, report).await? == 0 {
            return Ok(());
        }
        while let Some(reply) = replies.recv().await {
            if report.answered(reply?) {
                return Ok(());
            }
        }
        Err(Failure::msg("ask", "nobody listens for answers"))
    }

    /// Puts the question and looks how full the queues are; to how many it went.
    async fn put(
        &self,
        steps: &Steps,
        question: &Question,
        session: &Session,
        queues: &[String],
        report: &Report,
    ) -> Result<u64, Failure> {
        let channel = self.channel();
        let properties = json!({
            "delivery_mode": 2,
            "delivery_info": {"exchange": EXCHANGE, "routing_key": ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": question.ticket(),
        });
        let path = session.path();
        let message = envelope(&question.body(path.name()), &Question::headers(), &properties);
        let mut commands = vec![path.bind(), Command::new("ask", "PUBLISH", [&channel, &message])];
        commands.extend(self.late().drain(..).map(|list| Command::new("ask", "DEL", [&list])));
        let before = commands.len();
        for queue in queues {
            commands.extend(lists(queue).map(|list| Command::new("queues", "LLEN", [&list])));
        }
        steps.begin("ask");
        let _opening = session.way.lock().await;
        let answers = self.commands.ask(steps, &commands).await?;
        let asked = number(&answers[1]);
        let lengths = answers[before..].chunks(PRIORITIES.len());
        let backlogs = lengths.map(|lengths| Backlog::Waiting(lengths.iter().map(number).sum()));
        report.asked(Some(asked), queues.iter().cloned().zip(backlogs).collect());
        Ok(asked)
    }

    /// Takes back what lets answers come in, and whatever came, unless somebody waits for answers.
    pub(crate) async fn close(&self, session: &Session) -> Result<(), Failure> {
        let closing = session.way.lock().await;
        if !session.is_idle() {
            return Ok(());
        }
        let path = session.path();
        let commands = [path.unbind(), Command::new("ask", "DEL", [path.list()])];
        // A worker may have looked up the way just before.
        self.late().push(path.list().to_owned());
        self.commands.ask(&Steps::new(), &commands).await?;
        drop(closing);
        let swept = std::mem::replace(&mut *lock(&self.swept), true);
        if swept { Ok(()) } else { self.sweep().await }
    }

    /// Removes what a gateway left behind that was killed while it asked.
    async fn sweep(&self) -> Result<(), Failure> {
        let entries = Command::new("ask", "SMEMBERS", [&table()]);
        let answers = self.commands.ask(&Steps::new(), &[entries]).await?;
        let Some(Answer::List(entries)) = answers.first() else { return Ok(()) };
        let mut commands = Vec::new();
        for entry in entries {
            let Answer::Text(entry) = entry else { continue };
            if let Some(list) = abandoned(entry) {
                commands.push(Command::new("ask", "SREM", [&table(), entry]));
                commands.push(Command::new("ask", "DEL", [list]));
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        self.commands.ask(&Steps::new(), &commands).await.map(drop)
    }

    fn late(&self) -> MutexGuard<'_, Vec<String>> {
        lock(&self.late)
    }
}

/// Where the answers to one question come in; dropped, nobody waits for them any more.
struct Place {
    session: Arc<Session>,
    ticket: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.session.leave(&self.ticket);
    }
}

/// Nobody waits for answers any more, for so long that those of slow workers have come in as well.
async fn gone(report: &Report) {
    report.abandoned().await;
    tokio::time::sleep(STRAGGLERS).await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(answer: &Answer) -> u64 {
    match answer {
        Answer::Number(number) => u64::try_from(*number).unwrap_or_default(),
        _ => 0,
    }
}
