//! What crosses the wire and what does not: TLS, redirects, servers that are not Vault.

use probe::Steps;
use probe_testkit::Authority;
use stack::vault::{Node, ROOT_TOKEN, Tls};

use crate::bench::{read_failure, session};
use crate::listener::Listener;

#[tokio::test]
async fn an_authority_of_our_own_and_a_client_certificate_are_used() {
    let (server, client) = (Authority::new("servers"), Authority::new("clients"));
    let (at_the_server, ours) = (server.issue("127.0.0.1"), client.issue_for_user("health"));
    let tls = Tls {
        certificate: at_the_server.certificate,
        private_key: at_the_server.key,
        client_ca: Some(client.pem.clone()),
    };
    let mut node = Node::start(Some(&tls)).unwrap();
    node.initialize().unwrap();
    let base = format!("url = 'https://127.0.0.1:{}'\ntoken = '{ROOT_TOKEN}'\n", node.tls_port());
    let trusting = format!("{base}ca = '''{}'''\n", server.pem);
    let shown = format!(
        "{trusting}certificate = '''{}'''\nprivate_key = '''{}'''\n",
        ours.certificate, ours.key
    );
    let health = session(&shown).health(&Steps::new()).await;
    assert!(health.unwrap_or_else(|failure| panic!("{}", failure.render(""))).initialized);
    assert!(session(&shown).lookup_self(&Steps::new()).await.is_ok());
    check(&trusting, "health: the server refused the handshake: it demands a client certificate")
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
    assert_eq!(failure.render(""), format!("health: {expected}"));
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
