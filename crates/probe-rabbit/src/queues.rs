//! Reads and verifies the expectations for named queues.

use std::iter;

use amqp::{Depth, QueueState};
use probe::config::Fields;
use probe::{Failure, Observation, Steps, count};

use crate::management::QueueInfo;

/// A queue that must exist, and its bounds.
#[derive(Debug)]
pub(crate) struct Queue {
    name: String,
    /// Whether the configuration says that it is a stream.
    is_stream: bool,
    min_consumers: u64,
    max_messages: Option<u64>,
    max_unacked: Option<u64>,
}

impl Queue {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The violated expectation, if any. `info` is what the management plugin knows.
    fn violation(&self, state: &QueueState, info: Option<&QueueInfo>) -> Option<String> {
        let name = &self.name;
        let Depth { messages, consumers } = match state {
            QueueState::Known(depth) => *depth,
            QueueState::Missing => return Some(format!("{name} does not exist")),
            QueueState::Unavailable(reason) => return Some(format!("{name}: {reason}")),
        };
        if let Some(rejection) = info.and_then(|info| info.rejection(messages)) {
            return Some(format!("{name} {rejection}"));
        }
        let consumers = info.and_then(QueueInfo::stream_consumers).unwrap_or(consumers);
        let actual = format!(
            "{name} has {} and {}",
            count(messages, "message", "messages"),
            count(consumers, "consumer", "consumers")
        );
        let has_unknown_consumers = info.is_some_and(QueueInfo::has_unknown_consumers);
        if consumers < self.min_consumers && !has_unknown_consumers {
            // AMQP does not report which queue is a stream.
            let hint = match info {
                None if consumers == 0 => {
                    " (those of a stream are seen with `management` only, see `stream`)"
                }
                _ => "",
            };
            let expected = count(self.min_consumers, "consumer", "consumers");
            return Some(format!("{actual}, expected at least {expected}{hint}"));
        }
        if let Some(max) = self.max_unacked {
            let unacked = info.map_or(0, QueueInfo::unacknowledged);
            if unacked > max {
                let actual = count(unacked, "unacknowledged message", "unacknowledged messages");
                return Some(format!("{name} has {actual}, expected at most {max}"));
            }
        }
        let max = self.max_messages.filter(|max| messages > *max)?;
        Some(format!("{actual}, expected at most {}", count(max, "message", "messages")))
    }
}

/// Reads `queues`, `max_messages`, `min_consumers` and `max_unacked`.
pub(crate) fn read(fields: &mut Fields<'_>) -> Vec<Queue> {
    let min_consumers = fields.with_default("min_consumers", 0_u64);
    let max_messages: Option<u64> = fields.optional("max_messages");
    let max_unacked: Option<u64> = fields.optional("max_unacked");
    let has_management = fields.has("management");
    if fields.has("max_unacked") && !has_management {
        fields.error("max_unacked", "expected `management` beside it");
    }
    let queues = fields.tables("queues", |name, queue| {
        let own_consumers: Option<u64> = queue.optional("min_consumers");
        let own_messages: Option<u64> = queue.optional("max_messages");
        let own_unacked: Option<u64> = queue.optional("max_unacked");
        if own_unacked.is_some() && !has_management {
            queue.error("max_unacked", "expected `management` in the section");
        }
        let is_stream = queue.with_default("stream", false);
        // AMQP does not report the consumers of a stream.
        let has_unknown_consumers = is_stream && !has_management;
        if has_unknown_consumers && own_consumers.is_some() {
            queue.error("min_consumers", "expected `management` in the section: AMQP does not report the consumers of a stream");
        }
        if queue.with_default("exempt", false) {
            if own_consumers.is_some() || own_messages.is_some() || own_unacked.is_some() {
                queue.error("exempt", "expected no bound beside it");
            }
            let name = name.to_owned();
            return Queue {
                name,
                is_stream,
                min_consumers: 0,
                max_messages: None,
                max_unacked: None,
            };
        }
        let min_consumers = if has_unknown_consumers { 0 } else { min_consumers };
        Queue {
            name: name.to_owned(),
            is_stream,
            min_consumers: own_consumers.unwrap_or(min_consumers),
            max_messages: own_messages.or(max_messages),
            max_unacked: own_unacked.or(max_unacked),
        }
    });
    if queues.iter().any(|queue| queue.name.is_empty() || queue.name.len() > MAX_NAME) {
        fields.error("queues", format!("expected names of 1 to {MAX_NAME} bytes"));
    }
    for key in ["min_consumers", "max_messages", "max_unacked"] {
        if fields.has(key) && !fields.has("queues") {
            fields.error(key, "expected `queues` beside it");
        }
    }
    queues
}

