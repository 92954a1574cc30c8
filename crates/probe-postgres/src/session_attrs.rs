//! libpq's `target_session_attrs`: which of several servers is used.

use probe::Failure;

use crate::role::ServerState;

/// The state that a server must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionAttrs {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    /// A standby if one is usable, otherwise any server.
    PreferStandby,
}

impl SessionAttrs {
    /// The value with this name in libpq, or in JDBC's `targetServerType`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "any" => Self::Any,
            "read-write" => Self::ReadWrite,
            "read-only" => Self::ReadOnly,
            "primary" | "master" => Self::Primary,
            "standby" | "secondary" | "slave" => Self::Standby,
            "prefer-standby" | "preferSecondary" | "preferSlave" => Self::PreferStandby,
            _ => return None,
        })
    }

    /// The demands with which all servers are tried, one after the other.
    pub(crate) fn passes(self) -> &'static [Self] {
        match self {
            Self::Any => &[Self::Any],
            Self::ReadWrite => &[Self::ReadWrite],
            Self::ReadOnly => &[Self::ReadOnly],
            Self::Primary => &[Self::Primary],
            Self::Standby => &[Self::Standby],
            Self::PreferStandby => &[Self::Standby, Self::Any],
        }
    }

    /// Fails if a server in this state is not to be used.
    pub(crate) fn verify(self, state: ServerState) -> Result<(), Failure> {
        let reason = match self {
            Self::ReadWrite if state.read_only => {
                "read-only: `target_session_attrs` is `read-write`"
            }
            Self::ReadOnly if !state.read_only => {
                "accepts writes: `target_session_attrs` is `read-only`"
            }
            Self::Primary if state.in_recovery => {
                "in recovery: `target_session_attrs` is `primary`"
            }
            Self::Standby if !state.in_recovery => {
                "not in recovery: `target_session_attrs` is `standby`"
            }
            _ => return Ok(()),
        };
        Err(Failure::msg("role", reason))
    }
}
