//! The secrets that are masked, with an index.
//!
//! The time to search a text does not grow with their number.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::Text;

/// How long a secret that was dropped is still masked: a text about it may be on its way.
const KEPT_AFTER_DROP: Duration = Duration::from_mins(10);

/// The maximum number of dropped secrets that are still masked.
const MAX_DROPPED: usize = 1000;

/// How many bytes the index compares. A secret that is masked has at least as many.
const PREFIX: usize = 4;

/// The secrets of this process.
pub(super) static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());

/// Some secrets, in all forms in which they are masked.
pub(super) struct Registry {
    /// The forms by their first bytes, and by their text.
    forms: BTreeMap<[u8; PREFIX], BTreeMap<Written, Vec<Form>>>,
    /// The secrets that were dropped, in that order.
    dropped: VecDeque<(Instant, Text)>,
}

/// A form as it is written, in the order of its bytes.
#[derive(PartialEq, Eq)]
struct Written(Text);

impl Ord for Written {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

impl PartialOrd for Written {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<[u8]> for Written {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A form of a secret. Several secrets may have the same.
struct Form {
    secret: Text,
    /// How many values have the secret.
    users: usize,
    /// When the last of them was dropped.
    dropped: Option<Instant>,
}

impl Registry {
    const fn new() -> Self {
        Self { forms: BTreeMap::new(), dropped: VecDeque::new() }
    }

    /// Masks `secret` until [`Self::remove`] is called as often as this, and for a while longer. Returns the copy of it that is kept for that.
    pub(super) fn add(&mut self, secret: &Text) -> Text {
        let (mut was_dropped, mut kept) = (false, secret.clone());
        for written in forms(secret) {
            let Some(prefix) = written.as_bytes().first_chunk() else { continue };
            let bucket = self.forms.entry(*prefix).or_default();
            let forms = bucket.entry(Written(written)).or_default();
            if let Some(form) = forms.iter_mut().find(|form| form.secret == *secret) {
                form.users += 1;
                was_dropped |= form.dropped.take().is_some();
                kept = form.secret.clone();
            } else {
                forms.push(Form { secret: kept.clone(), users: 1, dropped: None });
            }
        }
        // It is there once, and mostly among the last.
        if was_dropped && let Some(at) = self.dropped.iter().rposition(|(_, text)| *text == kept) {
            self.dropped.remove(at);
        }
        kept
    }

    pub(super) fn remove(&mut self, secret: &Text, now: Instant) {
        let mut dropped = None;
        for written in forms(secret) {
            let bucket = written.as_bytes().first_chunk().and_then(|it| self.forms.get_mut(it));
            let forms = bucket.and_then(|bucket| bucket.get_mut(written.as_bytes()));
            let form = forms.and_then(|it| it.iter_mut().find(|form| form.secret == *secret));
            let Some(form) = form else { continue };
            form.users = form.users.saturating_sub(1);
            if form.users == 0 {
                form.dropped = Some(now);
                // The caller's copy is wiped, if it is another one.
                dropped = Some(form.secret.clone());
            }
        }
        self.dropped.extend(dropped.map(|text| (now, text)));
        self.forget_expired(now);
    }

    /// Removes the secrets that were dropped so long ago that they are not masked at `now`, and the oldest of too many.
    pub(super) fn forget_expired(&mut self, now: Instant) {
        let has_expired = |since: &Instant| now.duration_since(*since) >= KEPT_AFTER_DROP;
        while self.dropped.len() > MAX_DROPPED
            || self.dropped.front().is_some_and(|(since, _)| has_expired(since))
        {
            let Some((_, text)) = self.dropped.pop_front() else { return };
            self.forget(&text);
        }
    }

    /// Removes a secret that was dropped, so that its memory is wiped.
    fn forget(&mut self, secret: &Text) {
        for written in forms(secret) {
            let Some(prefix) = written.as_bytes().first_chunk() else { continue };
            let Some(bucket) = self.forms.get_mut(prefix) else { continue };
            let Some(forms) = bucket.get_mut(written.as_bytes()) else { continue };
            forms.retain(|form| form.users > 0 || form.secret != *secret);
            if forms.is_empty() {
                bucket.remove(written.as_bytes());
            }
            if bucket.is_empty() {
                self.forms.remove(prefix);
            }
        }
    }

