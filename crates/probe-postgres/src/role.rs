//! Compares the state of the server with the role that the application needs.

use probe::{Cause, Failure};

/// The values of `role`, with the default first.
pub(crate) const VALUES: [(&str, Role); 3] =
    [("primary", Role::Primary), ("replica", Role::Replica), ("any", Role::Any)];

/// The role that the application needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The server accepts writes.
    Primary,
    /// The server is in recovery.
    Replica,
    /// Any server that answers.
    Any,
}

/// The state that the server reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerState {
    /// The server follows a primary, or restores a backup.
    pub(crate) in_recovery: bool,
    /// Transactions are read-only by default.
    pub(crate) read_only: bool,
}

impl Role {
    /// Fails if a server in this state does not have the role.
    pub(crate) fn verify(self, state: ServerState) -> Result<(), Failure> {
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
        // After a failover, the address may lead to a server other than that of the cached connection, so the query is repeated on a new one.
        Err(Failure::new("role", Cause::msg(reason).connection_lost()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: ServerState = ServerState { in_recovery: false, read_only: false };
    const READ_ONLY: ServerState = ServerState { in_recovery: false, read_only: true };
    const REPLICA: ServerState = ServerState { in_recovery: true, read_only: true };

    fn check(role: Role, accepted: ServerState, refused: &[ServerState]) {
        assert!(role.verify(accepted).is_ok(), "{role:?}, {accepted:?}");
        for state in refused {
            assert!(role.verify(*state).is_err(), "{role:?}, {state:?}");
        }
    }

    #[test]
    fn a_primary_accepts_writes_and_a_replica_is_in_recovery() {
        check(Role::Primary, PRIMARY, &[READ_ONLY, REPLICA]);
        check(Role::Replica, REPLICA, &[PRIMARY, READ_ONLY]);
        for state in [PRIMARY, READ_ONLY, REPLICA] {
            check(Role::Any, state, &[]);
        }
    }

    #[test]
    fn the_wrong_role_counts_as_a_lost_connection() {
        let failure = Role::Primary.verify(REPLICA).expect_err("a replica is no primary");
        assert!(failure.cause().is_connection_lost());
    }
}
