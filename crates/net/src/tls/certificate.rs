//! Reads from a certificate when it expires.

use std::str;
use std::time::SystemTime;

use probe::utc_time;

use super::der::{Der, GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME, VERSION};

/// Returns when a certificate expires, or `None` if it is not a certificate of RFC 5280.
///
/// rustls verifies the period but does not return it.
pub(super) fn expiry(certificate: &[u8]) -> Option<SystemTime> {
    let mut certificate = Der(Der(certificate).read(SEQUENCE)?);
    let mut to_be_signed = Der(certificate.read(SEQUENCE)?);
    if to_be_signed.0.first() == Some(&VERSION) {
        to_be_signed.read(VERSION)?;
    }
    to_be_signed.read(INTEGER)?;
    // The signature algorithm and the issuer.
    to_be_signed.read(SEQUENCE)?;
    to_be_signed.read(SEQUENCE)?;
    let mut validity = Der(to_be_signed.read(SEQUENCE)?);
    validity.next()?;
    match validity.next()? {
        (UTC_TIME, text) => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = number(year)?;
            time(if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, text) => {
            let (year, rest) = text.split_at_checked(4)?;
            time(number(year)?, rest)
        }
        _ => None,
    }
}

/// Parses the text after the year, which is always `MMDDHHMMSSZ`.
fn time(year: i64, text: &[u8]) -> Option<SystemTime> {
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.len() == 10)?;
    let mut pairs = digits.chunks(2).map(number);
    let mut next = || pairs.next().flatten();
    let date = [year, next()?, next()?];
    utc_time(date, [next()?, next()?, next()?])
}

fn number(digits: &[u8]) -> Option<i64> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use probe_testkit::Authority;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
    }

    #[test]
    fn the_end_of_the_period_is_read_in_both_formats() {
        let authority = Authority::new("ours");
        let expired = der(&authority.issue_expired("localhost").certificate);
        assert_eq!(expiry(&expired), utc_time([2021, 1, 1], [0, 0, 0]));
        let unlimited = der(&authority.issue("localhost").certificate);
        assert_eq!(expiry(&unlimited), utc_time([4096, 1, 1], [0, 0, 0]));
    }

    #[test]
    fn a_part_of_a_certificate_has_no_expiry_or_the_same() {
        let certificate = der(&Authority::new("ours").pem);
        let whole = expiry(&certificate);
        for length in 0..certificate.len() {
            assert_eq!(expiry(&certificate[..length]), None, "{length}");
            let mut changed = certificate.to_vec();
            changed[length] ^= 0xff;
            // It must not panic, whatever it finds.
            expiry(&changed);
        }
        assert!(whole.is_some());
    }
}
