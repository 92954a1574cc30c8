//! The rules that decide whether a server and a token are working.

use std::time::Duration;

use vault_client::{Health, TokenState};

/// The rules from the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) accept_standby: bool,
    pub(crate) min_ttl: Duration,
}

impl Rules {
    /// Returns an error if the server cannot serve requests. A state that explains others is tested first.
    pub(crate) fn check_health(self, health: Health) -> Result<(), &'static str> {
        if !health.initialized {
            return Err("not initialized");
        }
        if health.removed {
            return Err("removed from its cluster");
        }
        if health.sealed {
            return Err("sealed");
        }
        if health.dr_secondary {
            return Err(
                "a disaster recovery secondary, which serves no requests until it is promoted",
            );
        }
        match (health.standby || health.performance_standby, self.accept_standby) {
            (true, false) => Err("standby, another node is active"),
            _ => Ok(()),
        }
    }

    /// Returns an error if the token is about to expire.
    pub(crate) fn check_token(self, token: &TokenState) -> Result<(), String> {
        let Some(ttl) = token.ttl.filter(|ttl| *ttl < self.required_ttl(token)) else {
            return Ok(());
        };
        let left = ttl.as_secs();
        Err(match &token.last_error {
            Some(failure) => format!(
                "token expires in {left}s and could not be renewed: {}: {}",
                failure.step(),
                failure.cause().text()
            ),
            None if !token.auto_renewed => {
                format!("token expires in {left}s and cannot be renewed")
            }
            None => format!("token expires in {left}s and has not been renewed yet"),
        })
    }

    /// The remaining lifetime below which a token is about to expire.
    ///
    /// A renewal is due when half of the token's lifetime has elapsed, so with a quarter left it has been failing for a while.
    /// Without this bound, a token that is issued for less than `min_ttl` would always fail the check.
    fn required_ttl(self, token: &TokenState) -> Duration {
        if token.auto_renewed { self.min_ttl.min(token.creation_ttl / 4) } else { self.min_ttl }
    }
}

#[cfg(test)]
mod tests {
    use probe::Failure;

    use super::*;

    const RULES: Rules = Rules { accept_standby: false, min_ttl: Duration::from_mins(5) };

    const ACTIVE: Health = Health {
        initialized: true,
        sealed: false,
        standby: false,
        performance_standby: false,
        dr_secondary: false,
        removed: false,
    };

    fn token(ttl: u64, creation_ttl: u64, auto_renewed: bool) -> TokenState {
        let (ttl, creation_ttl) = (Duration::from_secs(ttl), Duration::from_secs(creation_ttl));
        TokenState { ttl: Some(ttl), creation_ttl, auto_renewed, last_error: None }
    }

    #[test]
    fn a_server_that_cannot_serve_requests_is_not_working() {
        let reason = |health| RULES.check_health(health).expect_err("not working");
        assert_eq!(reason(Health { sealed: true, standby: true, ..ACTIVE }), "sealed");
        assert_eq!(reason(Health { removed: true, ..ACTIVE }), "removed from its cluster");
        assert!(reason(Health { dr_secondary: true, ..ACTIVE }).starts_with("a disaster"));
        assert!(reason(Health { performance_standby: true, ..ACTIVE }).starts_with("standby"));
        assert_eq!(RULES.check_health(ACTIVE), Ok(()));
    }

    #[test]
    fn a_token_that_is_not_renewed_must_be_valid_for_min_ttl() {
        assert_eq!(
            RULES.check_token(&token(299, 300, false)).expect_err("too short"),
            "token expires in 299s and cannot be renewed"
        );
        assert_eq!(RULES.check_token(&token(300, 300, false)), Ok(()));
    }

    #[test]
    fn a_short_token_that_is_renewed_in_time_is_working() {
        assert_eq!(RULES.check_token(&token(15, 30, true)), Ok(()));
        let mut late = token(7, 30, true);
        late.last_error = Some(Failure::msg("renew", "no answer within 5 s"));
        assert_eq!(
            RULES.check_token(&late).expect_err("too late"),
            "token expires in 7s and could not be renewed: renew: no answer within 5 s"
        );
    }

    #[test]
    fn a_token_that_never_expires_is_working() {
        let root = TokenState { ttl: None, ..token(0, 0, false) };
        assert_eq!(RULES.check_token(&root), Ok(()));
    }
}
