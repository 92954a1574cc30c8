//! The objects that a check writes: how they are named, and which of them are still to be removed.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What stands between the configured prefix and a canary's own name.
const FOLDER: &str = "health-gateway/";

/// What every canary holds, for whoever finds one.
pub(super) const CONTENT: &[u8] =
    b"Written by health-gateway to see that writing works. It may be removed.\n";

/// A canary that is older was left behind: no run takes that long, and no two clocks differ that much.
const OLD: Duration = Duration::from_mins(30);

/// A key of its own for one run: `<prefix>health-gateway/<unix time>-<random>`.
pub(super) fn fresh(prefix: &str) -> String {
    let random: u64 = rand::random();
    format!("{prefix}{FOLDER}{}-{random:016x}", unix_time())
}

/// The one key of those who may write and not remove: overwritten by each run, so that nothing piles up.
pub(super) fn only(prefix: &str) -> String {
    format!("{prefix}{FOLDER}canary")
}

/// A key that nobody writes.
pub(super) fn absent(prefix: &str) -> String {
    format!("{prefix}{FOLDER}absent")
}

/// Where all canaries are.
pub(super) fn folder(prefix: &str) -> String {
    format!("{prefix}{FOLDER}")
}

/// Whether `key` is that of a canary from a run that ended long ago.
pub(super) fn is_old(prefix: &str, key: &str) -> bool {
    let written = || {
        let (time, random) = key.strip_prefix(prefix)?.strip_prefix(FOLDER)?.split_once('-')?;
        let is_random = random.len() == 16 && u64::from_str_radix(random, 16).is_ok();
        time.parse::<u64>().ok().filter(|_| is_random)
    };
    written().is_some_and(|time| time.saturating_add(OLD.as_secs()) < unix_time())
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// What earlier runs may have left behind.
#[derive(Default)]
pub(super) struct Leftovers(Mutex<State>);

#[derive(Default)]
struct State {
    /// Written, perhaps, and not seen to be removed.
    keys: BTreeSet<String>,
    /// When to look for what is known to nobody any more.
    sweep: Sweep,
}

#[derive(Default)]
enum Sweep {
    /// What a process before this one has left.
    #[default]
    First,
    /// What was too young the last time, or arrived later than its removal.
    At(Instant),
    Done,
}

impl Leftovers {
    /// Notes a key that is about to be written.
    pub(super) fn add(&self, key: &str) {
        self.state().keys.insert(key.to_owned());
    }

    /// Notes that there is no object of this key.
    pub(super) fn remove(&self, key: &str) {
        self.state().keys.remove(key);
    }

    /// The keys to be removed.
    ///
    /// If there are any, a run was cut off, and what it had sent may arrive later than its removal.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut state = self.state();
        if !state.keys.is_empty() {
            state.sweep = Sweep::At(Instant::now() + OLD);
        }
        state.keys.iter().cloned().collect()
    }

    /// Whether it is time to look for what is known to nobody any more.
    pub(super) fn is_sweep_due(&self) -> bool {
        let mut state = self.state();
        state.sweep = match state.sweep {
            Sweep::First => Sweep::At(Instant::now() + OLD),
            Sweep::At(time) if time <= Instant::now() => Sweep::Done,
            Sweep::At(_) | Sweep::Done => return false,
        };
        true
    }

    /// There was more than one sweep removes.
    pub(super) fn sweep_again(&self) {
        self.state().sweep = Sweep::At(Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_old_canary_of_our_own_is_swept_up() {
        assert!(is_old("app/", "app/health-gateway/1700000000-0123456789abcdef"));
        for key in [
            fresh("app/").as_str(),
            &only("app/"),
            &absent("app/"),
            "app/1700000000-0123456789abcdef",
            "health-gateway/1700000000-0123456789abcdef",
            "app/health-gateway/1700000000-0123456789abcde",
            "app/health-gateway/1700000000-0123456789abcdeg",
            "app/health-gateway/report-0123456789abcdef",
        ] {
            assert!(!is_old("app/", key), "{key}");
        }
    }

    #[test]
    fn the_first_run_sweeps_and_the_next_does_not() {
        let leftovers = Leftovers::default();
        assert!(leftovers.is_sweep_due());
        assert!(!leftovers.is_sweep_due());
    }
}
