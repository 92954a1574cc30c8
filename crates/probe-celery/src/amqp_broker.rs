//! Celery on AMQP.

use std::sync::Arc;
use std::time::Duration;

use amqp::{Amqp, Connection, Deliveries, Publication};
use probe::config::{Fields, Url};
use probe::{Cause, Failure, Grant, SharedResources, Steps};

use crate::findings::{Backlog, Report};
use crate::question::{EXCHANGE, Question, REPLY_EXCHANGE};
use crate::task::Task;

/// A worker that was stopped must not find a heap of old questions when it goes on.
const QUESTION_EXPIRES: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct AmqpBroker(Amqp);

impl AmqpBroker {
    pub(crate) fn read(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        url: &Url,
        tls: &net::TlsSettings,
        queue_prefix: String,
    ) -> Option<Self> {
        Amqp::read(shared, fields, "broker", url, tls, queue_prefix).map(Self)
    }

    pub(crate) fn target(&self) -> &str {
        self.0.target()
    }

    pub(crate) fn grants(&self) -> Vec<Grant> {
        self.0.grants(&[&to_the_workers()])
    }

    pub(crate) fn grants_to_send(&self) -> Vec<Grant> {
        self.0.grants(&[&Publication::default()])
    }

    pub(crate) async fn ask(
        &self,
        steps: &Steps,
        question: &Question,
        queues: &[String],
        report: &Report,
    ) -> Result<(), Failure> {
        // A kept connection that is lost proves nothing, so the question is put twice at most.
        for _ in 0..2 {
            let put = self.0.run(steps, |connection| put(connection, steps, question, queues));
            let (letters, asked, depths) = tokio::select! {
                () = report.abandoned() => return Ok(()),
                put = put => put?,
            };
            report.asked(asked, depths);
            tokio::select! {
                () = report.abandoned() => return Ok(()),
                () = hear(letters, report) => {}
            }
        }
        Err(Failure::new("ask", Cause::msg("connection closed").connection_lost()))
    }

    /// Publishes the task to the default exchange, which leads to the queue of this name.
    pub(crate) async fn send(
        &self,
        steps: &Steps,
        queue: &str,
        task: &Task,
        lifetime: Duration,
    ) -> Result<Deliveries, Failure> {
        let send = |connection: Arc<Connection>| async move {
            let id = task.id().to_owned();
            let letters = connection.listen(move |message| message.correlation_id() == Some(&id));
            let publication = Publication {
                routing_key: queue.to_owned(),
                headers: task.headers(),
                body: Task::body(),
                correlation_id: task.id().to_owned(),
                reply_to: connection.reply_queue().to_owned(),
                expires: Some(lifetime),
                ..Publication::default()
            };
            if steps.run("canary", connection.publish(&publication)).await? {
                return Ok(letters);
            }
            Err(Failure::msg("canary", format!("{queue} does not exist")))
        };
        self.0.run(steps, send).await
    }
}

/// Puts the question, and looks how full the queues are while the workers answer it.
async fn put(
    connection: Arc<Connection>,
    steps: &Steps,
    question: &Question,
    queues: &[String],
) -> Result<(Deliveries, Option<u64>, Vec<(String, Backlog)>), Failure> {
    let ticket = question.ticket().to_owned();
    let letters = connection.listen(move |message| message.header("ticket") == Some(&ticket));
    let publication = Publication {
        headers: Question::headers(),
        body: question.body(connection.reply_queue()),
        expires: Some(QUESTION_EXPIRES),
        ..to_the_workers()
    };
    let asked = async {
        let routed = steps.run("ask", connection.publish(&publication)).await?;
        steps.begin("queues");
        Ok(routed)
    };
    let names: Vec<_> = queues.iter().map(String::as_str).collect();
    let looked =
        async { connection.depths(&names).await.map_err(|cause| Failure::new("queues", cause)) };
    // The question leaves first, since the workers take longest.
    let (routed, depths) = tokio::try_join!(biased; asked, looked)?;
    let backlogs = depths.into_iter().map(|depth| depth.map_or(Backlog::Missing, Backlog::Known));
    let backlogs = queues.iter().cloned().zip(backlogs).collect();
    // The broker says whether it went to anybody, but not to how many.
    Ok((letters, (!routed).then_some(0), backlogs))
}

/// The way to all workers, and back.
fn to_the_workers() -> Publication {
    let (exchange, reply_exchange) = (EXCHANGE.to_owned(), Some(REPLY_EXCHANGE));
    Publication { exchange, reply_exchange, ..Publication::default() }
}

/// Reports every answer, until the connection is lost.
async fn hear(mut letters: Deliveries, report: &Report) {
    while let Some(letter) = letters.next().await {
        if let Some(reply) = Question::read(letter.body()) {
            letters.mark_bound(REPLY_EXCHANGE);
            report.answered(reply);
        }
    }
}
