//! The secrets that can no longer be read, although their last values are still in use.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use parking_lot::Mutex;
use probe::{Failure, in_short};

use crate::kv;
use crate::shared_reads::FORGET_AFTER;

/// The paths that are read repeatedly, with the time and the result of their reads.
#[derive(Debug, Default)]
pub(crate) struct StaleSecrets(Mutex<Paths>);

#[derive(Debug, Default)]
struct Paths {
    by_path: BTreeMap<String, Reads>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Reads {
    last: Instant,
    last_success: Instant,
    failure: Option<Failure>,
}

impl StaleSecrets {
    /// Records the result of a read. Only a secret that has been read before has a value that can be in use.
    pub(crate) fn record<T>(&self, path: &str, result: &Result<T, Failure>) {
        let (mut paths, now) = (self.0.lock(), Instant::now());
        // Without a check of Vault, nothing else removes them.
        if paths.swept.is_none_or(|swept| now.duration_since(swept) >= FORGET_AFTER) {
            paths.sweep(now);
        }
        let known = paths.by_path.get_mut(path).filter(|reads| reads.is_referenced(now));
        match (result, known) {
            // Without an answer, the server's own state is reported.
            (Err(failure), Some(reads)) if !kv::is_refusal(failure) => reads.last = now,
            (Ok(_), _) => {
                let reads = Reads { last: now, last_success: now, failure: None };
                paths.by_path.insert(path.to_owned(), reads);
            }
            (Err(failure), Some(reads)) => {
                reads.last = now;
                reads.failure = Some(failure.clone());
            }
            (Err(_), None) => {}
        }
    }

    /// Describes the secrets at `paths` that could not be read the last time.
    pub(crate) fn describe(&self, paths: &BTreeSet<String>) -> Vec<String> {
        let mut known = self.0.lock();
        known.sweep(Instant::now());
        let describe = |reads: &Reads| {
            let cause = reads.failure.as_ref()?.cause();
            let age = in_short(reads.last_success.elapsed().as_secs());
            Some(format!("{}, the value of {age} ago is in use", cause.text()))
        };
        paths.iter().filter_map(|path| known.by_path.get(path)).filter_map(describe).collect()
    }
}

impl Paths {
    /// Removes the paths that were not read for a while.
    fn sweep(&mut self, now: Instant) {
        self.swept = Some(now);
        self.by_path.retain(|_, reads| reads.is_referenced(now));
    }
}

impl Reads {
    fn is_referenced(&self, now: Instant) -> bool {
        now.duration_since(self.last) < FORGET_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: &str = "permission denied for `a`";

    fn denied() -> Result<(), Failure> {
        Err(Failure::msg("read", DENIED))
    }

    fn described(secrets: &StaleSecrets) -> Vec<String> {
        secrets.describe(&["a".to_owned()].into())
    }

    #[test]
    fn only_a_secret_that_was_read_before_is_stale() {
        let secrets = StaleSecrets::default();
        secrets.record("a", &denied());
        assert_eq!(described(&secrets), [""; 0]);
        secrets.record("a", &Ok(()));
        assert_eq!(described(&secrets), [""; 0]);
        secrets.record("a", &denied());
        assert_eq!(described(&secrets), [format!("{DENIED}, the value of 0s ago is in use")]);
        secrets.record("a", &Err::<(), _>(Failure::msg("read", "no answer within 5s")));
        assert_eq!(described(&secrets).len(), 1, "still not readable");
        secrets.record("a", &Ok(()));
        secrets.record("a", &Err::<(), _>(Failure::msg("connect", "connection refused")));
        assert_eq!(described(&secrets), [""; 0]);
    }

    #[test]
    fn a_secret_that_is_not_read_any_more_is_forgotten() {
        let secrets = StaleSecrets::default();
        secrets.record("a", &Ok(()));
        secrets.record("a", &denied());
        let long_ago = Instant::now().checked_sub(FORGET_AFTER).unwrap();
        secrets.0.lock().by_path.get_mut("a").unwrap().last = long_ago;
        assert_eq!(described(&secrets), [""; 0]);
    }

    #[test]
    fn reads_alone_remove_the_paths_that_are_not_read_any_more() {
        let secrets = StaleSecrets::default();
        let long_ago = Instant::now().checked_sub(FORGET_AFTER).unwrap();
        for number in 0..1000 {
            secrets.record(&number.to_string(), &Ok(()));
        }
        {
            let mut paths = secrets.0.lock();
            paths.swept = Some(long_ago);
            paths.by_path.values_mut().for_each(|reads| reads.last = long_ago);
        }
        secrets.record("a", &Ok(()));
        assert_eq!(secrets.0.lock().by_path.keys().collect::<Vec<_>>(), ["a"]);
    }
}
