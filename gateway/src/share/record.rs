//! The result of a run as it is stored, authenticated and with everything that the other replicas show of it.

use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use probe::{MAX_LINE, Observation};
use serde::{Deserialize, Serialize};

use crate::runner::{Outcome, RunResult, intern};

/// The maximum size of a record in bytes.
pub(super) const MAX_SIZE: usize = 16 * 1024;

/// The length of the authentication code before the text of a record.
const MAC_LENGTH: usize = 64;

/// How far in the future a result may be complete, by the clock of the store.
const TOLERANCE: Duration = Duration::from_secs(1);

/// The result of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The number of the lease.
    pub(super) fence: u64,
    /// When the run was complete, in microseconds of the store.
    pub(super) completed: i64,
    /// The name of the replica that ran the check.
    pub(super) replica: String,
    failure: Option<String>,
    failed_step: Option<String>,
    cause: u64,
    result: String,
    response_time: u64,
    durations: Vec<(String, u64)>,
    observations: Vec<Quantity>,
}

/// An [`Observation`] with times in microseconds since 1970, and durations in microseconds.
#[derive(Debug, Serialize, Deserialize)]
enum Quantity {
    CertificateExpiry(u64),
    VaultTokenExpiry(u64),
    QueueMessages(String, u64),
    QueueConsumers(String, u64),
    HistoryStage(String, u64),
    PostgresReplicationLag(u64),
    PostgresConnections(u64),
    PostgresConnectionsMax(u64),
    RedisReplicationLag(u64),
    CeleryWorkers(u64),
    CeleryWorkersExpected(u64),
}

