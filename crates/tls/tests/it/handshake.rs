//! Handshakes with a rustls server: what is accepted, and how a refusal reads.

use std::sync::Arc;

use probe::Cause;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tls::{Settings, Verification};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::read;
use probe_testkit::{Authority, Identity};

/// Connects to `server` as `localhost`, and reads the one byte that it sends.
async fn talk(
    settings: &Settings,
    verification: Verification,
    server: ServerConfig,
) -> Result<(), Cause> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(server)).accept(stream).await {
            stream.write_all(b"!").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let config = settings.client_config(verification)?;
    let result = match tls::connect(config, "localhost", stream).await {
        Ok(mut stream) => stream.read_u8().await.map(|_| ()).map_err(tls::cause),
        Err(cause) => Err(cause),
    };
    answering.await.unwrap();
    result
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn server(identity: &Identity, demands_certificate_of: Option<&Authority>) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match demands_certificate_of {
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

/// Checks the handshake with a server that shows `identity`, by a client that trusts `ca`.
async fn check(
    ca: &Authority,
    verification: Verification,
    identity: &Identity,
    expected: Result<(), &str>,
) {
    let settings = read(&[("ca", &ca.pem)]).unwrap();
    let result = talk(&settings, verification, server(identity, None)).await;
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
async fn a_certificate_for_another_host_is_refused_unless_only_its_issuer_matters() {
    let ca = Authority::new("ours");
    let other = ca.issue("db");
    let expected = Err("certificate is not valid for host localhost");
    check(&ca, Verification::Full, &other, expected).await;
    check(&ca, Verification::Chain, &other, Ok(())).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = Authority::new("ours");
    for verification in [Verification::Full, Verification::Chain] {
        let settings = read(&[("ca", &ca.pem)]).unwrap();
        let server = server(&ca.issue_expired("localhost"), None);
        let cause = talk(&settings, verification, server).await.unwrap_err();
        let text = cause.text();
        assert!(text.starts_with("certificate expired ") && text.ends_with(" days ago"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_demands_a_client_certificate_gets_ours() {
    let ca = Authority::new("ours");
    let us = ca.issue("health-gateway");
    let settings =
        read(&[("ca", &ca.pem), ("certificate", &us.certificate), ("private_key", &us.key)])
            .unwrap();
    let server = server(&ca.issue("localhost"), Some(&ca));
    talk(&settings, Verification::Full, server).await.unwrap();
}

#[tokio::test]
async fn a_demanded_client_certificate_that_we_lack_is_named() {
    let ca = Authority::new("ours");
    let settings = read(&[("ca", &ca.pem)]).unwrap();
    let server = server(&ca.issue("localhost"), Some(&ca));
    let cause = talk(&settings, Verification::Full, server).await.unwrap_err();
    assert_eq!(cause.text(), "the server refused the handshake: it demands a client certificate");
}

#[tokio::test]
async fn a_refusal_that_came_before_we_wrote_anything_is_named_too() {
    let ca = Authority::new("ours");
    let server = server(&ca.issue("localhost"), Some(&ca));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let refusing = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // Closing resets the connection, as it does when something that we sent was not read.
        stream.set_zero_linger().unwrap();
        assert!(TlsAcceptor::from(Arc::new(server)).accept(stream).await.is_err());
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let config = read(&[("ca", &ca.pem)]).unwrap().client_config(Verification::Full).unwrap();
    let mut stream = tls::connect(config, "localhost", stream).await.unwrap();
    refusing.await.unwrap();
    let cause = tls::cause(stream.write_all(b"hello").await.unwrap_err());
    assert_eq!(cause.text(), "the server refused the handshake: it demands a client certificate");
}

#[tokio::test]
async fn a_server_without_tls_is_called_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let config = Settings::default().client_config(Verification::None).unwrap();
    let cause = tls::connect(config, "localhost", stream).await.err().unwrap();
    assert_eq!(cause.text(), "the server does not speak TLS");
    answering.await.unwrap();
}

#[test]
fn the_same_settings_make_their_configuration_once() {
    let settings = read(&[("ca", &Authority::new("ours").pem)]).unwrap();
    let make = || settings.clone().client_config(Verification::Full).unwrap();
    assert!(Arc::ptr_eq(&make(), &make()));
}

#[tokio::test]
async fn an_issuer_of_the_same_name_with_another_key_is_not_trusted() {
    let expected = Err("certificate is not trusted: its issuer's signature is wrong");
    let identity = Authority::new("ours").issue("localhost");
    check(&Authority::new("ours"), Verification::Full, &identity, expected).await;
}
