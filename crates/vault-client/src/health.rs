//! The health of a Vault server, as `sys/health` reports it.

use probe::Failure;

use crate::api::ApiResponse;

/// The flags of Vault's `sys/health` response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "these are the flags of Vault's own response")]
pub struct Health {
    /// Whether the storage has been initialized.
    pub initialized: bool,
    /// Whether the server lacks the key to its storage.
    pub sealed: bool,
    /// Whether another node of the cluster is the active one.
    pub standby: bool,
    /// Whether this is a standby that answers reads itself.
    pub performance_standby: bool,
    /// Whether the cluster is a disaster recovery (DR) secondary, which serves no requests until it is promoted.
    pub dr_secondary: bool,
    /// Whether the node was removed from its cluster.
    pub removed: bool,
}

impl Health {
    /// Parses the body and ignores the status code, which can express only one state: 429, 472, 473, 501, 503 and 530 are states, not errors.
    pub(crate) fn parse(step: &'static str, response: &ApiResponse) -> Result<Self, Failure> {
        let body = &response.body;
        let (Some(initialized), Some(sealed)) =
            (body["initialized"].as_bool(), body["sealed"].as_bool())
        else {
            return Err(Failure::msg(step, unexpected(response)));
        };
        Ok(Self {
            initialized,
            sealed,
            standby: body["standby"] == true,
            performance_standby: body["performance_standby"] == true,
            dr_secondary: body["replication_dr_mode"] == "secondary",
            removed: body["removed_from_cluster"] == true,
        })
    }
}

fn unexpected(response: &ApiResponse) -> String {
    match response.status.as_u16() {
        // Vault in recovery mode serves hardly any paths, so it cannot be distinguished from another server.
        404 => "status 404: not Vault, or Vault in recovery mode".to_owned(),
        _ => response.error_text(),
    }
}
