//! Checks that Vault is active, that the token is valid, and that secrets are readable.
//!
//! The session, its login and its connection come from `vault-client` and are shared by all users of the same Vault, usually also by the gateway's own secrets.

mod check;
mod rules;

use std::time::Duration;

use probe::{DynChecks, Kind, Reconnect, Section};
use vault_client::Session;

use crate::check::VaultCheck;
use crate::rules::Rules;

/// The probe of Vault and of OpenBao.
///
/// Besides the session's settings (see [`Session::read_settings`]):
/// * `standby` = `refuse` (the default) or `accept`: whether a standby node is working.
/// * `paths`, the secrets that must be readable, none by default.
/// * `reconnect`, 30 seconds by default: how long a login is trusted before the session logs in again.
/// * `min_ttl`, 5 minutes by default: the check fails if the token expires sooner. For a token that the session renews, a quarter of its lifetime suffices if that is less.
pub const KIND: Kind = Kind { name: "vault", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let session = Session::read_settings(&mut fields, section.shared());
    let standby = fields.one_of("standby", &[("refuse", false), ("accept", true)]);
    let min_ttl = fields.with_default("min_ttl", Duration::from_mins(5));
    let reconnect = Reconnect::read(&mut fields);
    let paths: Vec<String> = fields.optional("paths").unwrap_or_default();
    if paths.iter().any(|path| !is_path(path)) {
        fields.error("paths", "expected paths such as `secret/production/app`, without a key");
    }
    fields.single(|| {
        let rules = Rules { accept_standby: standby?, min_ttl };
        let references = section.secret_paths().clone();
        Some(VaultCheck::new(session?, rules, paths, references, reconnect?))
    })
}

/// Whether `path` can be the path of a secret: a mount and a name.
fn is_path(path: &str) -> bool {
    let is_segment = |segment: &str| {
        !segment.is_empty() && !segment.contains(|c: char| c.is_control() || "#?".contains(c))
    };
    path.contains('/') && path.split('/').all(is_segment)
}
