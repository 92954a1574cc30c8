//! A token and its lease: when it expires, and when it is due for renewal.

use std::time::{Duration, Instant};

use http::HeaderValue;
use http_client::secret_header;
use probe::{Failure, Secret};
use serde_json::Value;

/// The state of the session's token, as `lookup_self` returns it.
#[derive(Clone, Debug)]
pub struct TokenState {
    /// The remaining lifetime; `None` if the token never expires.
    pub ttl: Option<Duration>,
    /// The lifetime that it was issued with.
    pub creation_ttl: Duration,
    /// Whether the session renews or replaces it before it expires.
    pub auto_renewed: bool,
    /// Why the last renewal failed.
    pub last_error: Option<Failure>,
}

/// A token that was configured or obtained by a login.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) header: HeaderValue,
    /// Whether it was obtained by a login. If so, the session can replace it and must revoke it.
    pub(crate) by_login: bool,
    /// Whether it is a batch token, which cannot be revoked.
    is_batch: bool,
    /// `None` for a configured token that has not been looked up yet.
    pub(crate) lease: Option<Lease>,
    // Never read: a live `Secret` is scrubbed from all output.
    _secret: Secret,
}

/// The lifetime of a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// `None` if the token never expires.
    pub(crate) expires: Option<Instant>,
    /// The full length, from the start of the lease.
    pub(crate) duration: Duration,
    pub(crate) renewable: bool,
    /// When half of it has elapsed.
    pub(crate) renew_at: Option<Instant>,
}

impl Token {
    /// A token from the configuration, with its [`header_value`].
    pub(crate) fn configured(secret: Secret, header: HeaderValue) -> Self {
        Self { header, by_login: false, is_batch: false, lease: None, _secret: secret }
    }

    /// The token in the `auth` object of a login response. Returns `None` if there is none.
    pub(crate) fn from_login(auth: &Value, requested_at: Instant) -> Option<Self> {
        let secret = Secret::new(auth["client_token"].as_str().filter(|text| !text.is_empty())?);
        let header = header_value(&secret).ok()?;
        let lease = Some(Lease::from_auth(auth, requested_at));
        let is_batch = auth["token_type"] == "batch";
        Some(Self { header, by_login: true, is_batch, lease, _secret: secret })
    }

    pub(crate) fn is_expired(&self) -> bool {
        let expires = self.lease.and_then(|lease| lease.expires);
        expires.is_some_and(|expires| expires <= Instant::now())
    }

    /// Whether the session must revoke it, since it made it.
    pub(crate) fn needs_revocation(&self) -> bool {
        self.by_login && !self.is_batch && !self.is_expired()
    }

    /// Whether the token may still be valid. A configured token always is, as there is no other.
    pub(crate) fn is_usable(&self) -> bool {
        !(self.by_login && self.is_expired())
    }

    pub(crate) fn is_auto_renewed(&self) -> bool {
        self.by_login || self.lease.is_some_and(|lease| lease.renewable)
    }

    /// When the next renewal or first lookup is due, if any.
    pub(crate) fn renewal_due(&self) -> Option<Instant> {
        match self.lease {
            None => Some(Instant::now()),
            Some(_) if self.is_expired() || !self.is_auto_renewed() => None,
            Some(lease) => lease.renew_at,
        }
    }
}

impl Lease {
    /// The lease in the `auth` object of a login or renewal response.
    ///
    /// It is counted from the time of the request, so that the token never expires earlier than computed here.
    pub(crate) fn from_auth(auth: &Value, requested_at: Instant) -> Self {
        let duration = seconds(&auth["lease_duration"]);
        Self::new(requested_at, duration, duration, duration.is_zero(), auth["renewable"] == true)
    }

    /// The lease in the `data` object of a `lookup-self` response.
    ///
    /// Vault rounds its clock to whole seconds to compute `ttl`, so that up to half a second less may remain.
    pub(crate) fn from_lookup(data: &Value, requested_at: Instant) -> Self {
        let (ttl, duration) = (seconds(&data["ttl"]), seconds(&data["creation_ttl"]));
        // The `ttl` is 0 both for a token that never expires and in a token's last second; only the latter has an `expire_time`.
        let never_expires = ttl.is_zero() && data["expire_time"].is_null();
        let remaining = ttl.saturating_sub(Duration::from_millis(500));
        let renewable = data["renewable"] == true;
        Self::new(requested_at, remaining, duration, never_expires, renewable)
    }

