//! Secrets that do not print, and the scrubbing of text that leaves the process.

mod fingerprint;
mod registry;
mod scrub;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use zeroize::{Zeroize as _, Zeroizing};

use self::registry::REGISTRY;

pub use self::fingerprint::Fingerprint;
pub use self::scrub::scrub;

/// Shorter values are not masked: they occur by chance.
const SHORTEST_MASKED: usize = 4;

/// Words that are not masked, since the gateway's own lines, targets and names contain them.
#[rustfmt::skip]
const COMMON_WORDS: &[&str] = &[
    "admin", "app", "application", "cache", "celery", "clickhouse", "database", "default", "demo",
    "development", "guest", "health", "health-gateway", "history", "local", "localhost", "main",
    "message", "minio", "monitor", "monitoring", "mysql", "password", "postgres", "postgresql",
    "primary", "prod", "production", "public", "rabbit", "rabbitmq", "read", "readonly", "redis",
    "replica", "root", "secret", "server", "staging", "status", "system", "test", "testing",
    "timeout", "token", "unknown", "user", "username", "vault", "websocket", "worker", "write",
];

/// The text of a secret.
type Text = Arc<Zeroizing<String>>;

/// A password, a token or a key. It prints as `***`, and its memory is wiped after it is dropped: some minutes later, if it is masked.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

struct Inner {
    text: Text,
    is_masked: AtomicBool,
}

impl Secret {
    /// Makes `text` a secret that is masked in all output. Equal secrets share one copy in memory.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = Arc::new(Zeroizing::new(text.into()));
        if is_maskable(&text) {
            text = REGISTRY.lock().add(&text);
        }
        Self(Arc::new(Inner { text, is_masked: AtomicBool::new(true) }))
    }

    /// Makes `text` a secret that is not masked before [`Self::mask`], because nothing uses it as a secret yet: what is stored beside a password may be a port, and the key of a shared connection never occurs in a text.
    pub fn unmasked(text: impl Into<String>) -> Self {
        let text = Arc::new(Zeroizing::new(text.into()));
        Self(Arc::new(Inner { text, is_masked: AtomicBool::new(false) }))
    }

    /// An unmasked secret of several parts. While it grows, no copy of its beginning remains in memory.
    pub fn formatted(parts: fmt::Arguments<'_>) -> Self {
        let mut text = Growing::default();
        // Writing to a text does not fail.
        fmt::Write::write_fmt(&mut text, parts).ok();
        Self::unmasked(std::mem::take(&mut *text.0))
    }

    /// Masks the secret in all output, for as long as it exists and a while longer.
    pub fn mask(&self) {
        if !self.0.is_masked.swap(true, Ordering::Relaxed) && is_maskable(self.expose()) {
            REGISTRY.lock().add(&self.0.text);
        }
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0.text
    }

    /// Whether the text cannot be masked, because it is too short or a common word and occurs in other texts by chance.
    pub fn is_unmaskable(&self) -> bool {
        !self.expose().is_empty() && !is_maskable(self.expose())
    }
}

/// Wipes the secrets that were dropped long enough ago to be masked no longer, which otherwise happens only when another one is dropped.
pub fn wipe_dropped_secrets() {
    REGISTRY.lock().forget_expired(Instant::now());
}

/// Appends to a text with secrets. If it has to be moved, the old place is wiped.
pub fn append_secret(text: &mut String, more: &str) {
    if text.capacity() < text.len() + more.len() {
        let mut moved = String::with_capacity(2 * (text.len() + more.len()));
        moved.push_str(text);
        text.zeroize();
        *text = moved;
    }
    text.push_str(more);
}

/// Appends what is written as [`append_secret`] does.
#[derive(Default)]
struct Growing(Zeroizing<String>);

impl fmt::Write for Growing {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        append_secret(&mut self.0, more);
        Ok(())
    }
}

/// Whether `text` is masked. A number of at most five digits is a port.
fn is_maskable(text: &str) -> bool {
    let is_port = text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_common = COMMON_WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    text.chars().count() >= SHORTEST_MASKED && !is_port && !is_common
}

impl Drop for Inner {
    fn drop(&mut self) {
        if *self.is_masked.get_mut() && is_maskable(&self.text) {
            REGISTRY.lock().remove(&self.text, Instant::now());
        }
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(scrub::MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hunter2-printed")), "***");
    }

    #[test]
    fn equal_secrets_share_one_copy() {
        let [one, other] = [Secret::new("hunter2-shared"), Secret::new("hunter2-shared")];
        assert_eq!(one.expose().as_ptr(), other.expose().as_ptr());
    }

    #[test]
    fn a_formatted_secret_has_all_of_its_parts() {
        let parts = ["hunter2", &"x".repeat(100)];
        let secret = Secret::formatted(format_args!("{parts:?}\0{}", 7));
        assert_eq!(secret.expose(), format!("{parts:?}\0{}", 7));
    }

    #[test]
    fn a_secret_is_masked_after_it_was_dropped() {
        drop(Secret::new("hunter2-rotated"));
        assert_eq!(scrub("bad key hunter2-rotated"), "bad key ***");
    }

    #[test]
    fn a_value_is_masked_once_it_is_used_as_a_secret() {
        let value = Secret::unmasked("db-internal-7");
        assert_eq!(scrub("db-internal-7:5432"), "db-internal-7:5432");
        value.mask();
        assert_eq!(scrub("db-internal-7:5432"), "***:5432");
    }

    #[test]
    fn ports_short_texts_and_common_words_are_not_masked() {
        for text in ["5432", "65535", "abc", "health", "app", "Postgres", "password", "ü€"] {
            let secret = Secret::new(text);
            assert!(secret.is_unmaskable(), "{text}");
            assert_eq!(scrub(text), text);
        }
        for text in ["543210", "1a2b", "healthy7", "€€€€"] {
            let secret = Secret::new(text);
            assert!(!secret.is_unmaskable(), "{text}");
            assert_eq!(scrub(text), "***");
        }
        assert!(!Secret::new("").is_unmaskable(), "there is nothing to hide");
    }
}
