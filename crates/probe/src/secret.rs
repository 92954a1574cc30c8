//! Secrets that do not print, and the scrubbing of text that leaves the process.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use zeroize::Zeroizing;

/// Shorter values are not masked: they occur by chance within other words.
const SHORTEST_SCRUBBED: usize = 4;

/// Replaces a secret in a text.
const MASK: &str = "***";

/// Every secret in memory, for [`scrub`].
static LIVE_SECRETS: Mutex<Vec<Weak<Zeroizing<String>>>> = Mutex::new(Vec::new());

/// A password, a token or a key. It prints as `***`, and its memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Makes `text` a secret and registers it for [`scrub`].
    pub fn new(text: impl Into<String>) -> Self {
        let secret = Arc::new(Zeroizing::new(text.into()));
        let mut alive = LIVE_SECRETS.lock();
        if alive.len() == alive.capacity() {
            alive.retain(|known| known.strong_count() > 0);
        }
        alive.push(Arc::downgrade(&secret));
        Self(secret)
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Masks every secret in memory, and the user-info of every URL, in `text`.
///
/// The gateway's own messages contain no secrets by construction. Errors of servers and libraries may.
pub fn scrub(text: &str) -> String {
    let mut clean = without_user_info(text);
    let mut found: Vec<_> = {
        let alive = LIVE_SECRETS.lock();
        alive
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|secret| secret.len() >= SHORTEST_SCRUBBED)
            .filter(|secret| clean.contains(secret.as_str()) || clean.contains(&in_json(secret)))
            .collect()
    };
    // The longest first: a secret may be part of another, such as a password of a URL.
    found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in found {
        clean = clean.replace(secret.as_str(), MASK).replace(&in_json(&secret), MASK);
    }
    clean
}

/// `secret` as it is escaped within a JSON string: log lines are JSON.
fn in_json(secret: &str) -> String {
    secret.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Masks the text between `://` and the last `@` of a URL's authority.
fn without_user_info(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let authority = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '`'))
            .unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(end) => {
                clean.push_str(MASK);
                &after[end..]
            }
            None => after,
        };
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hunter2-printed")), "***");
    }

    #[test]
    fn every_occurrence_of_a_secret_is_masked() {
        let _secret = Secret::new("hunter2-alive");
        assert_eq!(scrub("bad key hunter2-alive, again hunter2-alive"), "bad key ***, again ***");
    }

    #[test]
    fn a_secret_within_another_secret_is_masked_with_it() {
        let _part = Secret::new("hunter2-part");
        let _whole = Secret::new("key=hunter2-part;more");
        assert_eq!(scrub("sent key=hunter2-part;more"), "sent ***");
    }

    #[test]
    fn a_secret_is_masked_in_json() {
        let _secret = Secret::new(r#"hunter2"quoted\"#);
        assert_eq!(scrub(r#"{"text":"hunter2\"quoted\\"}"#), r#"{"text":"***"}"#);
    }

    #[test]
    fn user_info_is_masked_in_any_url() {
        assert_eq!(
            scrub("redis://me:p@ss@cache:6379/1 and http://x/y@z"),
            "redis://***@cache:6379/1 and http://x/y@z"
        );
    }
}
