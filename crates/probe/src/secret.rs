//! Secrets that do not print, and the last net below them: text that leaves the process is searched for every secret alive.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use zeroize::Zeroizing;

/// Shorter values are no secrets to speak of, and searching for them would tear words apart.
const SHORTEST_SCRUBBED: usize = 4;

/// What stands in a text where a secret was.
const MASK: &str = "***";

/// Every secret that is alive, so that [`scrub`] finds them wherever they came from.
static ALIVE: Mutex<Vec<Weak<Zeroizing<String>>>> = Mutex::new(Vec::new());

/// A text that must not be seen: a password, a token, a key. It prints as `***`, and its memory is wiped after use.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes `text` into custody.
    pub fn new(text: impl Into<String>) -> Self {
        let secret = Arc::new(Zeroizing::new(text.into()));
        let mut alive = ALIVE.lock();
        if alive.len() == alive.capacity() {
            alive.retain(|known| known.strong_count() > 0);
        }
        alive.push(Arc::downgrade(&secret));
        Self(secret)
    }

    /// The text itself, for the client that needs it.
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

/// `text` without any secret that is alive, and without the user-info of any URL in it.
///
/// Our own messages hold no secrets by construction; this is for the words of others: a server's error, a library's.
pub fn scrub(text: &str) -> String {
    let mut clean = without_user_info(text);
    let mut found: Vec<_> = {
        let alive = ALIVE.lock();
        alive
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|secret| secret.len() >= SHORTEST_SCRUBBED)
            .filter(|secret| clean.contains(secret.as_str()) || clean.contains(&in_json(secret)))
            .collect()
    };
    // The longest first: a secret may be part of another, for instance a password and the URL around it.
    found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in found {
        clean = clean.replace(secret.as_str(), MASK).replace(&in_json(&secret), MASK);
    }
    clean
}

/// The form that `secret` takes within a string of JSON, which is what a log line or a quoted answer is.
fn in_json(secret: &str) -> String {
    secret.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Masks what stands between `://` and the last `@` of a URL's authority.
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
    fn a_living_secret_is_masked_wherever_it_appears() {
        let _secret = Secret::new("hunter2-alive");
        assert_eq!(scrub("bad key hunter2-alive, again hunter2-alive"), "bad key ***, again ***");
    }

    #[test]
    fn a_secret_within_another_is_masked_with_it() {
        let _part = Secret::new("hunter2-part");
        let _whole = Secret::new("key=hunter2-part;more");
        assert_eq!(scrub("sent key=hunter2-part;more"), "sent ***");
    }

    #[test]
    fn a_secret_is_masked_in_json_too() {
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
