//! The objects that a check writes: their keys and their content.

use std::time::{Duration, SystemTime};

/// The folder of all canaries, below the configured prefix.
const FOLDER: &str = "health-gateway/";

/// The content of a canary, which tells an operator what it is.
pub(super) const CONTENT: &[u8] =
    b"Written by health-gateway to check that writing works. It may be removed.\n";

/// The age from which a canary is stale. No run takes that long, and no two clocks differ that much.
pub(super) const STALE_AFTER: Duration = Duration::from_mins(30);

/// The key of a single run: `<prefix>health-gateway/<unix time>-<random>`.
pub(super) fn unique_key(prefix: &str) -> String {
    let random: u64 = rand::random();
    format!("{prefix}{FOLDER}{}-{random:016x}", unix_time())
}

/// The key that each run overwrites if it may not delete, so that objects do not accumulate.
pub(super) fn fixed_key(prefix: &str) -> String {
    format!("{prefix}{FOLDER}canary")
}

/// A key that is never written.
pub(super) fn absent_key(prefix: &str) -> String {
    format!("{prefix}{FOLDER}absent")
}

/// The folder of all canaries.
pub(super) fn folder(prefix: &str) -> String {
    format!("{prefix}{FOLDER}")
}

/// Whether `key` is the unique key of a run that ended long ago.
pub(super) fn is_stale(prefix: &str, key: &str) -> bool {
    let written_at = || {
        let (time, random) = key.strip_prefix(prefix)?.strip_prefix(FOLDER)?.split_once('-')?;
        let is_random = random.len() == 16 && u64::from_str_radix(random, 16).is_ok();
        time.parse::<u64>().ok().filter(|_| is_random)
    };
    written_at().is_some_and(|time| time.saturating_add(STALE_AFTER.as_secs()) < unix_time())
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_old_unique_key_is_stale() {
        assert!(is_stale("app/", "app/health-gateway/1700000000-0123456789abcdef"));
        for key in [
            unique_key("app/").as_str(),
            &fixed_key("app/"),
            &absent_key("app/"),
            "app/1700000000-0123456789abcdef",
            "health-gateway/1700000000-0123456789abcdef",
            "app/health-gateway/1700000000-0123456789abcde",
            "app/health-gateway/1700000000-0123456789abcdeg",
            "app/health-gateway/report-0123456789abcdef",
        ] {
            assert!(!is_stale("app/", key), "{key}");
        }
    }
}
