//! TLS, redirects, and servers that are not Vault.

use probe::Steps;
use probe_testkit::Authority;
use stack::vault::{Node, ROOT_TOKEN, Tls};

use crate::fake_server::FakeServer;
use crate::fixtures::{read_failure, session};

#[tokio::test]
async fn a_configured_ca_and_a_client_certificate_are_used() {
    let (server, client) = (Authority::new("servers"), Authority::new("clients"));
    let (server_identity, client_identity) =
        (server.issue("127.0.0.1"), client.issue_for_user("health"));
    let tls = Tls {
        certificate: server_identity.certificate,
        private_key: server_identity.key,
        client_ca: Some(client.pem.clone()),
    };
    let mut node = Node::start(Some(&tls)).unwrap();
    node.initialize().unwrap();
    let base = format!("url = 'https://127.0.0.1:{}'\ntoken = '{ROOT_TOKEN}'\n", node.tls_port());
    let with_ca = format!("{base}ca = '''{}'''\n", server.pem);
    let with_certificate = format!(
        "{with_ca}certificate = '''{}'''\nprivate_key = '''{}'''\n",
        client_identity.certificate, client_identity.key
    );
    let health = session(&with_certificate).health(&Steps::new()).await;
    assert!(health.unwrap_or_else(|failure| panic!("{}", failure.render(""))).initialized);
    assert!(session(&with_certificate).lookup_self(&Steps::new()).await.is_ok());
    check(&with_ca, "health: the server refused the handshake: it demands a client certificate")
        .await;
    let other = format!("{base}ca = '''{}'''\n", client.pem);
    check(&other, "tls: certificate is not trusted: unknown issuer").await;
    let plain = base.replace("https", "http");
    check(&plain, "health: status 400, not Vault: Client sent an HTTP request to an HTTPS server")
        .await;
}

async fn check(settings: &str, expected: &str) {
    let failure = session(settings).health(&Steps::new()).await.unwrap_err();
    assert_eq!(failure.render(""), expected);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_no_token_is_sent_elsewhere() {
    let other = FakeServer::start(|_| (200, String::new(), "{}".to_owned()));
    let other_address = other.address;
    let server = FakeServer::start(move |request| {
        let path = request.head.split(' ').nth(1).unwrap();
        (307, format!("location: http://{other_address}{path}\r\n"), String::new())
    });
    let settings = format!("url = 'http://{}'\ntoken = 'token-to-protect'\n", server.address);
    let session = session(&settings);
    let failure = session.health(&Steps::new()).await.unwrap_err();
    let expected = "answered with a redirect (307), which is not followed";
    assert_eq!(failure.render(""), format!("health: {expected}"));
    assert_eq!(read_failure(&session, "secret/app").await, format!("read: {expected}"));
    assert!(server.requests().iter().any(|request| request.head.contains("token-to-protect")));
    assert!(!server.requests()[0].head.contains("token-to-protect"), "`sys/health` needs no token");
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn a_path_prefix_of_the_url_is_used() {
    let server =
        FakeServer::start(|_| (503, String::new(), r#"{"errors":["Vault is sealed"]}"#.to_owned()));
    let session = session(&format!("url = 'http://{}/proxied/'\ntoken = 'x'\n", server.address));
    assert_eq!(read_failure(&session, "secret/a b").await, "read: Vault is sealed (status 503)");
    let heads = server.requests().iter().map(|request| request.head.clone()).collect::<String>();
    assert!(
        heads.contains("GET /proxied/v1/sys/internal/ui/mounts/secret/a%20b HTTP/1.1"),
        "{heads}"
    );
}
