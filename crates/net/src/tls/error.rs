//! Readable texts for TLS errors.

use std::error::Error as StdError;
use std::{fmt, io};

use probe::{Cause, in_largest_unit};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// The cause of an I/O error: a readable explanation if its chain has a TLS error, otherwise [`Cause::from`].
pub fn cause<E: StdError + 'static>(error: E) -> Cause {
    match find_tls_error(&error) {
        Some(tls) => Cause::msg(explain(tls)),
        None => Cause::from(error),
    }
}

/// The TLS error in the chain. `io::Error::source` skips the error that the I/O error wraps.
fn find_tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    if let Some(tls) = error.downcast_ref::<Error>() {
        return Some(tls);
    }
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let next: Option<&'a (dyn StdError + 'static)> = match wrapped {
        Some(inner) => Some(inner),
        None => error.source(),
    };
    next.and_then(find_tls_error)
}

fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => explain_certificate(error),
        Error::AlertReceived(alert) => explain_alert(*alert),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "the server does not speak TLS".to_owned(),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "the server does not support TLS 1.2 or later".to_owned(),
        Error::PeerIncompatible(why) => {
            format!("the server has no settings in common with us: {}", words(why))
        }
        Error::PeerMisbehaved(why) => format!("the server breaks TLS: {}", words(why)),
        Error::InvalidMessage(why) => format!("the server breaks TLS: {}", words(why)),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the server breaks TLS: a message out of turn".to_owned()
        }
        other => Cause::from(other.clone()).text().to_owned(),
    }
}

/// The error of webpki about a server that presents the certificate of an authority.
pub(super) const CA_USED_AS_END_ENTITY: &str = "CaUsedAsEndEntity";

/// The name of a variant, which has no text of its own, as words.
fn words(variant: &dyn fmt::Debug) -> String {
    let name = format!("{variant:?}");
    let end = name.find(|character: char| !character.is_alphanumeric()).unwrap_or(name.len());
    let mut words = String::new();
    for character in name[..end].trim_end_matches("Context").chars() {
        if character.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
    }
    words
}

/// Why the server's certificate is not accepted.
fn explain_certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => "certificate is not trusted: unknown issuer".to_owned(),
        E::BadSignature => "certificate is not trusted: its issuer's signature is wrong".to_owned(),
        E::Expired => "certificate expired".to_owned(),
        E::ExpiredContext { time, not_after } => {
            let ago = time.as_secs().saturating_sub(not_after.as_secs());
            format!("certificate expired {} ago", in_largest_unit(ago))
        }
        E::NotValidYet => "certificate is not valid yet".to_owned(),
        E::NotValidYetContext { time, not_before } => {
            let left = not_before.as_secs().saturating_sub(time.as_secs());
            format!("certificate is not valid yet, but will be in {}", in_largest_unit(left))
        }
        E::NotValidForName => "certificate is not valid for this host".to_owned(),
        E::NotValidForNameContext { expected, .. } => {
            format!("certificate is not valid for host {}", expected.to_str())
        }
        E::Revoked => "certificate is revoked".to_owned(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "certificate is not valid for a server".to_owned()
        }
        E::Other(error) if error.to_string() == CA_USED_AS_END_ENTITY => {
            "certificate is not valid: it is that of an authority (CA:TRUE), and not in `ca`"
                .to_owned()
        }
        // The error of webpki has no text of its own either.
        E::Other(error) => format!("certificate is not valid: {}", words(&error.0)),
        other => format!("certificate is not valid: {}", words(other)),
    }
}

/// Why the server refused the handshake.
fn explain_alert(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let reason = match alert {
        A::CertificateRequired => "it demands a client certificate",
        A::UnknownCA => "it does not trust the issuer of our client certificate",
        A::CertificateExpired => "our client certificate expired",
        A::CertificateRevoked => "our client certificate is revoked",
        A::BadCertificate | A::UnsupportedCertificate | A::CertificateUnknown => {
            "it does not accept our client certificate"
        }
        A::AccessDenied => "access denied",
        A::ProtocolVersion => "it does not support TLS 1.2 or later",
        A::UnrecognisedName => "it does not serve this host name",
        A::HandshakeFailure => "no common settings, or it demands a client certificate",
        other => return format!("the server refused the handshake: {}", words(&other)),
    };
    format!("the server refused the handshake: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_is_found_within_io_errors() {
        let tls = Error::AlertReceived(AlertDescription::CertificateRequired);
        let nested = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert_eq!(
            cause(nested).text(),
            "the server refused the handshake: it demands a client certificate"
        );
    }

    #[test]
    fn errors_without_a_text_are_named_in_words() {
        for (error, expected) in [
            (
                Error::AlertReceived(AlertDescription::InternalError),
                "the server refused the handshake: internal error",
            ),
            (
                Error::PeerMisbehaved(rustls::PeerMisbehaved::WrongGroupForKeyShare),
                "the server breaks TLS: wrong group for key share",
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                "the server has no settings in common with us: no cipher suites in common",
            ),
            (CertificateError::BadEncoding.into(), "certificate is not valid: bad encoding"),
            (
                CertificateError::InvalidPurposeContext {
                    required: rustls::ExtendedKeyPurpose::ServerAuth,
                    presented: Vec::new(),
                }
                .into(),
                "certificate is not valid for a server",
            ),
        ] {
            assert_eq!(explain(&error), expected);
        }
    }

    #[test]
    fn other_errors_are_converted_by_cause_from() {
        let cause = cause(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(cause.text(), "connection reset");
        assert!(cause.is_connection_lost());
    }
}
