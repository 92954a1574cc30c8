//! The times at which the gateway runs a check by itself, without a caller.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

/// The beginning of all schedules. Since they do not begin anew with a configuration, an unrelated change of it delays no run.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The name of this pod, or of this machine.
pub(crate) static HOST: LazyLock<Vec<u8>> =
    LazyLock::new(|| rustix::system::uname().nodename().to_bytes().to_owned());

/// Repeats at an interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    interval: Duration,
    offset: Duration,
    /// How long after its time this replica runs a check with shared results, or `None` if they are not shared.
    delay: Option<Duration>,
}

impl Schedule {
    /// The schedule of a check, or `None` if its interval is zero.
    ///
    /// Its offset within the interval depends on the namespace, the check and the pod, so that neither checks nor replicas run in step.
    pub(super) fn new(interval: Duration, namespace: &str, check: &str) -> Option<Self> {
        Self::on_host(&HOST, interval, namespace, check)
    }

    /// The schedule of a check with results that replicas share.
    ///
    /// Its times count from the last result, whichever replica it is from. Each replica has a delay of its own, so that the others usually have the result of the first before their time comes.
    pub(super) fn shared(interval: Duration, namespace: &str, check: &str) -> Option<Self> {
        let Self { offset: delay, .. } = Self::on_host(&HOST, interval / 10, namespace, check)?;
        Some(Self { delay: Some(delay), ..Self::on_host(b"", interval, namespace, check)? })
    }

    fn on_host(host: &[u8], interval: Duration, namespace: &str, check: &str) -> Option<Self> {
        if interval.is_zero() {
            return None;
        }
        let mut digest = Sha256::new();
        for part in [host, namespace.as_bytes(), check.as_bytes()] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest.finalize());
        let fraction = f64::from(u32::from_le_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0);
        Some(Self { interval, offset: interval.mul_f64(fraction), delay: None })
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Its first time after a result that was complete then.
    pub(super) fn after_result(&self, completed: Instant) -> Instant {
        match self.delay {
            None => self.next_after(completed),
            Some(delay) => completed + self.interval + delay,
        }
    }

    /// Its first time after `now`.
    pub(super) fn next_after(&self, now: Instant) -> Instant {
        let first = *EPOCH + self.offset;
        let Some(elapsed) = now.checked_duration_since(first) else { return first };
        let since_last = elapsed.as_nanos() % self.interval.as_nanos();
        let since_last = Duration::from_nanos(u64::try_from(since_last).unwrap_or_default());
        now + self.interval.saturating_sub(since_last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn schedule(host: &str, check: &str) -> Schedule {
        Schedule::on_host(host.as_bytes(), INTERVAL, "tests", check).expect("an interval")
    }

    #[test]
    fn the_times_of_a_schedule_are_an_interval_apart() {
        let schedule = schedule("pod-1", "redis");
        let first = schedule.next_after(*EPOCH);
        assert!(first - *EPOCH <= INTERVAL);
        assert_eq!(schedule.next_after(first), first + INTERVAL);
        let shortly_after = first + INTERVAL * 7 + Duration::from_nanos(1);
        assert_eq!(schedule.next_after(shortly_after), first + INTERVAL * 8);
    }

    #[test]
    fn neither_checks_nor_replicas_run_in_step() {
        let checks = (0..100).map(|check| schedule("pod-1", &format!("cache.{check}")));
        let replicas = (0..100).map(|pod| schedule(&format!("pod-{pod}"), "redis"));
        for mut offsets in
            [checks.map(|it| it.offset).collect::<Vec<_>>(), replicas.map(|it| it.offset).collect()]
        {
            offsets.sort();
            assert!(offsets.iter().all(|offset| *offset < INTERVAL));
            // Evenly distributed offsets would leave 0.3 s between two.
            let gap = offsets.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
            assert!(gap < Some(INTERVAL / 10), "{gap:?}");
        }
    }

    #[test]
    fn the_times_of_a_shared_check_count_from_the_last_result_of_any_replica() {
        let shared = Schedule::shared(INTERVAL, "tests", "redis").expect("an interval");
        let now = Instant::now();
        let due = shared.after_result(now);
        assert!(due >= now + INTERVAL && due < now + INTERVAL + INTERVAL / 10);
        assert_eq!(shared.offset, schedule("", "redis").offset, "the same on every pod");
    }

    #[test]
    fn without_an_interval_there_is_no_schedule() {
        assert!(Schedule::new(Duration::ZERO, "tests", "redis").is_none());
    }
}
