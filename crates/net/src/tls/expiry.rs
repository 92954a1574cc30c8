//! Finds out when the certificates of a server expire.
//!
//! rustls reports the validity period of a certificate only in the error about an expired one, so each is verified as of a later time.

use std::time::{Duration, SystemTime};

use probe::{Cause, in_largest_unit};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

/// Returns when `certificate` expires, or `None` if it is not a certificate.
///
/// The validity period is verified before anything else, so no signature is verified.
pub(crate) fn not_after(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(expiry_of(certificate)?))
}

fn expiry_of(certificate: &CertificateDer<'_>) -> Option<u64> {
    let certificate = ParsedCertificate::try_from(certificate).ok()?;
    let (roots, end_of_time) = (RootCertStore::empty(), at(u64::MAX));
    expiry(verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], end_of_time, &[]))
}

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
    // The signatures need not be verified again if no certificate expires by then, whether the server needs it or not.
    if chain.iter().all(|certificate| expiry_of(certificate).is_some_and(|expiry| expiry >= time)) {
        return Ok(());
    }
    let mut earliest = None;
    // When one certificate expires, another may have expired already.
    while let Some(seconds) =
        expiry(verifier.verify_server_cert(end_entity, intermediates, name, &[], at(time)))
    {
        time = seconds;
        earliest = Some(seconds);
    }
    let Some(expiry) = earliest else { return Ok(()) };
    Err(Cause::msg(match expiry.checked_sub(now) {
        Some(left) => format!("certificate expires in {}", in_largest_unit(left)),
        // The connection does not verify certificates.
        None => format!("certificate expired {} ago", in_largest_unit(now - expiry)),
    }))
}

/// When the certificate for which a verification failed expired, in seconds.
fn expiry<T>(verified: Result<T, Error>) -> Option<u64> {
    match verified.err()? {
        Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            Some(not_after.as_secs())
        }
        _ => None,
    }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use probe_testkit::Authority;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn seconds(pem: &str) -> Option<u64> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        let not_after = not_after(&certificate)?;
        not_after.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
    }

    #[test]
    fn the_expiry_is_read() {
        let authority = Authority::new("ours");
        let in_2021 = Some(1_609_459_200);
        assert_eq!(seconds(&authority.issue_expired("localhost").certificate), in_2021);
        let in_4096 = Some(67_090_118_400);
        assert_eq!(seconds(&authority.issue("localhost").certificate), in_4096);
        // A server may present a certificate that signs itself.
        assert_eq!(seconds(&authority.pem), in_4096);
    }

    #[test]
    fn an_invalid_certificate_has_no_expiry() {
        assert_eq!(not_after(&CertificateDer::from(vec![0x30, 3, 2, 1, 1])), None);
        assert_eq!(not_after(&CertificateDer::from(Vec::new())), None);
    }
}
