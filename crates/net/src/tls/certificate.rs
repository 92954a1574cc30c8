//! Finds out when a certificate expires.

use std::time::{Duration, SystemTime};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

/// Returns when `certificate` expires, or `None` if it is not a certificate.
///
/// rustls tells the period of a certificate only in the error about one that has expired, which it looks for before anything else.
/// So this verifies the certificate as of a time when every one has expired.
pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let certificate = ParsedCertificate::try_from(certificate).ok()?;
    let end_of_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let roots = RootCertStore::empty();
    match verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], end_of_time, &[]) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(not_after.as_secs()))
        }
        _ => None,
    }
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
    fn the_end_of_the_period_is_read() {
        let authority = Authority::new("ours");
        let in_2021 = Some(1_609_459_200);
        assert_eq!(seconds(&authority.issue_expired("localhost").certificate), in_2021);
        let in_4096 = Some(67_090_118_400);
        assert_eq!(seconds(&authority.issue("localhost").certificate), in_4096);
        // A server may present a certificate that signs itself.
        assert_eq!(seconds(&authority.pem), in_4096);
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        assert_eq!(not_after(&CertificateDer::from(vec![0x30, 3, 2, 1, 1])), None);
        assert_eq!(not_after(&CertificateDer::from(Vec::new())), None);
    }
}