    fn new(
        requested_at: Instant,
        remaining: Duration,
        duration: Duration,
        never_expires: bool,
        renewable: bool,
    ) -> Self {
        let duration = duration.max(remaining);
        let until_half = remaining.saturating_sub(duration / 2);
        Self {
            expires: (!never_expires).then_some(requested_at + remaining),
            duration,
            renewable: renewable && !never_expires,
            renew_at: (!never_expires).then_some(requested_at + until_half),
        }
    }

    /// Combines a known lease with the one that a lookup returned.
    pub(crate) fn confirmed_by(self, seen: Self) -> Self {
        let (Some(known), Some(at_least)) = (self.expires, seen.expires) else { return seen };
        // A lookup is accurate to two seconds. Within that range, the known expiry is more precise.
        let is_same = known >= at_least && known - at_least < Duration::from_secs(2);
        let expires = if is_same { known } else { at_least };
        // Frequent lookups must not postpone the renewal.
        Self { expires: Some(expires), renew_at: self.renew_at, ..seen }
    }
}

/// A header value that is marked as sensitive, so that it is not printed.
pub(crate) fn header_value(text: &Secret) -> Result<HeaderValue, String> {
    let value = secret_header(text).filter(|_| text.expose().is_ascii());
    value.ok_or_else(|| "expected visible ASCII characters on one line".to_owned())
}

fn seconds(value: &Value) -> Duration {
    // Capped at ten years, so that adding it to an `Instant` cannot overflow.
    Duration::from_secs(value.as_u64().unwrap_or_default().min(10 * 365 * 24 * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_a_header_cannot_hold_is_rejected() {
        let read = |text: &str| header_value(&Secret::new(text));
        assert_eq!(read("s.abc").expect("a token"), "s.abc");
        assert!(read("s.a\nbc").is_err() && read("t\u{f6}ken").is_err());
    }

    #[test]
    fn a_lease_duration_of_zero_never_expires() {
        let auth = serde_json::json!({"client_token": "t", "lease_duration": 0, "renewable": true});
        let token = Token::from_login(&auth, Instant::now()).expect("a token");
        assert!(!token.is_expired() && token.renewal_due().is_none());
    }

    #[test]
    fn a_configured_token_that_is_not_renewable_is_only_looked_up() {
        let now = Instant::now();
        let mut token = Token::configured(Secret::new("t"), HeaderValue::from_static("t"));
        assert!(token.renewal_due().is_some());
        let looked_up = serde_json::json!({"ttl": 30, "creation_ttl": 60, "expire_time": "2026"});
        token.lease = Some(Lease::from_lookup(&looked_up, now));
        assert!(token.renewal_due().is_none() && !token.is_auto_renewed());
    }

    #[test]
    fn a_token_in_its_last_second_expires() {
        let now = Instant::now();
        let last = serde_json::json!({"ttl": 0, "creation_ttl": 60, "expire_time": "2026"});
        assert!(Lease::from_lookup(&last, now).expires.is_some());
        let root = serde_json::json!({"ttl": 0, "creation_ttl": 0, "expire_time": null});
        assert!(Lease::from_lookup(&root, now).expires.is_none());
    }

    #[test]
    fn a_lookup_does_not_postpone_the_renewal() {
        let now = Instant::now();
        let auth =
            serde_json::json!({"client_token": "t", "lease_duration": 60, "renewable": true});
        let lease = Lease::from_auth(&auth, now);
        let looked_up = serde_json::json!({"ttl": 59, "creation_ttl": 60, "expire_time": "2026"});
        let after = lease.confirmed_by(Lease::from_lookup(&looked_up, now));
        assert_eq!((after.expires, after.renew_at), (lease.expires, lease.renew_at));
    }
}
