//! The machine's trusted authorities, for settings without `ca`.

use std::sync::{Arc, OnceLock};

use probe::Cause;
use rustls::RootCertStore;

/// The trust store of the machine, read from its files once.
///
/// An empty result is not cached: the files may be mounted later.
pub(super) fn system_roots() -> Result<Arc<RootCertStore>, Cause> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(roots.clone());
    }
    let mut roots = RootCertStore::empty();
    // Many trust stores have a few certificates that webpki cannot parse.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Cause::msg(
            "this machine has no trusted certificates (package `ca-certificates`), and no `ca` is set",
        ));
    }
    Ok(ROOTS.get_or_init(|| Arc::new(roots)).clone())
}