    /// Where `bytes` contains secrets, each with its number of characters.
    pub(super) fn find(&self, bytes: &[u8], now: Instant) -> Vec<(Range<usize>, usize)> {
        let mut found = Vec::new();
        for (start, prefix) in bytes.array_windows::<PREFIX>().enumerate() {
            let Some(bucket) = self.forms.get(prefix) else { continue };
            // Every form that the rest begins with is at most the rest, and the greatest of them is the longest.
            let mut rest = &bytes[start..];
            while let Some((Written(written), forms)) =
                bucket.range::<[u8], _>((Bound::Unbounded, Bound::Included(rest))).next_back()
            {
                let common = written.bytes().zip(rest).take_while(|(a, b)| a == *b).count();
                if common < PREFIX {
                    break;
                }
                rest = &rest[..common];
                if common == written.len() {
                    let masked = forms.iter().filter(|form| form.is_masked(now));
                    found.extend(
                        masked.map(|form| (start..start + common, form.secret.chars().count())),
                    );
                    rest = &rest[..common - 1];
                }
            }
        }
        found
    }
}

impl Form {
    fn is_masked(&self, now: Instant) -> bool {
        self.dropped.is_none_or(|since| now.duration_since(since) < KEPT_AFTER_DROP)
    }
}

/// `secret` as it is, as it is escaped in a string of JSON, since log lines are JSON, and as an HTML form encodes its spaces.
fn forms(secret: &Text) -> Vec<Text> {
    let mut forms = vec![secret.clone()];
    if secret.contains(['\\', '"', '\n', '\r', '\t']) {
        forms.push(written(secret, |character| match character {
            '\\' => Some("\\\\"),
            '"' => Some("\\\""),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            _ => None,
        }));
    }
    if secret.contains(' ') {
        forms.push(written(secret, |character| (character == ' ').then_some("+")));
    }
    forms
}

/// `secret` with other texts of at most two bytes for some characters. No copy of a part remains in memory.
fn written(secret: &Text, replacement: impl Fn(char) -> Option<&'static str>) -> Text {
    let mut text = Zeroizing::new(String::with_capacity(2 * secret.len()));
    for character in secret.chars() {
        match replacement(character) {
            Some(other) => text.push_str(other),
            None => text.push(character),
        }
    }
    Arc::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(secret: &str) -> Text {
        Arc::new(Zeroizing::new(secret.to_owned()))
    }

    #[test]
    fn a_secret_is_found_until_some_time_after_its_last_user_has_dropped_it() {
        let (mut registry, begun) = (Registry::new(), Instant::now());
        let found = |registry: &Registry, now| registry.find(b"a hunter2 and hunter2", now).len();
        registry.add(&text("hunter2"));
        registry.add(&text("hunter2"));
        registry.remove(&text("hunter2"), begun);
        assert_eq!(found(&registry, begun + KEPT_AFTER_DROP), 2);
        registry.remove(&text("hunter2"), begun);
        assert_eq!(found(&registry, begun), 2);
        assert_eq!(found(&registry, begun + KEPT_AFTER_DROP), 0);
        registry.add(&text("hunter2"));
        assert_eq!(found(&registry, begun + KEPT_AFTER_DROP), 2, "it is used again");
        assert!(registry.dropped.is_empty());
    }

    #[test]
    fn all_secrets_that_begin_at_one_place_are_found() {
        let mut registry = Registry::new();
        for secret in ["hunter", "hunter22", "hunter2", "huntress", "hunt", "zebra", "hunter3"] {
            registry.add(&text(secret));
        }
        let found = registry.find(b"a hunter22! hunting", Instant::now());
        let places: Vec<_> = found.into_iter().map(|(range, _)| range).collect();
        assert_eq!(places, [2..10, 2..9, 2..8, 2..6, 12..16]);
    }

    #[test]
    fn equal_secrets_share_one_copy_which_is_wiped_some_time_after_the_last_was_dropped() {
        let (mut registry, begun) = (Registry::new(), Instant::now());
        let first = text("hunter2 \"quoted\"");
        let weak = Arc::downgrade(&first);
        assert!(Arc::ptr_eq(&registry.add(&first), &first));
        let other = text(&first);
        assert!(Arc::ptr_eq(&registry.add(&other), &first));
        registry.remove(&other, begun);
        registry.remove(&other, begun);
        drop(first);
        registry.forget_expired(begun);
        assert!(weak.upgrade().is_some(), "a text about it may be on its way");
        // No other secret is dropped.
        registry.forget_expired(begun + KEPT_AFTER_DROP);
        assert!(weak.upgrade().is_none() && registry.forms.is_empty());
    }

    #[test]
    fn nothing_remains_of_secrets_that_were_dropped_long_ago() {
        let (mut registry, begun) = (Registry::new(), Instant::now());
        for number in 0..=MAX_DROPPED {
            let secret = text(&format!("the \"secret\" {number}"));
            registry.add(&secret);
            registry.remove(&secret, begun);
        }
        assert_eq!(registry.dropped.len(), MAX_DROPPED);
        assert!(
            registry.find(b"the \"secret\" 0", begun).is_empty(),
            "only the last ones are kept"
        );
        assert_eq!(registry.find(b"the+\"secret\"+7 the \\\"secret\\\" 7", begun).len(), 2);
        registry.remove(&text("another"), begun + KEPT_AFTER_DROP);
        assert!(registry.forms.is_empty() && registry.dropped.is_empty());
    }
}
