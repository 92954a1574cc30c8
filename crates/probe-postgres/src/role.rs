//! What the application needs the server to be, and what it turns out to be.

use probe::{Cause, Failure};

/// The settings of `role`, the default first.
pub(crate) const WORDS: [(&str, Role); 3] =
    [("primary", Role::Primary), ("replica", Role::Replica), ("any", Role::Any)];

/// What the application needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It takes writes.
    Primary,
    /// It follows a primary.
    Replica,
    /// It answers.
    Any,
}

/// What the server says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// It follows a primary, or restores a backup.
    pub(crate) in_recovery: bool,
    /// A transaction that asks for nothing special may not write.
    pub(crate) read_only: bool,
}

impl Role {
    /// Whether a server in this state is what the application needs.
    pub(crate) fn judge(self, state: State) -> Result<(), Failure> {
        let reason = match self {
            Self::Primary if state.in_recovery => {
                "read-only: expected a primary, found a replica (in recovery)"
            }
            Self::Primary if state.read_only => {
                "read-only: `default_transaction_read_only` is on for this server, database or user"
            }
            Self::Replica if !state.in_recovery => {
                "expected a replica, found a primary (not in recovery)"
            }
            _ => return Ok(()),
        };
        // After a failover the address may lead to another server than the one that the kept connection goes to.
        Err(Failure::new("role", Cause::msg(reason).connection_lost()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: State = State { in_recovery: false, read_only: false };
    const FROZEN: State = State { in_recovery: false, read_only: true };
    const REPLICA: State = State { in_recovery: true, read_only: true };

    fn check(role: Role, fit: [State; 1], unfit: &[State]) {
        for state in fit {
            assert!(role.judge(state).is_ok(), "{role:?}, {state:?}");
        }
        for state in unfit {
            assert!(role.judge(*state).is_err(), "{role:?}, {state:?}");
        }
    }

    #[test]
    fn a_primary_takes_writes_and_a_replica_is_in_recovery() {
        check(Role::Primary, [PRIMARY], &[FROZEN, REPLICA]);
        check(Role::Replica, [REPLICA], &[PRIMARY, FROZEN]);
        for state in [PRIMARY, FROZEN, REPLICA] {
            check(Role::Any, [state], &[]);
        }
    }

    #[test]
    fn the_wrong_role_on_a_kept_connection_is_decided_by_a_fresh_one() {
        let failure = Role::Primary.judge(REPLICA).expect_err("a replica is no primary");
        assert!(failure.cause().is_connection_lost());
    }
}
