//! Finds out when a server's certificate expires.

use std::time::Duration;

use probe::Cause;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error};

use super::error::in_largest_unit;

/// Fails if `verifier` will not accept `chain` for `name` any more after the time `min_validity`, because a certificate expires.
pub(super) fn verify_expiry(
    verifier: &dyn ServerCertVerifier,
    chain: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    min_validity: Duration,
) -> Result<(), Cause> {
    let Some((end_entity, intermediates)) = chain.split_first() else { return Ok(()) };
    let now = UnixTime::now().as_secs();
    let mut time = now.saturating_add(min_validity.as_secs());
    let mut expiry = None;
    // At the time at which one certificate expires, another may have expired already.
    while let Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
        not_after, ..
    })) = verifier.verify_server_cert(end_entity, intermediates, name, &[], at(time))
    {
        time = not_after.as_secs();
        expiry = Some(time);
    }
    let Some(expiry) = expiry else { return Ok(()) };
    Err(Cause::msg(match expiry.checked_sub(now) {
        Some(left) => format!("certificate expires in {}", in_largest_unit(left)),
        // The connection does not verify certificates.
        None => format!("certificate expired {} ago", in_largest_unit(now - expiry)),
    }))
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}
