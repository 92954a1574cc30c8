//! Celery on Redis, as kombu's transport uses it.
//!
//! A queue is a list for each priority, a request is published on a channel, and replies are pushed to a list.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probe::config::{Fields, UrlText};
use probe::{Failure, Grant, SharedResources, Steps};
use redis_client::{Command, Redis, Reply, literal_pattern};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::broker::BrokerOptions;
use crate::content::Serializer;
use crate::findings::{Backlog, FindingsSender};
use crate::inspect::{ControlExchanges, InspectReply, InspectRequest, REPEAT_INTERVAL};
use crate::kombu::{Message, decode_message, encode_message};
use crate::reply_queue::{ReplyQueue, binding_pattern, list_pattern, own_bindings};
use crate::task::Task;
use crate::transport::{Separator, TransportOptions, own_queue};

/// How many bindings of workers are read to learn their separator. Many of them may be of workers that were killed.
const BINDINGS_SAMPLE: &str = "100";
/// About how many bindings are read at a time.
const BINDINGS_BATCH: &str = "1000";
/// The interval between two reads of replies starts at the first value and doubles up to the second.
const MIN_READ_INTERVAL: Duration = Duration::from_millis(1);
const MAX_READ_INTERVAL: Duration = Duration::from_millis(50);
/// The cursor with which a scan begins, and which the server returns at its end.
const FIRST_CURSOR: &str = "0";
/// How long the removal of a reply queue may take.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the bindings that killed processes left behind are removed.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);

/// One database of a Redis as a broker.
pub(crate) struct RedisBroker {
    redis: Redis,
    options: TransportOptions,
    exchanges: ControlExchanges,
    serializer: Serializer,
    swept: Mutex<Option<Instant>>,
}

impl RedisBroker {
    pub(crate) fn read(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        url: &UrlText,
        tls: &net::TlsSettings,
        BrokerOptions { exchanges, transport_options, serializer, reconnect, .. }: BrokerOptions,
    ) -> Option<Arc<Self>> {
        let sentinel = &transport_options.sentinel;
        let redis = Redis::from_url(shared, fields, "broker", url, tls, sentinel, reconnect)?;
        if redis.is_cluster() {
            fields.error("broker", "expected no cluster: kombu has no transport for it");
            return None;
        }
        let (options, swept) = (transport_options, Mutex::default());
        Some(Arc::new(Self { redis, options, exchanges, serializer, swept }))
    }

    pub(crate) fn target(&self) -> &str {
        self.redis.target()
    }

    /// The grants for a broadcast and the lengths of these queues.
    pub(crate) fn grants(&self, queues: &[String]) -> Vec<Grant> {
        let length = (!queues.is_empty()).then_some("LLEN");
        let names = [
            "SRANDMEMBER",
            "RPUSH",
            "PEXPIRE",
            "SADD",
            "PUBLISH",
            "LRANGE",
            "SREM",
            "DEL",
            "SSCAN",
            "PTTL",
        ];
        let commands: Vec<_> =
            names.into_iter().chain(length).map(|name| Command::new("ask", name, [])).collect();
        let key = |name: &str| format!("~{}", literal_pattern(name));
        let channels = self.channels();
        let channels = channels.iter().map(|channel| format!("&{}", literal_pattern(channel)));
        let bindings = [&self.exchanges.requests, &self.exchanges.replies]
            .map(|exchange| key(&self.options.bindings_key(exchange)));
        let replies = format!("~{}", list_pattern(&self.options, &self.exchanges.replies));
        let separator = self.options.assumed_separator();
        let lists = queues.iter().flat_map(|queue| self.options.queue_lists(queue, &separator));
        let patterns = channels.chain([replies]).chain(bindings);
        let patterns = patterns.chain(lists.map(|list| key(&list)));
        self.redis.grants(&commands, &patterns.collect::<Vec<_>>())
    }

    /// The grants for pushing a task to the queue's list and removing it again.
    pub(crate) fn grants_to_send(&self, queue: &str) -> Vec<Grant> {
        let commands = ["LPUSH", "LREM"].map(|name| Command::new("canary", name, []));
        self.redis.grants(&commands, &[format!("~{}", literal_pattern(&self.options.key(queue)))])
    }

