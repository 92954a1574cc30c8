//! The channel binding `tls-server-end-point`: <https://www.rfc-editor.org/rfc/rfc5929#section-4>.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// The hash of a certificate (DER), or `None` if its signature names no hash that is known here.
pub(super) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = hash_algorithm(signature_algorithm(certificate)?)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

/// The hash of a signature algorithm. MD5 and SHA-1 are replaced by SHA-256.
fn hash_algorithm(oid: &[u8]) -> Option<&'static Algorithm> {
    /// 1.2.840.113549.1.1: PKCS #1.
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    /// 1.2.840.10045.4: signatures with ECDSA.
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    if let Some(number) = oid.strip_prefix(RSA) {
        return match number {
            [4 | 5 | 11] => Some(&SHA256),
            [12] => Some(&SHA384),
            [13] => Some(&SHA512),
            _ => None,
        };
    }
    match oid.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(&SHA256),
        [3, 3] => Some(&SHA384),
        [3, 4] => Some(&SHA512),
        _ => None,
    }
}

/// The object identifier of the algorithm with which a certificate is signed.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (certificate, _) = element(SEQUENCE, certificate)?;
    let (_, after_contents) = element(SEQUENCE, certificate)?;
    let (algorithm, _) = element(SEQUENCE, after_contents)?;
    element(OBJECT_IDENTIFIER, algorithm).map(|(oid, _)| oid)
}

/// The contents of the first element of `der`, which must have this tag, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
        let length = bytes.iter().try_fold(0_usize, |length, byte| {
            length.checked_mul(256)?.checked_add(usize::from(*byte))
        })?;
        (length, rest)
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let ecdsa_with_sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
        let oid = [&[0x06, 8][..], &ecdsa_with_sha256].concat();
        let algorithm = [&[0x30, 10][..], &oid].concat();
        // Its length has two bytes.
        let contents = [&[0x30, 0x82, 0x01, 0x00][..], &[0; 256]].concat();
        let body = [contents, algorithm].concat();
        let certificate = [&[0x30, 0x82, 0x01, 0x10][..], &body].concat();
        assert_eq!(signature_algorithm(&certificate), Some(&ecdsa_with_sha256[..]));
        let expected = digest(&SHA256, &certificate).as_ref().to_vec();
        assert_eq!(server_end_point(&certificate), Some(expected));
    }

    #[test]
    fn an_invalid_certificate_has_no_channel_binding() {
        for der in [&[][..], &[0x30], &[0x30, 5, 0x30], &[0x30, 0xff, 1], &[0x02, 0], &[0x30, 0]] {
            assert_eq!(server_end_point(der), None, "{der:?}");
        }
    }
}
