//! The authorities that this machine trusts, for servers whose settings name no `ca`.

use std::sync::{Arc, OnceLock};

use probe::Cause;
use rustls::RootCertStore;

/// The machine's own trust store, read from its files at the first call that finds any.
///
/// An empty result is not kept: the files may be mounted a moment later.
pub(crate) fn of_the_system() -> Result<Arc<RootCertStore>, Cause> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(roots.clone());
    }
    let mut roots = RootCertStore::empty();
    // A store often holds a few certificates that webpki cannot read; those are of no use to it.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Cause::msg(
            "this machine has no trusted certificates (package `ca-certificates`), and no `ca` is set",
        ));
    }
    Ok(ROOTS.get_or_init(|| Arc::new(roots)).clone())
}
