//! TLS handshakes with a rustls server: verification and error texts.

use std::sync::Arc;
use std::time::SystemTime;

use net::{TlsSettings, TlsStream, Verification};
use probe::{Cause, Observation, Steps};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::read;
use probe_testkit::{Authority, Identity};

/// Performs the handshake on `stream` with the host `localhost`.
async fn start_tls(
    settings: &TlsSettings,
    verification: Verification,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Cause> {
    let steps = Steps::new();
    let stream = net::start_tls(&steps, "localhost", settings, verification, stream).await;
    Ok(stream?)
}

/// Connects to `server` as `localhost`, and reads the single byte that it sends.
async fn read_byte(
    settings: &TlsSettings,
    verification: Verification,
    server: ServerConfig,
) -> Result<(), Cause> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(server)).accept(stream).await {
            stream.write_all(b"!").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let result = match start_tls(settings, verification, stream).await {
        Ok(mut stream) => stream.read_u8().await.map(|_| ()).map_err(net::cause),
        Err(cause) => Err(cause),
    };
    serving.await.unwrap();
    result
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn server(identity: &Identity, client_ca: Option<&Authority>) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    builder.with_single_cert(vec![certificate], key).unwrap()
}

/// Checks the handshake between a client that trusts `ca` and a server with the certificate `identity`.
async fn check(
    ca: &Authority,
    verification: Verification,
    identity: &Identity,
    expected: Result<(), &str>,
) {
    let settings = read(&[("ca", &ca.pem)]).unwrap();
    let result = read_byte(&settings, verification, server(identity, None)).await;
    assert_eq!(result.as_ref().map_err(Cause::text).copied(), expected);
}

#[tokio::test]
async fn a_certificate_of_a_trusted_issuer_for_the_right_host_is_accepted() {
    let ca = Authority::new("ours");
    check(&ca, Verification::Full, &ca.issue("localhost"), Ok(())).await;
}

#[tokio::test]
async fn a_certificate_of_an_unknown_issuer_is_not_trusted() {
    let expected = Err("certificate is not trusted: unknown issuer");
    let identity = Authority::new("theirs").issue("localhost");
    check(&Authority::new("ours"), Verification::Full, &identity, expected).await;
    check(&Authority::new("ours"), Verification::Chain, &identity, expected).await;
    check(&Authority::new("ours"), Verification::None, &identity, Ok(())).await;
}

#[tokio::test]
async fn a_certificate_for_another_host_is_accepted_only_if_the_host_is_not_verified() {
    let ca = Authority::new("ours");
    let other = ca.issue("db");
    let expected = Err("certificate is not valid for host localhost");
    check(&ca, Verification::Full, &other, expected).await;
    check(&ca, Verification::Chain, &other, Ok(())).await;
}

#[tokio::test]
async fn a_server_s_own_certificate_is_accepted_if_it_is_trusted_itself() {
    let own = Authority::self_signed("localhost");
    for (host, verification, expected) in [
        ("localhost", Verification::Full, Ok(())),
        ("db", Verification::Full, Err("certificate is not valid for host localhost")),
        ("db", Verification::Chain, Ok(())),
    ] {
        let own = Authority::self_signed(host);
        let settings = read(&[("ca", &own.certificate)]).unwrap();
        let result = read_byte(&settings, verification, server(&own, None)).await;
        assert_eq!(result.as_ref().map_err(Cause::text).copied(), expected);
    }
    let other = "certificate is not valid: it is that of an authority (CA:TRUE), and not in `ca`";
    check(&Authority::new("ours"), Verification::Full, &own, Err(other)).await;
    check(&Authority::new("ours"), Verification::Chain, &own, Err(other)).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = Authority::new("ours");
    for verification in [Verification::Full, Verification::Chain] {
        let settings = read(&[("ca", &ca.pem)]).unwrap();
        let server = server(&ca.issue_expired("localhost"), None);
        let cause = read_byte(&settings, verification, server).await.unwrap_err();
        let text = cause.text();
        assert!(text.starts_with("certificate expired ") && text.ends_with(" days ago"), "{text}");
    }
}

#[tokio::test]
async fn the_expiry_of_the_certificate_is_observed() {
    let ca = Authority::new("ours");
    let server = server(&ca.issue_expired("localhost"), None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        TlsAcceptor::from(Arc::new(server)).accept(stream).await.map(drop)
    });
    let (steps, settings) = (Steps::new(), read(&[]).unwrap());
    let stream = TcpStream::connect(address).await.unwrap();
    // Only without verification is an expired certificate accepted.
    net::start_tls(&steps, "localhost", &settings, Verification::None, stream).await.unwrap();
    let observations = steps.observations();
    let [Observation::CertificateExpiry(at)] = &observations[..] else {
        panic!("{observations:?}")
    };
    let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(since_1970.as_secs(), 1_609_459_200, "2021-01-01");
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_client_certificate_is_sent_to_a_server_that_demands_one() {
    let ca = Authority::new("ours");
    let client = ca.issue("health-gateway");
    let settings = read(&[
        ("ca", &ca.pem),
        ("certificate", &client.certificate),
        ("private_key", &client.key),
    ])
    .unwrap();
    let server = server(&ca.issue("localhost"), Some(&ca));
    read_byte(&settings, Verification::Full, server).await.unwrap();
}

#[tokio::test]
async fn a_missing_client_certificate_is_reported() {
    let ca = Authority::new("ours");
    let settings = read(&[("ca", &ca.pem)]).unwrap();
    let server = server(&ca.issue("localhost"), Some(&ca));
    let cause = read_byte(&settings, Verification::Full, server).await.unwrap_err();
    assert_eq!(cause.text(), "the server refused the handshake: it demands a client certificate");
}

#[tokio::test]
async fn an_alert_before_the_first_write_is_reported() {
    let ca = Authority::new("ours");
    let server = server(&ca.issue("localhost"), Some(&ca));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let refusing = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // Close with a reset, as the kernel does if it has unread data.
        stream.set_zero_linger().unwrap();
        assert!(TlsAcceptor::from(Arc::new(server)).accept(stream).await.is_err());
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let settings = read(&[("ca", &ca.pem)]).unwrap();
    let mut stream = start_tls(&settings, Verification::Full, stream).await.unwrap();
    refusing.await.unwrap();
    let cause = net::cause(stream.write_all(b"hello").await.unwrap_err());
    assert_eq!(cause.text(), "the server refused the handshake: it demands a client certificate");
}

#[tokio::test]
async fn a_server_without_tls_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let settings = TlsSettings::default();
    let cause = start_tls(&settings, Verification::None, stream).await.err().unwrap();
    assert_eq!(cause.text(), "the server does not speak TLS");
    serving.await.unwrap();
}

#[test]
fn the_configuration_is_built_once() {
    let settings = read(&[("ca", &Authority::new("ours").pem)]).unwrap();
    let config = || settings.clone().client_config(Verification::Full).unwrap();
    assert!(Arc::ptr_eq(&config(), &config()));
}

#[tokio::test]
async fn an_issuer_with_the_same_name_and_another_key_is_not_trusted() {
    let expected = Err("certificate is not trusted: its issuer's signature is wrong");
    let identity = Authority::new("ours").issue("localhost");
    check(&Authority::new("ours"), Verification::Full, &identity, expected).await;
}
