//! Celery on Redis, as kombu's transport uses it.
//!
//! A queue is a list for each priority, a request is published on a channel, and replies are pushed to a list.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use probe::config::{Fields, Url};
use probe::{Failure, Grant, Reconnect, Secret, SharedResources, Steps};
use redis_client::{Command, Redis, Reply, literal_pattern};
use serde_json::json;
use tokio::sync::mpsc;

use crate::findings::{Backlog, FindingsSender};
use crate::inspect::{EXCHANGE, InspectReply, InspectRequest};
use crate::kombu::{PRIORITIES, encode_message, priority_lists};
use crate::reply_listener::{Registration, ReplyListener};
use crate::reply_queue::{bindings_key, list_pattern};
use crate::reply_store::ReplyStore;
use crate::task::Task;

/// How long late replies are still received after all checks have ended, so that they do not stay in the database.
const LATE_REPLIES: Duration = Duration::from_secs(1);

type Replies = mpsc::UnboundedReceiver<Result<InspectReply, Failure>>;

/// One database of a Redis as a broker, shared by all sections that name it.
pub(crate) struct RedisBroker {
    store: Arc<ReplyStore>,
    /// The current listener, or one that has ended.
    listener: Mutex<Option<Arc<ReplyListener>>>,
}

impl RedisBroker {
    pub(crate) fn read(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        url: &Url,
        tls: &net::TlsSettings,
        reconnect: Reconnect,
    ) -> Option<Arc<Self>> {
        let redis = Redis::from_url(shared, fields, "broker", url, tls, reconnect)?;
        let identity = Secret::new(redis.identity().expose());
        Some(shared.get_or_insert(&identity, || Self {
            store: Arc::new(ReplyStore::new(redis)),
            listener: Mutex::default(),
        }))
    }

    pub(crate) fn target(&self) -> &str {
        self.redis().target()
    }

    /// The grants for a broadcast and the lengths of these queues.
    pub(crate) fn grants(&self, queues: &[String]) -> Vec<Grant> {
        let length = (!queues.is_empty()).then_some("LLEN");
        let names =
            ["SADD", "PUBLISH", "BRPOP", "SREM", "DEL", "SMEMBERS"].into_iter().chain(length);
        let commands: Vec<_> = names.map(|name| Command::new("ask", name, [])).collect();
        let channel = format!("&{}", literal_pattern(&self.channel()));
        let bindings = format!("~{}", literal_pattern(&bindings_key()));
        let ours = [channel, bindings, format!("~{}", list_pattern())];
        let lists = queues.iter().flat_map(|queue| priority_lists(queue));
        let lists = lists.map(|list| format!("~{}", literal_pattern(&list)));
        self.redis().grants(&commands, &ours.into_iter().chain(lists).collect::<Vec<_>>())
    }

    /// The grants for pushing a task to the queue's list and removing it again.
    pub(crate) fn grants_to_send(&self, queue: &str) -> Vec<Grant> {
        let commands = ["LPUSH", "LREM"].map(|name| Command::new("canary", name, []));
        self.redis().grants(&commands, &[format!("~{}", literal_pattern(queue))])
    }

    /// Broadcasts `request` and publishes the replies until all have arrived or no check watches any more.
    pub(crate) async fn broadcast(
        &self,
        steps: &Steps,
        request: &InspectRequest,
        queues: &[String],
        findings: &FindingsSender,
    ) -> Result<(), Failure> {
        let (registration, replies) = self.register(request);
        let listener = registration.listener().clone();
        let result = tokio::select! {
            () = abandoned(findings) => Ok(()),
            result = self.inspect(steps, request, &listener, queues, findings, replies) => result,
        };
        drop(registration);
        listener.clean_up().await;
        result
    }

    /// Pushes the task to the queue's list; returns the message that was pushed.
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
        let message = encode_message(&Task::body(), &task.headers(), &properties);
        let push = Command::new("canary", "LPUSH", [queue, &message]);
        self.redis().execute(steps, &[push]).await?;
        Ok(message)
    }

    /// Removes the message from the queue's list, if it is still there.
    pub(crate) async fn withdraw(
        &self,
        steps: &Steps,
        queue: &str,
        message: &str,
    ) -> Result<(), Failure> {
        let remove = Command::new("canary", "LREM", [queue, "1", message]);
        self.redis().execute(steps, &[remove]).await.map(drop)
    }

    fn redis(&self) -> &Redis {
        self.store.redis()
    }

    /// The channel on which requests are published.
    fn channel(&self) -> String {
        format!("/{}.{EXCHANGE}", self.redis().database())
    }

    /// Registers the request with the current listener, or with a new one.
    fn register(&self, request: &InspectRequest) -> (Registration, Replies) {
        let (sender, replies) = mpsc::unbounded_channel();
        let ticket = request.ticket();
        let mut current = self.listener.lock();
        let registered =
            current.as_ref().and_then(|listener| listener.register(ticket, sender.clone()));
        let registration =
            registered.unwrap_or_else(|| ReplyListener::start(self.store.clone(), ticket, sender));
        *current = Some(registration.listener().clone());
        (registration, replies)
    }

    /// Publishes the request, then waits for the replies of all its recipients.
    async fn inspect(
        &self,
        steps: &Steps,
        request: &InspectRequest,
        listener: &ReplyListener,
        queues: &[String],
        findings: &FindingsSender,
        mut replies: Replies,
    ) -> Result<(), Failure> {
        if self.publish(steps, request, listener, queues, findings).await? == 0 {
            return Ok(());
        }
        while let Some(reply) = replies.recv().await {
            if findings.replied(reply?) {
                return Ok(());
            }
        }
        Err(Failure::msg("ask", "the reply listener ended"))
    }

    /// Publishes the request and reads the lengths of the queues; returns the number of recipients.
    async fn publish(
        &self,
        steps: &Steps,
        request: &InspectRequest,
        listener: &ReplyListener,
        queues: &[String],
        findings: &FindingsSender,
    ) -> Result<u64, Failure> {
        let queue = listener.queue();
        let message = Self::message(request, queue.routing_key());
        let publish = Command::new("ask", "PUBLISH", [&self.channel(), &message]);
        let mut commands = vec![queue.bind(), publish];
        commands.extend(self.store.delete_late_replies());
        let first_length = commands.len();
        for queue in queues {
            commands
                .extend(priority_lists(queue).map(|list| Command::new("queues", "LLEN", [&list])));
        }
        steps.begin("ask");
        let _binding = listener.lock_binding().await;
        let replies = self.redis().execute(steps, &commands).await?;
        let recipients = number(&replies[1]);
        let lengths = replies[first_length..].chunks(PRIORITIES.len());
        let backlogs = lengths.map(|lengths| Backlog::Waiting(lengths.iter().map(number).sum()));
        findings.accepted(Some(recipients), queues.iter().cloned().zip(backlogs).collect());
        Ok(recipients)
    }

    fn message(request: &InspectRequest, reply_to: &str) -> String {
        let properties = json!({
            "delivery_mode": 2,
            "delivery_info": {"exchange": EXCHANGE, "routing_key": ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": request.ticket(),
        });
        encode_message(&request.body(reply_to), &InspectRequest::headers(), &properties)
    }
}

/// Waits until no check watches the findings any more and late replies have arrived.
async fn abandoned(findings: &FindingsSender) {
    findings.abandoned().await;
    tokio::time::sleep(LATE_REPLIES).await;
}

fn number(reply: &Reply) -> u64 {
    match reply {
        Reply::Number(number) => u64::try_from(*number).unwrap_or_default(),
        _ => 0,
    }
}