    /// Broadcasts `request`, if there is one, and publishes the replies until all have arrived or no check watches any more.
    pub(crate) async fn broadcast(
        &self,
        steps: &Steps,
        request: Option<&InspectRequest>,
        queues: &[String],
        findings: &FindingsSender,
    ) -> Result<(), Failure> {
        let mut reply_queue = None;
        let result = tokio::select! {
            () = findings.abandoned() => Ok(false),
            result = self.inspect(steps, request, queues, findings, &mut reply_queue) => result,
        };
        if let Some(queue) = reply_queue {
            let complete = *result.as_ref().unwrap_or(&false);
            // Best effort: if the server does not answer, the next broadcast reports that.
            drop(timeout(CLEAN_UP_TIMEOUT, self.clean_up(&queue, complete)).await);
        }
        result.map(drop)
    }

    /// Pushes the task to the queue's list.
    pub(crate) async fn send(
        &self,
        steps: &Steps,
        queue: &str,
        task: &Task,
    ) -> Result<(), Failure> {
        let message = self.task_message(queue, task);
        let push = Command::new("canary", "LPUSH", [&self.options.key(queue), &message]);
        self.redis.execute_once(steps, &[push]).await.map(drop)
    }

    /// Removes the task from the queue's list; returns whether it was still there.
    pub(crate) async fn withdraw(
        &self,
        steps: &Steps,
        queue: &str,
        task: &Task,
    ) -> Result<bool, Failure> {
        let message = self.task_message(queue, task);
        let remove = Command::new("canary", "LREM", [&self.options.key(queue), "1", &message]);
        let replies = self.redis.execute(steps, &[remove]).await?;
        Ok(replies.first() != Some(&Reply::Number(0)))
    }

    /// The message of a task, which is always the same.
    fn task_message(&self, queue: &str, task: &Task) -> String {
        let properties = json!({
            "correlation_id": task.id(),
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": task.id(),
        });
        encode_message(self.serializer, &Task::content(), &task.headers(), &properties)
    }

    /// The channels on which requests are published.
    fn channels(&self) -> Vec<String> {
        let (database, is_sentinel) = (self.redis.database(), self.redis.is_sentinel());
        self.options.channels(database, is_sentinel, &self.exchanges.requests)
    }

    /// Publishes the request, then waits for the replies of all its recipients. Returns whether no further ones can arrive.
    ///
    /// What must be removed afterwards is stored in `reply_queue` before it is created.
    async fn inspect(
        &self,
        steps: &Steps,
        request: Option<&InspectRequest>,
        queues: &[String],
        findings: &FindingsSender,
        reply_queue: &mut Option<ReplyQueue>,
    ) -> Result<bool, Failure> {
        let separator = self.workers_separator(steps).await?;
        let queue_lists: Vec<_> = queues
            .iter()
            .map(|name| (name.clone(), self.options.queue_lists(name, &separator)))
            .collect();
        let Some(request) = request else {
            self.publish(steps, &[], &[], &queue_lists, findings).await?;
            return Ok(true);
        };
        let queue = reply_queue.insert(ReplyQueue::new(
            &self.options,
            &self.exchanges.replies,
            &separator,
            request.ticket(),
        ));
        let message = self.message(request, queue);
        let channels = self.channels();
        let publish: Vec<_> = channels
            .iter()
            .map(|channel| Command::new("ask", "PUBLISH", [channel, &message]))
            .collect();
        let mut create = queue.create();
        let (mut is_repeated, mut is_lost) = (false, false);
        loop {
            let published = self.publish(steps, &create, &publish, &queue_lists, findings).await;
            let recipients = match published {
                // The workers may have received the request.
                Err(failure) if failure.cause().is_connection_lost() && !is_lost => {
                    (is_lost, is_repeated) = (true, true);
                    continue;
                }
                published => published?,
            };
            create.clear();
            if recipients == 0 || self.receive(request, queue, findings).await? {
                // The workers reply to each repetition.
                return Ok(!is_repeated);
            }
            is_repeated = true;
        }
    }

