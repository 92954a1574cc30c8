//! What crosses the wire and what does not: TLS, redirects, servers that are not Vault.

use probe::Steps;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use stack::vault::{Node, ROOT_TOKEN, Tls};

use crate::bench::{read_failure, session};
use crate::listener::Listener;

/// An authority and a certificate that it issued, for servers on 127.0.0.1 and for their clients.
struct Authority {
    ca: String,
    certificate: String,
    private_key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
        Self { ca: ca.pem(), certificate: leaf.pem(), private_key: leaf_key.serialize_pem() }
    }

    fn tls(&self, client_ca: Option<&Self>) -> Tls {
        Tls {
            certificate: self.certificate.clone(),
            private_key: self.private_key.clone(),
            client_ca: client_ca.map(|client| client.ca.clone()),
        }
    }
}

#[tokio::test]
async fn an_authority_of_our_own_and_a_client_certificate_are_used() {
    let (server, client) = (Authority::new("servers"), Authority::new("clients"));
    let mut node = Node::start(Some(&server.tls(Some(&client)))).unwrap();
    node.initialize().unwrap();
    let base = format!("url = 'https://127.0.0.1:{}'\ntoken = '{ROOT_TOKEN}'\n", node.tls_port());
    let trusting = format!("{base}ca = '''{}'''\n", server.ca);
    let shown = format!(
        "{trusting}certificate = '''{}'''\nprivate_key = '''{}'''\n",
        client.certificate, client.private_key
    );
    let health = session(&shown).health(&Steps::new()).await;
    assert!(health.unwrap_or_else(|failure| panic!("{}", failure.line(""))).initialized);
    assert!(session(&shown).lookup_self(&Steps::new()).await.is_ok());
    check(&trusting, "health: the server refused the handshake: it demands a client certificate")
        .await;
    let other = format!("{base}ca = '''{}'''\n", client.ca);
    check(&other, "tls: certificate is not trusted: unknown issuer").await;
    let plain = base.replace("https", "http");
    check(&plain, "health: status 400, not Vault: Client sent an HTTP request to an HTTPS server")
        .await;
}

async fn check(settings: &str, expected: &str) {
    let failure = session(settings).health(&Steps::new()).await.unwrap_err();
    assert_eq!(failure.line(""), expected);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_no_token_goes_anywhere_else() {
    let other = Listener::start(|_| (200, String::new(), "{}".to_owned()));
    let elsewhere = other.address;
    let listener = Listener::start(move |asked| {
        let path = asked.head.split(' ').nth(1).unwrap();
        (307, format!("location: http://{elsewhere}{path}\r\n"), String::new())
    });
    let settings = format!("url = 'http://{}'\ntoken = 'token-to-be-kept'\n", listener.address);
    let session = session(&settings);
    let failure = session.health(&Steps::new()).await.unwrap_err();
    let expected = "answered with a redirect (307), which is not followed";
    assert_eq!(failure.line(""), format!("health: {expected}"));
    assert_eq!(read_failure(&session, "secret/app").await, format!("read: {expected}"));
    assert!(listener.seen().iter().any(|request| request.head.contains("token-to-be-kept")));
    assert!(!listener.seen()[0].head.contains("token-to-be-kept"), "the state needs no token");
    assert_eq!(other.seen().len(), 0);
}

#[tokio::test]
async fn a_path_before_the_api_is_kept() {
    let listener =
        Listener::start(|_| (503, String::new(), r#"{"errors":["Vault is sealed"]}"#.to_owned()));
    let session = session(&format!("url = 'http://{}/proxied/'\ntoken = 'x'\n", listener.address));
    assert_eq!(read_failure(&session, "secret/a b").await, "read: Vault is sealed (status 503)");
    let asked = listener.seen().iter().map(|request| request.head.clone()).collect::<String>();
    assert!(
        asked.contains("GET /proxied/v1/sys/internal/ui/mounts/secret/a%20b HTTP/1.1"),
        "{asked}"
    );
}