/// The longest name of a queue, in bytes.
const MAX_NAME: usize = 255;

/// Observes the messages and consumers of each queue that exists, as far as they are known. `infos` is empty without the management plugin.
pub(crate) fn observe(
    steps: &Steps,
    queues: &[Queue],
    states: &[QueueState],
    infos: &[Option<QueueInfo>],
) {
    let infos = infos.iter().map(Option::as_ref).chain(iter::repeat(None));
    for ((Queue { name, is_stream, .. }, state), info) in queues.iter().zip(states).zip(infos) {
        let QueueState::Known(Depth { messages, consumers }) = *state else { continue };
        steps.observe(Observation::QueueMessages(name.as_str().into(), messages));
        let is_stream = info.map_or(*is_stream, QueueInfo::is_stream);
        let of_stream = info.and_then(QueueInfo::stream_consumers);
        let consumers = if is_stream { of_stream } else { Some(consumers) };
        if let Some(consumers) = consumers {
            steps.observe(Observation::QueueConsumers(name.as_str().into(), consumers));
        }
    }
}

/// Fails with a list of the queues that are missing or out of order.
pub(crate) fn verify_states(queues: &[Queue], infos: &[Option<QueueInfo>]) -> Result<(), Failure> {
    let outage = |(queue, info): (&Queue, &Option<QueueInfo>)| {
        let outage = match info {
            None => "does not exist".to_owned(),
            Some(info) => info.outage()?,
        };
        Some(format!("{} {outage}", queue.name))
    };
    fail_with(&queues.iter().zip(infos).filter_map(outage).collect::<Vec<_>>())
}

/// Fails with a list of all violated expectations. `infos` is empty without the management plugin.
pub(crate) fn verify(
    queues: &[Queue],
    states: &[QueueState],
    infos: &[Option<QueueInfo>],
) -> Result<(), Failure> {
    let infos = infos.iter().map(Option::as_ref).chain(iter::repeat(None));
    let all = queues.iter().zip(states).zip(infos);
    let violation =
        |((queue, state), info): ((&Queue, &QueueState), _)| queue.violation(state, info);
    fail_with(&all.filter_map(violation).collect::<Vec<_>>())
}

fn fail_with(violations: &[String]) -> Result<(), Failure> {
    if violations.is_empty() {
        return Ok(());
    }
    Err(Failure::msg("queues", violations.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        min_consumers: u64,
        max_messages: Option<u64>,
        depth: Option<(u64, u64)>,
        expected: &str,
    ) {
        let name = "orders".to_owned();
        let queue =
            Queue { name, is_stream: false, min_consumers, max_messages, max_unacked: None };
        let known = |(messages, consumers)| QueueState::Known(Depth { messages, consumers });
        let state = depth.map_or(QueueState::Missing, known);
        assert_eq!(queue.violation(&state, None).unwrap_or_default(), expected);
    }

    #[test]
    fn a_queue_must_be_within_its_bounds() {
        check(0, None, Some((5000, 0)), "");
        check(1, Some(10), Some((10, 1)), "");
        check(0, None, None, "orders does not exist");
        check(
            2,
            None,
            Some((0, 1)),
            "orders has 0 messages and 1 consumer, expected at least 2 consumers",
        );
        check(
            1,
            Some(10),
            Some((11, 3)),
            "orders has 11 messages and 3 consumers, expected at most 10 messages",
        );
    }
}