    /// Reads replies until all have arrived, which is `true`, or the request is to be repeated.
    async fn receive(
        &self,
        request: &InspectRequest,
        queue: &mut ReplyQueue,
        findings: &FindingsSender,
    ) -> Result<bool, Failure> {
        let (begun, mut interval) = (Instant::now(), MIN_READ_INTERVAL);
        let (mut has_more, mut is_slow) = (false, false);
        while has_more || begun.elapsed() < REPEAT_INTERVAL || !findings.may_repeat() {
            if !has_more {
                sleep(interval).await;
                interval = (interval * 2).min(MAX_READ_INTERVAL);
            }
            let replies = self.redis.execute(&Steps::new(), &queue.read()).await?;
            let messages;
            (messages, has_more) =
                replies.last().map(|reply| queue.messages(reply)).unwrap_or_default();
            let replies = messages.iter().filter_map(|message| reply(message, request.ticket()));
            for reply in replies {
                if findings.replied(reply) {
                    return Ok(true);
                }
            }
            if interval == MAX_READ_INTERVAL && !std::mem::replace(&mut is_slow, true) {
                // Best effort: otherwise they count as silent.
                drop(self.forget_ended(findings).await);
            }
        }
        Ok(false)
    }

    /// The separator that the workers use.
    async fn workers_separator(&self, steps: &Steps) -> Result<Separator, Failure> {
        let key = self.options.bindings_key(&self.exchanges.requests);
        let sample = Command::new("ask", "SRANDMEMBER", [&key, BINDINGS_SAMPLE]);
        let replies = self.redis.execute(steps, &[sample]).await?;
        let bindings = replies.first().map(texts).unwrap_or_default();
        Ok(self.options.separator(&bindings))
    }

    /// Creates the reply queue, publishes the request and reads the lengths of the queues; returns the number of recipients.
    async fn publish(
        &self,
        steps: &Steps,
        create: &[Command],
        publish: &[Command],
        queue_lists: &[(String, Vec<String>)],
        findings: &FindingsSender,
    ) -> Result<u64, Failure> {
        let mut commands = [create, publish].concat();
        let lists = queue_lists.iter().flat_map(|(_, lists)| lists);
        commands.extend(lists.map(|list| Command::new("queues", "LLEN", [list])));
        // A second request would have second replies, which may arrive after the reply queue was removed.
        let replies = if publish.is_empty() {
            self.redis.execute(steps, &commands).await?
        } else {
            self.redis.execute_once(steps, &commands).await?
        };
        let mut numbers = replies.iter().skip(create.len()).map(number);
        let recipients = numbers.by_ref().take(publish.len()).sum();
        let known = (!publish.is_empty()).then_some(recipients);
        let backlogs = queue_lists.iter().map(|(queue, lists)| {
            let waiting = numbers.by_ref().take(lists.len()).sum();
            (queue.clone(), Backlog::Waiting(waiting))
        });
        findings.accepted(known, backlogs.collect());
        Ok(recipients)
    }

