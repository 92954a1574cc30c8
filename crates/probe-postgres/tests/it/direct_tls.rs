//! `sslnegotiation=direct`: TLS without a request for it, which servers support since PostgreSQL 17.

use std::sync::Arc;

use probe_testkit::{Authority, Identity};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use stack::postgres::shared;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{check, check_line, private, run, url};

/// A server that speaks TLS from the first byte and knows this protocol, before the shared server. Returns its port.
async fn terminator(identity: &Identity, protocol: Option<&str>) -> u16 {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = protocol.map(|name| name.as_bytes().to_vec()).into_iter().collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let server = ("127.0.0.1", shared().unwrap().port());
                let mut server = TcpStream::connect(server).await.unwrap();
                drop(copy_bidirectional(&mut stream, &mut server).await);
            });
        }
    });
    port
}

#[tokio::test]
async fn tls_begins_at_once_and_offers_the_protocol() {
    let ca = Authority::new("ours");
    let identity = ca.issue("127.0.0.1");
    let port = terminator(&identity, Some("postgresql")).await;
    let direct = format!("{}?sslmode=verify-full&sslnegotiation=direct", url(port));
    run(&check(&direct, &ca.toml())).await.expect_working();
    let untrusted = "tls: certificate is not trusted: unknown issuer (127.0.0.1:PORT)";
    check_line(port, &direct, &Authority::new("theirs").toml(), untrusted).await;
    let without = terminator(&identity, None).await;
    let direct = format!("{}?sslmode=require&sslnegotiation=direct", url(without));
    let expected = "tls: with `sslnegotiation=direct`, expected a server that selects the protocol `postgresql` by ALPN (127.0.0.1:PORT)";
    check_line(without, &direct, "", expected).await;
}

#[tokio::test]
async fn an_older_server_is_distinguished_from_a_broken_one() {
    let server = private(&[]);
    let port = server.port();
    let direct = format!("{}?sslmode=require&sslnegotiation=direct", url(port));
    let outcome = run(&check(&direct, "")).await;
    let line = outcome.line();
    let expected = "tls: `sslnegotiation=direct` needs PostgreSQL 17 or newer: ";
    assert!(line.starts_with(expected), "{line}");
}
