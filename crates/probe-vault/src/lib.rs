//! Asks Vault whether it is initialized, unsealed and active, and whether our own token is valid.
//!
//! The session, its login and its connection are those of `vault-client`, shared with whoever else uses the same Vault: the gateway's own secrets, as a rule.

mod check;
mod judge;

use std::time::Duration;

use probe::{DynChecks, Kind, Section};
use vault_client::Session;

use crate::check::Vault;
use crate::judge::Rules;

/// The probe of Vault and of OpenBao.
///
/// Besides the session's settings (see [`Session::read_settings`]):
/// * `standby` = `refuse` (the default) or `accept`: whether a node that leaves the work to another one is working.
/// * `min_ttl`, 5 minutes by default: a token that is valid for less is about to expire. For a token that the session keeps alive, a quarter of its length is enough if that is less.
pub const KIND: Kind = Kind { name: "vault", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let session = Session::read_settings(&mut fields, section.shared());
    let standby = fields.one_of("standby", &[("refuse", false), ("accept", true)]);
    let min_ttl = fields.with_default("min_ttl", Duration::from_mins(5));
    fields.single(|| Some(Vault::new(session?, Rules { accept_standby: standby?, min_ttl })))
}
