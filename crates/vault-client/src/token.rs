//! A token and its lease: how long it lives, and when it should be cared for.

use std::time::{Duration, Instant};

use http::HeaderValue;
use probe::{Failure, Secret};
use serde_json::Value;

/// What `lookup_self` says about the session's own token.
#[derive(Clone, Debug)]
pub struct TokenState {
    /// How long it is still valid; `None` if it never expires.
    pub ttl: Option<Duration>,
    /// How long it was valid when it was issued.
    pub creation_ttl: Duration,
    /// Whether the session prolongs or replaces it by itself before it expires.
    pub kept_alive: bool,
    /// Why the last attempt to do so failed.
    pub trouble: Option<Failure>,
}

/// A token, given or obtained by a login.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) header: HeaderValue,
    /// Whether a login gave it to us: then it can be replaced by another, and is ours to revoke.
    pub(crate) by_login: bool,
    /// Unknown for a given token that nobody has looked up yet.
    pub(crate) lease: Option<Lease>,
    /// Keeps the text among those that are scrubbed from everything we say.
    _secret: Secret,
}

/// How long a token lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// `None` if it never expires.
    pub(crate) expires: Option<Instant>,
    /// Its whole length.
    pub(crate) whole: Duration,
    pub(crate) renewable: bool,
    /// When half of it will be over.
    pub(crate) half: Option<Instant>,
}

impl Token {
    /// A token from a header value, see [`header_value`].
    pub(crate) fn given(secret: Secret, header: HeaderValue) -> Self {
        Self { header, by_login: false, lease: None, _secret: secret }
    }

    /// The token in the answer to a login that was `asked` for at this moment.
    pub(crate) fn from_login(auth: &Value, asked: Instant) -> Option<Self> {
        let secret = Secret::new(auth["client_token"].as_str().filter(|text| !text.is_empty())?);
        let header = header_value(secret.expose()).ok()?;
        let lease = Some(Lease::from_auth(auth, asked));
        Some(Self { header, by_login: true, lease, _secret: secret })
    }

    pub(crate) fn is_expired(&self) -> bool {
        let expires = self.lease.and_then(|lease| lease.expires);
        expires.is_some_and(|expires| expires <= Instant::now())
    }

    /// Whether it is worth trying. Of a given token Vault alone decides, for there is no other.
    pub(crate) fn is_usable(&self) -> bool {
        !(self.by_login && self.is_expired())
    }

    pub(crate) fn is_kept_alive(&self) -> bool {
        self.by_login || self.lease.is_some_and(|lease| lease.renewable)
    }

    /// When something should be done to keep the token known and alive, if anything can be.
    pub(crate) fn care_due(&self) -> Option<Instant> {
        match self.lease {
            None => Some(Instant::now()),
            Some(_) if self.is_expired() || !self.is_kept_alive() => None,
            Some(lease) => lease.half,
        }
    }
}

impl Lease {
    /// The lease in the answer to a login or a renewal.
    ///
    /// It is counted from when it was `asked` for, so that nothing ends earlier than we believe.
    pub(crate) fn from_auth(auth: &Value, asked: Instant) -> Self {
        let length = seconds(&auth["lease_duration"]);
        Self::new(asked, length, length, length.is_zero(), auth["renewable"] == true)
    }

    /// The lease in the answer to a lookup of the token itself.
    ///
    /// Vault rounds its clock to whole seconds before it says how many are left, so that there may be half a second less.
    pub(crate) fn from_lookup(data: &Value, asked: Instant) -> Self {
        let (left, whole) = (seconds(&data["ttl"]), seconds(&data["creation_ttl"]));
        // In its last second a token has no whole second left, but unlike one that never expires it has a last moment.
        let endless = left.is_zero() && data["expire_time"].is_null();
        let at_least = left.saturating_sub(Duration::from_millis(500));
        Self::new(asked, at_least, whole, endless, data["renewable"] == true)
    }

    fn new(
        asked: Instant,
        left: Duration,
        whole: Duration,
        endless: bool,
        renewable: bool,
    ) -> Self {
        let whole = whole.max(left);
        Self {
            expires: (!endless).then_some(asked + left),
            whole,
            renewable: renewable && !endless,
            half: (!endless).then_some(asked + left.saturating_sub(whole / 2)),
        }
    }

    /// What is known of a lease after it was looked up.
    pub(crate) fn confirmed_by(self, seen: Self) -> Self {
        let (Some(known), Some(at_least)) = (self.expires, seen.expires) else { return seen };
        // A lookup is right to within two seconds; what it does not contradict is known better from before.
        let same = known >= at_least && known - at_least < Duration::from_secs(2);
        let expires = if same { known } else { at_least };
        // Looking often must not put off the half.
        Self { expires: Some(expires), half: self.half, ..seen }
    }
}

/// A header's value that is not shown in logs.
pub(crate) fn header_value(text: &str) -> Result<HeaderValue, String> {
    match HeaderValue::from_str(text) {
        Ok(mut value) if text.is_ascii() => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => Err("expected visible ASCII characters on one line".to_owned()),
    }
}

fn seconds(value: &Value) -> Duration {
    // Ten years are as good as any longer time, and adding them to a clock cannot overflow.
    Duration::from_secs(value.as_u64().unwrap_or_default().min(10 * 365 * 24 * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_cannot_hold_is_refused() {
        assert_eq!(header_value("s.abc").expect("a token"), "s.abc");
        assert!(header_value("s.a\nbc").is_err() && header_value("t\u{f6}ken").is_err());
    }

    #[test]
    fn a_token_without_a_length_never_expires() {
        let auth = serde_json::json!({"client_token": "t", "lease_duration": 0, "renewable": true});
        let token = Token::from_login(&auth, Instant::now()).expect("a token");
        assert!(!token.is_expired() && token.care_due().is_none());
    }

    #[test]
    fn a_given_token_that_cannot_be_renewed_needs_no_care_once_it_is_known() {
        let now = Instant::now();
        let mut token = Token::given(Secret::new("t"), HeaderValue::from_static("t"));
        assert!(token.care_due().is_some());
        let looked_up = serde_json::json!({"ttl": 30, "creation_ttl": 60, "expire_time": "2026"});
        token.lease = Some(Lease::from_lookup(&looked_up, now));
        assert!(token.care_due().is_none() && !token.is_kept_alive());
    }

    #[test]
    fn a_token_in_its_last_second_is_not_one_that_never_expires() {
        let now = Instant::now();
        let last = serde_json::json!({"ttl": 0, "creation_ttl": 60, "expire_time": "2026"});
        assert!(Lease::from_lookup(&last, now).expires.is_some());
        let root = serde_json::json!({"ttl": 0, "creation_ttl": 0, "expire_time": null});
        assert!(Lease::from_lookup(&root, now).expires.is_none());
    }

    #[test]
    fn looking_a_token_up_puts_off_nothing() {
        let now = Instant::now();
        let auth =
            serde_json::json!({"client_token": "t", "lease_duration": 60, "renewable": true});
        let lease = Lease::from_auth(&auth, now);
        let looked_up = serde_json::json!({"ttl": 59, "creation_ttl": 60, "expire_time": "2026"});
        let after = lease.confirmed_by(Lease::from_lookup(&looked_up, now));
        assert_eq!((after.expires, after.half), (lease.expires, lease.half));
    }
}
