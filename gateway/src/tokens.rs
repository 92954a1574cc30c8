//! Access tokens: compared in constant time, valid for a while after they have been replaced.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use probe::Secret;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// A token in the form in which it is compared: both sides have the same length, and nobody can choose what it is.
#[derive(Clone, Copy)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// The digest of `token`, under a key that this process made up.
    pub(crate) fn of(token: &[u8]) -> Self {
        static KEY: LazyLock<[u8; 32]> = LazyLock::new(rand::random);
        Self(Sha256::new().chain_update(*KEY).chain_update(token).finalize().into())
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
    /// Makes `token` the valid one; the one before stays valid for `grace`.
    pub(crate) fn replace(&mut self, token: &Secret, grace: Duration) {
        let token = Digest::of(token.expose().as_bytes());
        let before = self.current.replace(token);
        if let Some(before) = before.filter(|before| !bool::from(before.0.ct_eq(&token.0))) {
            self.previous = Some((before, Instant::now() + grace));
        }
    }

    /// Whether `candidate` is valid, in a time that does not depend on how much of it is right.
    pub(crate) fn verify(&self, candidate: &Digest) -> Choice {
        let matches = |known: &Digest| known.0.ct_eq(&candidate.0);
        let current = self.current.as_ref().map_or(Choice::from(0), matches);
        let previous = self.previous.as_ref().filter(|(_, until)| Instant::now() < *until);
        current | previous.map_or(Choice::from(0), |(known, _)| matches(known))
    }

    /// Whether any token is known at all.
    pub(crate) fn is_known(&self) -> bool {
        self.current.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(tokens: &Tokens, token: &str) -> bool {
        tokens.verify(&Digest::of(token.as_bytes())).into()
    }

    #[test]
    fn only_the_token_itself_is_admitted() {
        let mut tokens = Tokens::default();
        assert!(!admits(&tokens, "") && !admits(&tokens, "first"));
        tokens.replace(&Secret::new("first"), Duration::ZERO);
        assert!(admits(&tokens, "first"));
        assert!(!admits(&tokens, "firs") && !admits(&tokens, "first ") && !admits(&tokens, ""));
    }

    #[test]
    fn a_replaced_token_is_valid_for_its_grace_only() {
        let mut tokens = Tokens::default();
        tokens.replace(&Secret::new("first"), Duration::ZERO);
        tokens.replace(&Secret::new("second"), Duration::ZERO);
        assert!(admits(&tokens, "second") && !admits(&tokens, "first"));
        tokens.replace(&Secret::new("third"), Duration::from_hours(1));
        assert!(admits(&tokens, "third") && admits(&tokens, "second") && !admits(&tokens, "first"));
    }

    #[test]
    fn the_same_token_again_changes_nothing() {
        let mut tokens = Tokens::default();
        tokens.replace(&Secret::new("first"), Duration::ZERO);
        tokens.replace(&Secret::new("second"), Duration::from_hours(1));
        tokens.replace(&Secret::new("second"), Duration::ZERO);
        assert!(admits(&tokens, "second") && admits(&tokens, "first"));
    }
}
