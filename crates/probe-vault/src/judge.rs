//! What counts as working: the judgement of what Vault said, without asking anything.

use std::time::Duration;

use vault_client::{Health, TokenState};

/// What the configuration expects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) accept_standby: bool,
    pub(crate) min_ttl: Duration,
}

impl Rules {
    /// Whether the server can do its work, else why not; the state that explains the others comes first.
    pub(crate) fn server(self, health: Health) -> Result<(), &'static str> {
        if !health.initialized {
            return Err("not initialized");
        }
        if health.removed {
            return Err("removed from its cluster");
        }
        if health.sealed {
            return Err("sealed");
        }
        if health.disaster_secondary {
            return Err("a disaster recovery secondary, which serves nobody until it is promoted");
        }
        match (health.standby || health.performance_standby, self.accept_standby) {
            (true, false) => Err("standby, another node is active"),
            _ => Ok(()),
        }
    }

    /// Whether the token will be valid for a while, else why not.
    pub(crate) fn token(self, token: &TokenState) -> Result<(), String> {
        let Some(ttl) = token.ttl.filter(|ttl| *ttl < self.margin(token)) else {
            return Ok(());
        };
        let left = ttl.as_secs();
        Err(match &token.trouble {
            Some(failure) => format!(
                "token expires in {left}s and could not be renewed: {}: {}",
                failure.step(),
                failure.cause().text()
            ),
            None if !token.kept_alive => {
                format!("token expires in {left}s and cannot be renewed")
            }
            None => format!("token expires in {left}s and was not renewed yet"),
        })
    }

    /// Below this a token is about to expire.
    ///
    /// A token that is kept alive is renewed when half of it is over. With a quarter left, that has failed for a while;
    /// without this bound, one that is shorter than `min_ttl` by intention would always be about to expire.
    fn margin(self, token: &TokenState) -> Duration {
        if token.kept_alive { self.min_ttl.min(token.creation_ttl / 4) } else { self.min_ttl }
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
        disaster_secondary: false,
        removed: false,
    };

    fn token(ttl: u64, whole: u64, kept_alive: bool) -> TokenState {
        let (ttl, creation_ttl) = (Duration::from_secs(ttl), Duration::from_secs(whole));
        TokenState { ttl: Some(ttl), creation_ttl, kept_alive, trouble: None }
    }

    #[test]
    fn a_server_out_of_use_says_why() {
        let says = |health| RULES.server(health).expect_err("out of use");
        assert_eq!(says(Health { sealed: true, standby: true, ..ACTIVE }), "sealed");
        assert_eq!(says(Health { removed: true, ..ACTIVE }), "removed from its cluster");
        assert!(says(Health { disaster_secondary: true, ..ACTIVE }).starts_with("a disaster"));
        assert!(says(Health { performance_standby: true, ..ACTIVE }).starts_with("standby"));
        assert_eq!(RULES.server(ACTIVE), Ok(()));
    }

    #[test]
    fn a_token_that_nobody_renews_must_last_for_the_whole_margin() {
        assert_eq!(
            RULES.token(&token(299, 300, false)).expect_err("too short"),
            "token expires in 299s and cannot be renewed"
        );
        assert_eq!(RULES.token(&token(300, 300, false)), Ok(()));
    }

    #[test]
    fn a_short_token_that_is_renewed_in_time_is_no_alarm() {
        assert_eq!(RULES.token(&token(15, 30, true)), Ok(()));
        let mut late = token(7, 30, true);
        late.trouble = Some(Failure::msg("renew", "no answer within 5 s"));
        assert_eq!(
            RULES.token(&late).expect_err("too late"),
            "token expires in 7s and could not be renewed: renew: no answer within 5 s"
        );
    }

    #[test]
    fn a_token_that_never_expires_is_fine() {
        let root = TokenState { ttl: None, ..token(0, 0, false) };
        assert_eq!(RULES.token(&root), Ok(()));
    }
}
