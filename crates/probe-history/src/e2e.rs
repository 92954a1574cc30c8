//! The whole way: an event is put on the bus, and must come out as a row in the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_eventbridge::types::builders::PutEventsRequestEntryBuilder;
use probe::config::Fields;
use probe::{Failure, Grant, Steps};
use tokio::time::{sleep, timeout};

use crate::clickhouse::{Table, is_word};
use crate::event_bridge::EventBridge;

/// Each run leaves an event in the history.
pub(crate) const PACE: Duration = Duration::from_mins(1);

/// The step in which the row is waited for.
const ARRIVE: &str = "arrive";

/// How long after the event the database is asked first, and how long the pauses may become.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A question that takes longer is asked anew, the next time with twice the patience: it holds up the check of the database, whose connection it uses.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the event is marked, and where its id is found.
pub(crate) struct Event {
    source: String,
    detail_type: String,
    id_column: String,
    time_column: Option<String>,
}

impl Event {
    /// Reads `source`, `detail_type`, `id_column` and `time_column`; what is wrong is noted.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let source = fields.with_default("source", "health-gateway".to_owned());
        let detail_type = fields.with_default("detail_type", "health check".to_owned());
        let id_column = fields.with_default("id_column", "id".to_owned());
        let time_is_written = fields.has("time_column");
        let time_column: Option<String> = fields.optional("time_column");
        for (key, text) in [
            ("source", Some(&source)),
            ("detail_type", Some(&detail_type)),
            ("id_column", Some(&id_column)),
            ("time_column", time_column.as_ref()),
        ] {
            if !text.is_none_or(|text| is_word(fields, key, text)) {
                return None;
            }
        }
        (time_column.is_some() || !time_is_written).then_some(Self {
            source,
            detail_type,
            id_column,
            time_column,
        })
    }

    fn entry(&self, id: &str) -> PutEventsRequestEntryBuilder {
        let detail = format!(r#"{{"id":"{id}","written_by":"health-gateway"}}"#);
        PutEventsRequestEntry::builder()
            .source(&self.source)
            .detail_type(&self.detail_type)
            .detail(detail)
    }
}

/// The check.
pub(crate) struct EndToEnd {
    event_bridge: Arc<EventBridge>,
    table: Arc<Table>,
    event: Arc<Event>,
}

impl EndToEnd {
    pub(crate) fn new(
        event_bridge: Arc<EventBridge>,
        table: Arc<Table>,
        event: Arc<Event>,
    ) -> Self {
        Self { event_bridge, table, event }
    }

    /// Where the way begins; when the database is at fault, the cause says so.
    pub(crate) fn target(&self) -> &str {
        self.event_bridge.target()
    }

    pub(crate) fn grants(&self) -> Vec<Grant> {
        let mut grants = self.table.grants_to_search(self.columns());
        grants.push(self.event_bridge.grant_to_put());
        grants
    }

    pub(crate) async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let own_id = unique();
        let id = self.event_bridge.put(steps, self.event.entry(&own_id)).await?;
        let accepted = Instant::now();
        let (mut pause, mut patience, mut answers) = (FIRST_PAUSE, PATIENCE, true);
        loop {
            let ago = accepted.elapsed().as_secs_f32();
            let known = format!("the bus accepted it {ago:.1}s ago as {id}");
            let silence = if answers {
                "the event is not in the database".to_owned()
            } else {
                format!("no answer from the database at {}", self.table.target())
            };
            steps.begin_with(ARRIVE, silence, known);
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            match timeout(patience, self.has_arrived([&id, &own_id])).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => answers = true,
                Ok(Err(failure)) => return Err(self.unreadable(&id, &failure)),
                Err(_) => {
                    answers = false;
                    patience *= 2;
                }
            }
        }
    }

    /// Whether the row is there. A history may keep the bus's id of an event, or the one that stands in its detail.
    async fn has_arrived(&self, ids: [&str; 2]) -> Result<bool, Failure> {
        // The steps of a question are of no interest: what is waited for is the row.
        self.table.has(&Steps::new(), ARRIVE, self.columns(), ids).await
    }

    /// The column that holds an event's id, and the one that holds its time if there is one.
    fn columns(&self) -> (&str, Option<&str>) {
        (&self.event.id_column, self.event.time_column.as_deref())
    }

    fn unreadable(&self, id: &str, failure: &Failure) -> Failure {
        let (step, cause) = (failure.step(), failure.cause().text());
        // Whoever looks for changed credentials goes by the step.
        let own = if step == "authenticate" { step } else { ARRIVE };
        let at = self.table.target();
        let reason =
            format!("the bus accepted {id}, but the database at {at} cannot be read: {cause}");
        Failure::msg(own, reason)
    }
}

/// An id that nobody else has, in the form of the bus's own: a column may be of the type UUID.
fn unique() -> String {
    let bits: u128 = rand::random();
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{bits:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_random_uuid() {
        let id = unique();
        assert_ne!(id, unique());
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4", "{id}");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    }
}