impl Record {
    pub(super) fn new(
        outcome: &Outcome,
        durations: &[(&'static str, Duration)],
        observations: &[Observation],
        (fence, completed, replica): (u64, i64, &str),
    ) -> Self {
        let duration = |(step, took): &(&str, Duration)| ((*step).to_owned(), micros(*took));
        Self {
            fence,
            completed,
            replica: replica.to_owned(),
            failure: outcome.failure.as_deref().map(str::to_owned),
            failed_step: outcome.failed_step.map(str::to_owned),
            cause: outcome.cause,
            result: outcome.result.as_str().to_owned(),
            response_time: micros(outcome.response_time),
            durations: durations.iter().map(duration).collect(),
            observations: observations.iter().map(Quantity::from).collect(),
        }
    }

    /// The text of the record, preceded by its authentication code. Observations are left out if it would be too large otherwise.
    pub(super) fn seal(mut self, key: &hmac::Key) -> Option<String> {
        let mut text = serde_json::to_string(&self).ok()?;
        if text.len() + MAC_LENGTH > MAX_SIZE {
            self.observations.clear();
            text = serde_json::to_string(&self).ok()?;
        }
        let mac = hmac::sign(key, text.as_bytes());
        Some(HEXLOWER.encode(mac.as_ref()) + &text)
    }

    /// Reads a record, or returns why it is ignored. `now` is the time of the store, whose keys expire at `max_age`.
    pub(super) fn open(
        sealed: &[u8],
        key: &hmac::Key,
        now: i64,
        max_age: Duration,
    ) -> Result<Self, &'static str> {
        if sealed.len() > MAX_SIZE {
            return Err("it is too large");
        }
        let (mac, text) = sealed.split_at_checked(MAC_LENGTH).ok_or("it is not authenticated")?;
        let mac = HEXLOWER.decode(mac).map_err(|_| "it is not authenticated")?;
        hmac::verify(key, text, &mac).map_err(|_| "it is not authenticated")?;
        let record: Self = serde_json::from_slice(text).map_err(|_| "it is malformed")?;
        if record.completed.saturating_sub(now) > as_micros(TOLERANCE) {
            return Err("it is from the future");
        }
        // Its key has expired since, and it was stored again.
        if now.saturating_sub(record.completed) > as_micros(max_age) {
            return Err("it is too old");
        }
        Ok(record)
    }

    pub(super) fn outcome(&self, target: &str, completed: std::time::Instant) -> Outcome {
        let seen_by = |line: &str| seen_by(line, target, &self.replica);
        let result = RunResult::ALL.into_iter().find(|result| result.as_str() == self.result);
        Outcome {
            failure: self.failure.as_deref().map(|line| seen_by(line).into()),
            failed_step: self.failed_step.as_deref().map(intern),
            cause: self.cause,
            response_time: Duration::from_micros(self.response_time),
            completed,
            result: result.unwrap_or(RunResult::Failed),
            blocks: false,
            seen_by: Some(self.replica.as_str().into()),
        }
    }

    pub(super) fn durations(&self) -> Vec<(&'static str, Duration)> {
        let duration = |(step, took): &(String, u64)| (intern(step), Duration::from_micros(*took));
        self.durations.iter().map(duration).collect()
    }

    pub(super) fn observations(self) -> Vec<Observation> {
        self.observations.into_iter().map(Observation::from).collect()
    }
}

impl From<&Observation> for Quantity {
    fn from(observation: &Observation) -> Self {
        let since = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        match observation {
            Observation::CertificateExpiry(at) => Self::CertificateExpiry(micros(since(*at))),
            Observation::VaultTokenExpiry(at) => Self::VaultTokenExpiry(micros(since(*at))),
            Observation::QueueMessages(name, count) => {
                Self::QueueMessages(name.to_string(), *count)
            }
            Observation::QueueConsumers(name, count) => {
                Self::QueueConsumers(name.to_string(), *count)
            }
            Observation::HistoryStage(stage, took) => {
                Self::HistoryStage((*stage).to_owned(), micros(*took))
            }
            Observation::PostgresReplicationLag(lag) => Self::PostgresReplicationLag(micros(*lag)),
            Observation::PostgresConnections(count) => Self::PostgresConnections(*count),
            Observation::PostgresConnectionsMax(max) => Self::PostgresConnectionsMax(*max),
            Observation::RedisReplicationLag(bytes) => Self::RedisReplicationLag(*bytes),
            Observation::CeleryWorkers(count) => Self::CeleryWorkers(*count),
            Observation::CeleryWorkersExpected(count) => Self::CeleryWorkersExpected(*count),
        }
    }
}

impl From<Quantity> for Observation {
    fn from(quantity: Quantity) -> Self {
        let at = |micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        match quantity {
            Quantity::CertificateExpiry(micros) => Self::CertificateExpiry(at(micros)),
            Quantity::VaultTokenExpiry(micros) => Self::VaultTokenExpiry(at(micros)),
            Quantity::QueueMessages(name, count) => Self::QueueMessages(name.into(), count),
            Quantity::QueueConsumers(name, count) => Self::QueueConsumers(name.into(), count),
            Quantity::HistoryStage(stage, took) => {
                Self::HistoryStage(intern(&stage), Duration::from_micros(took))
            }
            Quantity::PostgresReplicationLag(lag) => {
                Self::PostgresReplicationLag(Duration::from_micros(lag))
            }
            Quantity::PostgresConnections(count) => Self::PostgresConnections(count),
            Quantity::PostgresConnectionsMax(max) => Self::PostgresConnectionsMax(max),
            Quantity::RedisReplicationLag(bytes) => Self::RedisReplicationLag(bytes),
            Quantity::CeleryWorkers(count) => Self::CeleryWorkers(count),
            Quantity::CeleryWorkersExpected(count) => Self::CeleryWorkersExpected(count),
        }
    }
}

/// Adds the replica that saw a failure to its line, before the target, which ends the line.
fn seen_by(line: &str, target: &str, replica: &str) -> String {
    let tail =
        if target.is_empty() { String::new() } else { format!(" ({})", probe::scrub(target)) };
    let (cause, tail) = match line.strip_suffix(&tail) {
        Some(cause) => (cause, tail.as_str()),
        None => (line, ""),
    };
    let note = format!(", seen by {replica}{tail}");
    let room = MAX_LINE.saturating_sub(note.chars().count());
    if cause.chars().count() <= room {
        return format!("{cause}{note}");
    }
    let kept: String = cause.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…{note}")
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn as_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn key(text: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())
    }

