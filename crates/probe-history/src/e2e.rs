//! The end-to-end check: puts an event on the bus and waits for its row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_eventbridge::types::builders::PutEventsRequestEntryBuilder;
use probe::config::Fields;
use probe::step::AUTHENTICATE;
use probe::{Failure, Grant, Observation, Steps};
use tokio::time::{sleep, timeout};

use crate::clickhouse::{ClickhouseTable, validate_name};
use crate::event_bridge::EventBridge;

/// The shortest interval between runs, since each leaves an event in the history.
pub(crate) const MIN_INTERVAL: Duration = Duration::from_mins(1);

/// The step that waits for the row.
const ARRIVE: &str = "arrive";

/// The delay before the first query, and the longest delay between queries.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(1);

/// The timeout of the first query; it doubles after each timeout, so that one query that hangs does not decide the result.
const FIRST_TIMEOUT: Duration = Duration::from_secs(2);

/// The attributes of the event, and the columns in which it is found.
pub(crate) struct EventSettings {
    source: String,
    detail_type: String,
    id_column: String,
    time_column: Option<String>,
}

impl EventSettings {
    /// Reads `source`, `detail_type`, `id_column` and `time_column`. Errors are reported in `fields`.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let source = fields.with_default("source", "health-gateway".to_owned());
        let detail_type = fields.with_default("detail_type", "health check".to_owned());
        let id_column = fields.with_default("id_column", "id".to_owned());
        let has_time_column = fields.has("time_column");
        let time_column: Option<String> = fields.optional("time_column");
        for (key, text) in [
            ("source", Some(&source)),
            ("detail_type", Some(&detail_type)),
            ("id_column", Some(&id_column)),
            ("time_column", time_column.as_ref()),
        ] {
            if !text.is_none_or(|text| validate_name(fields, key, text)) {
                return None;
            }
        }
        (time_column.is_some() || !has_time_column).then_some(Self {
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

/// The end-to-end check.
pub(crate) struct EndToEnd {
    event_bridge: Arc<EventBridge>,
    table: Arc<ClickhouseTable>,
    event: Arc<EventSettings>,
}

impl EndToEnd {
    pub(crate) fn new(
        event_bridge: Arc<EventBridge>,
        table: Arc<ClickhouseTable>,
        event: Arc<EventSettings>,
    ) -> Self {
        Self { event_bridge, table, event }
    }

    /// The target of the bus, where the pipeline begins. If the database is at fault, the cause names it.
    pub(crate) fn target(&self) -> &str {
        self.event_bridge.target()
    }

    pub(crate) fn grants(&self) -> Vec<Grant> {
        let mut grants = self.table.grants_to_search(self.columns());
        grants.push(self.event_bridge.grant_to_put());
        grants
    }

    pub(crate) async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let (own_id, begun) = (random_uuid(), Instant::now());
        let id = self.event_bridge.put(steps, self.event.entry(&own_id)).await?;
        let accepted = Instant::now();
        steps.observe(Observation::HistoryStage("accept", accepted - begun));
        let accepted_after = (accepted - begun).as_secs_f32();
        let (mut delay, mut query_timeout, mut has_response) = (FIRST_DELAY, FIRST_TIMEOUT, true);
        loop {
            // The context must still be true when the run times out, which may be long after this query.
            let context = format!("the bus accepted it after {accepted_after:.1}s as {id}");
            let reason = if has_response {
                "the event is not in the database".to_owned()
            } else {
                format!("no answer from the database at {}", self.table.target())
            };
            steps.begin_with(ARRIVE, reason, context);
            sleep(delay).await;
            delay = (delay * 3 / 2).min(MAX_DELAY);
            match timeout(query_timeout, self.has_arrived([&id, &own_id])).await {
                Ok(Ok(true)) => {
                    steps.observe(Observation::HistoryStage(ARRIVE, accepted.elapsed()));
                    return Ok(());
                }
                Ok(Ok(false)) => has_response = true,
                Ok(Err(failure)) => return Err(self.query_failure(&id, &failure)),
                Err(_) => {
                    has_response = false;
                    query_timeout *= 2;
                }
            }
        }
    }

    /// Whether the row has arrived. A history may store either the id that the bus assigned or the id in the event's detail.
    async fn has_arrived(&self, ids: [&str; 2]) -> Result<bool, Failure> {
        // The query's own steps are discarded, so that a timeout names the step `arrive`.
        self.table.has_event(&Steps::new(), ARRIVE, self.columns(), ids).await
    }

    /// The column with the event's id, and the one with its time, if configured.
    fn columns(&self) -> (&str, Option<&str>) {
        (&self.event.id_column, self.event.time_column.as_deref())
    }

    fn query_failure(&self, id: &str, failure: &Failure) -> Failure {
        let (step, cause) = (failure.step(), failure.cause().text());
        // The gateway reads the secrets again after a failure in `authenticate`.
        let step = if step == AUTHENTICATE { step } else { ARRIVE };
        let at = self.table.target();
        let reason =
            format!("the bus accepted {id}, but the database at {at} cannot be read: {cause}");
        Failure::msg(step, reason)
    }
}

/// A random UUID, which is also the format of the bus's own ids: the column may have the type UUID.
fn random_uuid() -> String {
    let bits: u128 = rand::random();
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{bits:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_random_uuids_of_version_4() {
        let id = random_uuid();
        assert_ne!(id, random_uuid());
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4", "{id}");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    }
}
