//! Certificates that have expired since the last connection, or that expire soon.

use std::sync::Arc;
use std::time::Duration;

use net::{TlsSettings, Verification};
use parking_lot::Mutex;
use probe::Steps;
use probe_testkit::{Authority, Identity};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::read;

const DAY: Duration = Duration::from_hours(24);

/// A server that keeps its sessions while its certificate is replaced.
struct Server {
    certificate: Arc<CurrentCertificate>,
    acceptor: TlsAcceptor,
}

#[derive(Debug)]
struct CurrentCertificate(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.lock().clone())
    }
}

impl Server {
    /// A server with the certificates in `identity`, of which the first is its own.
    fn new(identity: &Identity, version: &'static SupportedProtocolVersion) -> Self {
        let certificate = Arc::new(CurrentCertificate(Mutex::new(certified_key(identity))));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        Self { certificate, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    fn replace_certificate(&self, identity: &Identity) {
        *self.certificate.0.lock() = certified_key(identity);
    }

    /// Connects to the server as `localhost` and reads the single byte that it sends, and so its session tickets.
    async fn connect(
        &self,
        settings: &TlsSettings,
        verification: Verification,
    ) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let serving = async {
            if let Ok(mut stream) = self.acceptor.accept(accepted).await {
                let _closed_by_client = stream.write_all(b"!").await;
                let _closed_by_client = stream.shutdown().await;
            }
        };
        let connecting = async {
            let steps = Steps::new();
            let stream = net::start_tls(&steps, "localhost", settings, verification, stream).await;
            let mut stream = stream.map_err(|failure| failure.render(""))?;
            assert_eq!(stream.read_u8().await.unwrap(), b'!');
            Ok(())
        };
        tokio::join!(serving, connecting).1
    }
}

fn certified_key(identity: &Identity) -> Arc<CertifiedKey> {
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = aws_lc_rs::default_provider();
    let chain = chain.collect::<Result<_, _>>().unwrap();
    Arc::new(CertifiedKey::from_der(chain, key, &provider).unwrap())
}

/// Settings that trust `ca` and need certificates that are valid for two weeks.
fn two_weeks(ca: &Authority) -> TlsSettings {
    read(&[("ca", &ca.pem), ("min_certificate_validity", "14d")]).unwrap()
}

#[tokio::test]
async fn an_expired_certificate_is_refused_at_the_next_connection() {
    let ca = Authority::new("ours");
    for version in [&TLS12, &TLS13] {
        let settings = read(&[("ca", &ca.pem)]).unwrap();
        let server = Server::new(&ca.issue("localhost"), version);
        server.connect(&settings, Verification::Full).await.unwrap();
        server.connect(&settings, Verification::Full).await.unwrap();
        server.replace_certificate(&ca.issue_expired("localhost"));
        let error = server.connect(&settings, Verification::Full).await.unwrap_err();
        assert!(error.starts_with("tls: certificate expired "), "{error}");
        server.replace_certificate(&ca.issue("localhost"));
        server.connect(&settings, Verification::Full).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_expires_within_the_minimum_is_a_failure() {
    let ca = Authority::new("ours");
    let settings = two_weeks(&ca);
    for verification in [Verification::Full, Verification::Chain, Verification::None] {
        let server = Server::new(&ca.issue_valid_for("localhost", DAY * 15), &TLS13);
        server.connect(&settings, verification).await.unwrap();
        server.replace_certificate(&ca.issue_valid_for("localhost", DAY * 13 / 2));
        let error = server.connect(&settings, verification).await.unwrap_err();
        assert_eq!(error, "tls: certificate expires in 6 days");
        // Without the setting, it is accepted.
        let default = read(&[("ca", &ca.pem)]).unwrap();
        server.connect(&default, verification).await.unwrap();
        server.replace_certificate(&ca.issue_valid_for("localhost", DAY * 15));
        server.connect(&settings, verification).await.unwrap();
    }
}

#[tokio::test]
async fn an_expired_certificate_is_a_failure_even_without_verification() {
    let ca = Authority::new("ours");
    let server = Server::new(&ca.issue_expired("localhost"), &TLS13);
    let error = server.connect(&two_weeks(&ca), Verification::None).await.unwrap_err();
    assert!(error.starts_with("tls: certificate expired "), "{error}");
}

#[tokio::test]
async fn the_certificate_that_expires_first_decides() {
    let ca = Authority::new("ours");
    let intermediate = ca.issue_intermediate("between", DAY * 5 / 2);
    let identity = intermediate.issue_valid_for("localhost", DAY * 13 / 2);
    let certificate = format!("{}{}", identity.certificate, intermediate.pem);
    let server = Server::new(&Identity { certificate, key: identity.key }, &TLS13);
    let settings = two_weeks(&ca);
    for verification in [Verification::Full, Verification::Chain, Verification::None] {
        let error = server.connect(&settings, verification).await.unwrap_err();
        assert_eq!(error, "tls: certificate expires in 2 days");
    }
}

#[tokio::test]
async fn a_certificate_that_the_verification_does_not_need_may_expire() {
    let ca = Authority::new("ours");
    let other = ca.issue_intermediate("other", DAY);
    let identity = ca.issue("localhost");
    let certificate = format!("{}{}", identity.certificate, other.pem);
    let server = Server::new(&Identity { certificate, key: identity.key }, &TLS13);
    server.connect(&two_weeks(&ca), Verification::Full).await.unwrap();
}