    /// Opens a record with the key of this name, from a key that expires after a minute.
    fn open(sealed: &str, name: &str, now: i64) -> Result<Record, &'static str> {
        Record::open(sealed.as_bytes(), &key(name), now, Duration::from_mins(1))
    }

    fn record(completed: i64, observations: &[Observation]) -> Record {
        let outcome = Outcome {
            failure: Some("connect: connection refused (db:5432)".into()),
            failed_step: Some("connect"),
            cause: u64::MAX,
            response_time: Duration::from_micros(412),
            completed: Instant::now(),
            result: RunResult::TimedOut,
            blocks: false,
            seen_by: None,
        };
        let durations = [("connect", Duration::from_micros(400))];
        Record::new(&outcome, &durations, observations, (7, completed, "pod-1"))
    }

    #[test]
    fn a_record_keeps_everything_of_a_result() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let observations = [
            Observation::CertificateExpiry(at),
            Observation::VaultTokenExpiry(at),
            Observation::QueueMessages("a".into(), 3),
            Observation::QueueConsumers("b".into(), 4),
            Observation::HistoryStage("stored", Duration::from_millis(5)),
            Observation::PostgresReplicationLag(Duration::from_millis(6)),
            Observation::CeleryWorkers(1),
            Observation::CeleryWorkersExpected(2),
        ];
        let sealed = record(NOW, &observations).seal(&key("a")).expect("a record");
        let opened = open(&sealed, "a", NOW).expect("it is authentic");
        assert_eq!((opened.fence, opened.completed), (7, NOW));
        let outcome = opened.outcome("db:5432", Instant::now());
        let line = "connect: connection refused, seen by pod-1 (db:5432)";
        assert_eq!(outcome.failure.as_deref(), Some(line));
        assert_eq!((outcome.failed_step, outcome.cause), (Some("connect"), u64::MAX));
        assert_eq!(outcome.result, RunResult::TimedOut);
        assert_eq!(opened.durations(), [("connect", Duration::from_micros(400))]);
        assert_eq!(opened.observations(), observations);
    }

    #[test]
    fn only_an_authentic_record_of_the_present_is_read() {
        let sealed = record(NOW, &[]).seal(&key("a")).expect("a record");
        let open = |sealed: &str, name: &str, now| open(sealed, name, now).map(drop);
        assert_eq!(open(&sealed, "a", NOW - 1_000_000), Ok(()));
        assert_eq!(open(&sealed, "a", NOW - 1_000_001), Err("it is from the future"));
        assert_eq!(open(&sealed, "a", NOW + 60_000_000), Ok(()));
        assert_eq!(open(&sealed, "a", NOW + 60_000_001), Err("it is too old"));
        let changed = sealed.replace("\"fence\":7", "\"fence\":8");
        for (text, name) in [(&*sealed, "b"), (&changed, "a"), ("", "a"), (&"é".repeat(99), "a")] {
            assert_eq!(open(text, name, NOW), Err("it is not authenticated"), "{text}");
        }
        assert_eq!(open(&"x".repeat(MAX_SIZE + 1), "a", NOW), Err("it is too large"));
    }

    #[test]
    fn too_many_observations_are_left_out() {
        let queue = |at: usize| Observation::QueueMessages(format!("queue-{at}").into(), 1);
        let many: Vec<_> = (0..1000).map(queue).collect();
        let sealed = record(NOW, &many).seal(&key("a")).expect("a record");
        let opened = open(&sealed, "a", NOW).expect("it is authentic");
        assert!(opened.observations().is_empty());
    }

    #[test]
    fn a_line_that_names_the_replica_keeps_its_length_and_its_target() {
        let line = format!("query: {} (db:5432)", "é".repeat(282));
        let named = seen_by(&line, "db:5432", "pod-1");
        assert_eq!(named.chars().count(), MAX_LINE);
        assert!(named.ends_with("é…, seen by pod-1 (db:5432)"), "{named}");
        assert_eq!(seen_by("read secret: no", "", "pod-1"), "read secret: no, seen by pod-1");
    }
}
