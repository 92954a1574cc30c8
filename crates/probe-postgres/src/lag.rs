//! How far a replica is behind its primary.

use std::time::Duration;

use parking_lot::Mutex;
use probe::config::Fields;
use probe::{Failure, Observation, Steps, in_seconds};
use tokio::time::{Instant, sleep};

use crate::error;
use crate::role::Role;
use crate::session::Session;

const STEP: &str = "lag";

/// Whether all that was received has been replayed, whether more can be received, whether the replay is paused, and the age of the last transaction in milliseconds.
///
/// The age alone says nothing while the primary is idle. To users other than the superuser, the server shows only that the receiver is connected.
const LAG_QUERY: &str = "SELECT COALESCE(pg_catalog.pg_last_wal_receive_lsn() <= pg_catalog.pg_last_wal_replay_lsn(), false), EXISTS(SELECT FROM pg_catalog.pg_stat_wal_receiver), pg_catalog.pg_is_wal_replay_paused(), pg_catalog.round(1000 * EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - COALESCE(pg_catalog.pg_last_xact_replay_timestamp(), pg_catalog.pg_postmaster_start_time())))";

/// How often, and at most how many times, a lag is measured again: after an idle time, the age of the last transaction is large until the first new one is replayed.
const REPEAT_INTERVAL: Duration = Duration::from_millis(100);
const REPETITIONS: usize = 5;

/// The largest lag that the application tolerates.
pub(crate) struct MaxLag {
    limit: Duration,
    /// When the replica was seen to have replayed everything.
    up_to_date: Mutex<Option<Instant>>,
}

/// What a replica reports.
struct ReplayState {
    is_up_to_date: bool,
    is_connected: bool,
    is_paused: bool,
    /// How long ago the last replayed transaction was committed.
    age: Duration,
}

impl MaxLag {
    /// Reads `max_lag`, and records an error if the application needs no replica.
    pub(crate) fn read(fields: &mut Fields<'_>, role: Option<Role>) -> Option<Self> {
        let limit = fields.optional("max_lag")?;
        if role != Some(Role::Replica) {
            fields.error("max_lag", "expected `role = \"replica\"`");
        }
        Some(Self { limit, up_to_date: Mutex::default() })
    }

    /// Fails if the replica of this session is further behind.
    pub(crate) async fn verify(&self, session: &Session, steps: &Steps) -> Result<(), Failure> {
        steps.begin(STEP);
        let mut repetitions = 0;
        loop {
            let state = replay_state(session).await?;
            let lag = self.lag(&state);
            steps.observe(Observation::PostgresReplicationLag(lag));
            if lag <= self.limit {
                return Ok(());
            }
            if repetitions == REPETITIONS {
                return Err(Failure::msg(STEP, describe(&state, lag, self.limit)));
            }
            repetitions += 1;
            sleep(REPEAT_INTERVAL).await;
        }
    }

    /// The largest possible lag: at most the time since the replica was up to date, since the primary may have been idle before.
    fn lag(&self, state: &ReplayState) -> Duration {
        let mut up_to_date = self.up_to_date.lock();
        if state.is_up_to_date && state.is_connected {
            *up_to_date = Some(Instant::now());
        }
        up_to_date.map_or(state.age, |seen| seen.elapsed().min(state.age))
    }
}

async fn replay_state(session: &Session) -> Result<ReplayState, Failure> {
    let rows = session.query(LAG_QUERY).await.map_err(|cause| Failure::new(STEP, cause))?;
    let parse = || {
        let row = rows.first()?;
        let value = |column| row.try_get(column).ok().flatten();
        let flag = |column| Some(value(column)? == "t");
        // The clock of the primary may be ahead.
        let age = value(3)?.parse::<i64>().ok()?.max(0).unsigned_abs();
        Some(ReplayState {
            is_up_to_date: flag(0)?,
            is_connected: flag(1)?,
            is_paused: flag(2)?,
            age: Duration::from_millis(age),
        })
    };
    parse().ok_or_else(|| Failure::new(STEP, error::unexpected_answer()))
}

fn describe(state: &ReplayState, lag: Duration, limit: Duration) -> String {
    let lag = if lag < Duration::from_secs(10) {
        Duration::from_millis(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX))
    } else {
        Duration::from_secs(lag.as_secs())
    };
    let reason = match state {
        ReplayState { is_paused: true, .. } => ", replay is paused",
        ReplayState { is_connected: false, .. } => ", not connected to it",
        _ => "",
    };
    let (lag, limit) = (in_seconds(lag), in_seconds(limit));
    format!("{lag} behind the primary{reason}, expected at most {limit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(is_up_to_date: bool, is_connected: bool, seconds: u64) -> ReplayState {
        let age = Duration::from_secs(seconds);
        ReplayState { is_up_to_date, is_connected, is_paused: false, age }
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_of_a_transaction_is_no_lag_while_the_primary_is_idle() {
        let max = MaxLag { limit: Duration::from_secs(30), up_to_date: Mutex::default() };
        // Nothing is known yet but the age.
        assert_eq!(max.lag(&state(false, true, 3600)), Duration::from_hours(1));
        assert_eq!(max.lag(&state(true, true, 3600)), Duration::ZERO);
        // The first transaction after an hour was received and not yet replayed.
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(max.lag(&state(false, true, 3602)), Duration::from_secs(2));
        // What the primary has committed is unknown without a connection.
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(max.lag(&state(true, false, 3642)), Duration::from_secs(42));
        assert_eq!(max.lag(&state(false, true, 5)), Duration::from_secs(5));
    }

    #[test]
    fn a_failure_names_the_reason() {
        let (lag, limit) = (Duration::from_micros(61_234_567), Duration::from_secs(30));
        let paused = ReplayState { is_paused: true, ..state(false, true, 61) };
        let expected = "61s behind the primary, replay is paused, expected at most 30s";
        assert_eq!(describe(&paused, lag, limit), expected);
        let expected = "61s behind the primary, not connected to it, expected at most 30s";
        assert_eq!(describe(&state(true, false, 61), lag, limit), expected);
        let (lag, limit) = (Duration::from_micros(1_234_567), Duration::from_secs(1));
        let expected = "1.234s behind the primary, expected at most 1s";
        assert_eq!(describe(&state(false, true, 1), lag, limit), expected);
    }
}