    fn message(&self, request: &InspectRequest, reply_queue: &ReplyQueue) -> String {
        let properties = json!({
            "delivery_mode": 2,
            "delivery_info": {"exchange": self.exchanges.requests, "routing_key": ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": request.ticket(),
        });
        let (exchange, routing_key) = reply_queue.address();
        encode_message(
            self.serializer,
            &request.content(exchange, routing_key),
            &InspectRequest::headers(),
            &properties,
        )
    }

    async fn clean_up(&self, queue: &ReplyQueue, complete: bool) -> Result<(), Failure> {
        self.redis.execute(&Steps::new(), &queue.remove(complete)).await?;
        let is_due = |swept: &mut Option<Instant>| {
            let is_due = swept.is_none_or(|swept| swept.elapsed() > SWEEP_INTERVAL);
            *swept = if is_due { Some(Instant::now()) } else { *swept };
            is_due
        };
        if is_due(&mut self.swept.lock()) {
            self.sweep().await?;
        }
        Ok(())
    }

    /// Removes the bindings of queues that killed processes left behind. Their lists have expired, or consist of late replies and never expire.
    async fn sweep(&self) -> Result<(), Failure> {
        let key = self.options.bindings_key(&self.exchanges.replies);
        let mut cursor = Some(FIRST_CURSOR.to_owned());
        while let Some(begin) = cursor {
            let (bindings, next) = self.scan(&key, &binding_pattern(), &begin).await?;
            self.remove_abandoned(&key, &texts(&bindings)).await?;
            cursor = next;
        }
        Ok(())
    }

    /// Reads a part of the bindings that match `pattern`. Returns a list, and the cursor of the next part, if there is one.
    async fn scan(
        &self,
        key: &str,
        pattern: &str,
        cursor: &str,
    ) -> Result<(Reply, Option<String>), Failure> {
        let arguments = [key, cursor, "MATCH", pattern, "COUNT", BINDINGS_BATCH];
        let scan = Command::new("ask", "SSCAN", arguments);
        let mut parts = match self.redis.execute(&Steps::new(), &[scan]).await?.pop() {
            Some(Reply::List(parts)) => parts.into_iter(),
            _ => Vec::new().into_iter(),
        };
        let next = match parts.next() {
            Some(Reply::Text(next)) if next != FIRST_CURSOR => Some(next),
            _ => None,
        };
        Ok((parts.next().unwrap_or(Reply::Nil), next))
    }

    /// Forgets the workers that have not replied and are no longer bound to the exchange of requests, since they have ended.
    async fn forget_ended(&self, findings: &FindingsSender) -> Result<(), Failure> {
        let mut absent = findings.absent_workers();
        let (key, mut cursor) = (
            self.options.bindings_key(&self.exchanges.requests),
            (!absent.is_empty()).then(|| FIRST_CURSOR.to_owned()),
        );
        let suffix = format!(".{}", self.exchanges.requests);
        while let Some(begin) = cursor {
            let (bindings, next) = self.scan(&key, "*", &begin).await?;
            for queue in texts(&bindings).into_iter().filter_map(own_queue) {
                absent.remove(queue.strip_suffix(&suffix).unwrap_or(queue));
            }
            cursor = next;
        }
        findings.forget(&absent);
        Ok(())
    }

    /// Removes the bindings of the gateway among these if their lists do not exist or never expire.
    async fn remove_abandoned(&self, key: &str, bindings: &[&str]) -> Result<(), Failure> {
        let own = own_bindings(&self.options, bindings);
        if own.is_empty() {
            return Ok(());
        }
        let lifetimes: Vec<_> =
            own.iter().map(|(_, list)| Command::new("ask", "PTTL", [list])).collect();
        let lifetimes = self.redis.execute(&Steps::new(), &lifetimes).await?;
        let abandoned = own.iter().zip(&lifetimes);
        let abandoned = abandoned.filter(|(_, lifetime)| signed(lifetime) < 0);
        let commands: Vec<_> = abandoned
            .flat_map(|((binding, list), _)| {
                let unbind = Command::new("ask", "SREM", [key, binding]);
                [unbind, Command::new("ask", "DEL", [list])]
            })
            .collect();
        if commands.is_empty() {
            return Ok(());
        }
        self.redis.execute(&Steps::new(), &commands).await.map(drop)
    }
}

/// The reply in a message, if it is one to the request `ticket`.
pub(crate) fn reply(message: &str, ticket: &str) -> Option<InspectReply> {
    let Message { headers, content_type, body } = decode_message(message)?;
    let is_expected = headers.get("ticket")?.as_str()? == ticket;
    is_expected.then(|| InspectReply::parse(&content_type, &body))
}

fn texts(reply: &Reply) -> Vec<&str> {
    let Reply::List(items) = reply else { return Vec::new() };
    items.iter().filter_map(text).collect()
}

fn text(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Text(text) => Some(text),
        _ => None,
    }
}

fn signed(reply: &Reply) -> i64 {
    match reply {
        Reply::Number(number) => *number,
        _ => 0,
    }
}

fn number(reply: &Reply) -> u64 {
    u64::try_from(signed(reply)).unwrap_or_default()
}
