//! What a Vault server says about its own state.

use probe::Failure;

use crate::api::Answer;

/// The state of the server that answered, whatever status code it expressed it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "these are the flags of Vault's own answer")]
pub struct Health {
    /// Whether the storage was ever initialized.
    pub initialized: bool,
    /// Whether the server lacks the key to its storage.
    pub sealed: bool,
    /// Whether another node of its cluster is the active one.
    pub standby: bool,
    /// Whether it is a standby that answers reads by itself.
    pub performance_standby: bool,
    /// Whether it belongs to a cluster that only takes over after a disaster, and serves nobody until then.
    pub disaster_secondary: bool,
    /// Whether it was removed from its cluster.
    pub removed: bool,
}

impl Health {
    /// Reads the body, since the status says only one thing at a time: 429, 472, 473, 501, 503 and 530 are states, not errors.
    pub(crate) fn read(step: &'static str, answer: &Answer) -> Result<Self, Failure> {
        let body = &answer.body;
        let (Some(initialized), Some(sealed)) =
            (body["initialized"].as_bool(), body["sealed"].as_bool())
        else {
            return Err(Failure::msg(step, no_state(answer)));
        };
        Ok(Self {
            initialized,
            sealed,
            standby: body["standby"] == true,
            performance_standby: body["performance_standby"] == true,
            disaster_secondary: body["replication_dr_mode"] == "secondary",
            removed: body["removed_from_cluster"] == true,
        })
    }
}

fn no_state(answer: &Answer) -> String {
    match answer.status.as_u16() {
        // A Vault in recovery mode has hardly any paths; of a server that has none of Vault's, nothing better can be said either.
        404 => "status 404: not Vault, or Vault in recovery mode".to_owned(),
        _ => answer.reason(),
    }
}
