//! Access tokens, compared in constant time and valid for a grace period after their replacement.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use probe::Secret;
use siphasher::sip128::SipHasher24;
use subtle::{Choice, ConstantTimeEq as _};

/// A keyed hash of a token: SipHash-2-4 with 128 bits, see <https://www.aumasson.jp/siphash/siphash.pdf>.
///
/// Its length is fixed and its value unpredictable for a caller, so that comparing it reveals nothing about the token, and no other token has the same one except by a chance of 1 in 2^128.
#[derive(Clone, Copy)]
pub(crate) struct Digest([u8; 16]);

impl Digest {
    /// The digest of `token`, under a random key of this process.
    pub(crate) fn of(token: &[u8]) -> Self {
        static HASHER: LazyLock<SipHasher24> =
            LazyLock::new(|| SipHasher24::new_with_key(&rand::random()));
        Self(HASHER.hash(token).as_bytes())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The tokens of one namespace that are valid now.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    current: Option<Digest>,
    previous: Option<(Digest, Instant)>,
}

impl Tokens {
    /// Replaces the current token, which stays valid for `grace`.
    ///
    /// A line break at its end, which files often have, is not part of it: no caller could send it.
    pub(crate) fn replace(&mut self, token: &Secret, grace: Duration) {
        let token = Digest::of(token.expose().trim_end_matches(['\r', '\n']).as_bytes());
        let previous = self.current.replace(token);
        if let Some(previous) = previous.filter(|previous| !bool::from(previous.0.ct_eq(&token.0)))
        {
            self.previous = Some((previous, Instant::now() + grace));
        }
    }

    /// Whether `candidate` is valid, in a time that does not depend on how much of it matches.
    pub(crate) fn verify(&self, candidate: &Digest) -> Choice {
        let matches = |known: &Digest| known.0.ct_eq(&candidate.0);
        let current = self.current.as_ref().map_or(Choice::from(0), matches);
        let previous = self.previous.as_ref().filter(|(_, until)| Instant::now() < *until);
        current | previous.map_or(Choice::from(0), |(known, _)| matches(known))
    }

    /// Whether any token is known.
    pub(crate) fn is_known(&self) -> bool {
        self.current.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(tokens: &Tokens, token: &str) -> bool {
        tokens.verify(&Digest::of(token.as_bytes())).into()
    }

    #[test]
    fn only_the_current_token_is_accepted() {
        let mut tokens = Tokens::default();
        assert!(!accepts(&tokens, "") && !accepts(&tokens, "first"));
        tokens.replace(&Secret::new("first"), Duration::ZERO);
        assert!(accepts(&tokens, "first"));
        assert!(!accepts(&tokens, "firs") && !accepts(&tokens, "first ") && !accepts(&tokens, ""));
    }

    #[test]
    fn a_line_break_at_the_end_is_not_part_of_a_token() {
        let mut tokens = Tokens::default();
        tokens.replace(&Secret::new("first\r\n"), Duration::ZERO);
        assert!(accepts(&tokens, "first") && !accepts(&tokens, "first\r\n"));
    }

    #[test]
    fn a_replaced_token_is_accepted_only_during_its_grace_period() {
        let mut tokens = Tokens::default();
        tokens.replace(&Secret::new("first"), Duration::ZERO);
        tokens.replace(&Secret::new("second"), Duration::ZERO);
        assert!(accepts(&tokens, "second") && !accepts(&tokens, "first"));
        tokens.replace(&Secret::new("third"), Duration::from_hours(1));
        assert!(
            accepts(&tokens, "third") && accepts(&tokens, "second") && !accepts(&tokens, "first")
        );
    }

    #[test]
    fn replacing_a_token_with_itself_has_no_effect() {
        let mut tokens = Tokens::default();
        tokens.replace(&Secret::new("first"), Duration::ZERO);
        tokens.replace(&Secret::new("second"), Duration::from_hours(1));
        tokens.replace(&Secret::new("second"), Duration::ZERO);
        assert!(accepts(&tokens, "second") && accepts(&tokens, "first"));
    }
}
