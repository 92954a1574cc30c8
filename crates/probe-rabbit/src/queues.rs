//! Reads and verifies the expectations for named queues.

use amqp::Depth;
use probe::Failure;
use probe::config::Fields;

/// A queue that must exist, and its bounds.
#[derive(Debug)]
pub(crate) struct Queue {
    name: String,
    min_consumers: u64,
    max_messages: Option<u64>,
}

impl Queue {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The violated expectation, if any.
    fn violation(&self, depth: Option<Depth>) -> Option<String> {
        let name = &self.name;
        let Some(Depth { messages, consumers }) = depth else {
            return Some(format!("{name} does not exist"));
        };
        let actual = format!(
            "{name} has {} and {}",
            count(messages, "message"),
            count(consumers, "consumer")
        );
        if consumers < self.min_consumers {
            return Some(format!(
                "{actual}, expected at least {}",
                count(self.min_consumers, "consumer")
            ));
        }
        let max = self.max_messages.filter(|max| messages > *max)?;
        Some(format!("{actual}, expected at most {}", count(max, "message")))
    }
}

/// Reads `queues`, `max_messages` and `min_consumers`.
pub(crate) fn read(fields: &mut Fields<'_>) -> Vec<Queue> {
    let min_consumers = fields.with_default("min_consumers", 0_u64);
    let max_messages: Option<u64> = fields.optional("max_messages");
    let queues = fields.tables("queues", |name, queue| {
        let own_consumers: Option<u64> = queue.optional("min_consumers");
        let own_messages: Option<u64> = queue.optional("max_messages");
        if queue.with_default("exempt", false) {
            if own_consumers.is_some() || own_messages.is_some() {
                queue.error("exempt", "expected no bound beside it");
            }
            return Queue { name: name.to_owned(), min_consumers: 0, max_messages: None };
        }
        Queue {
            name: name.to_owned(),
            min_consumers: own_consumers.unwrap_or(min_consumers),
            max_messages: own_messages.or(max_messages),
        }
    });
    if queues.iter().any(|queue| queue.name.is_empty() || queue.name.len() > MAX_NAME) {
        fields.error("queues", format!("expected names of 1 to {MAX_NAME} bytes"));
    }
    for key in ["min_consumers", "max_messages"] {
        if fields.has(key) && !fields.has("queues") {
            fields.error(key, "expected `queues` beside it");
        }
    }
    queues
}

/// The longest name of a queue, in bytes.
const MAX_NAME: usize = 255;

/// Fails with a list of all violated expectations.
pub(crate) fn verify(queues: &[Queue], depths: &[Option<Depth>]) -> Result<(), Failure> {
    let violations: Vec<_> =
        queues.iter().zip(depths).filter_map(|(queue, depth)| queue.violation(*depth)).collect();
    if violations.is_empty() {
        return Ok(());
    }
    Err(Failure::msg("queues", violations.join("; ")))
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
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
        let queue = Queue { name: "orders".to_owned(), min_consumers, max_messages };
        let depth = depth.map(|(messages, consumers)| Depth { messages, consumers });
        assert_eq!(queue.violation(depth).unwrap_or_default(), expected);
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
