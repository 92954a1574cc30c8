//! TLS: whom we trust, and who trusts us.

use std::fs;

use probe_testkit::{Authority, Identity, Outcome, diagnostics, run};
use stack::redis::Redis;

use crate::support::{MOMENT, ONE, ask, check};

/// A server with TLS on a port of its own, the authority that both sides trust, and a client certificate of it.
struct Encrypted {
    server: Redis,
    port: u16,
    ca: String,
    client: Identity,
}

impl Encrypted {
    fn start(auth_clients: &str) -> Self {
        let ca = Authority::new("authority");
        let own = ca.issue("127.0.0.1");
        // The server reads them only while it starts.
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("ca", &ca.pem), ("certificate", &own.certificate), ("private_key", &own.key)]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let port = stack::free_port().unwrap();
        let folder = folder.path().display();
        let server = Redis::start(&[
            &format!("tls-port {port}"),
            &format!("tls-cert-file {folder}/certificate"),
            &format!("tls-key-file {folder}/private_key"),
            &format!("tls-ca-cert-file {folder}/ca"),
            &format!("tls-auth-clients {auth_clients}"),
        ])
        .unwrap();
        let client = ca.issue_for_user("health-gateway");
        Self { server, port, ca: ca.pem, client }
    }

    /// One run with these settings beside the URL.
    async fn ask(&self, settings: &str) -> Outcome {
        let url = format!("url = 'rediss://127.0.0.1:{}'", self.port);
        ask(&check(&format!("{url}\n{settings}"))).await
    }

    fn ca(&self) -> String {
        format!("ca = '''{}'''", self.ca)
    }

    fn client(&self) -> String {
        format!(
            "certificate = '''{}'''\nprivate_key = '''{}'''",
            self.client.certificate, self.client.key
        )
    }
}

#[tokio::test]
async fn a_server_of_our_authority_is_trusted() {
    let encrypted = Encrypted::start("no");
    encrypted.ask(&encrypted.ca()).await.expect_working();
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_not_trusted() {
    let encrypted = Encrypted::start("no");
    let unknown = format!("ca = '''{}'''", Authority::new("unknown").pem);
    let line = encrypted.ask(&unknown).await.line().to_owned();
    let expected = "tls: certificate is not trusted: ";
    assert!(line.starts_with(expected), "{line}");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_not_trusted() {
    let encrypted = Encrypted::start("no");
    let toml = format!("url = 'rediss://localhost:{}'\n{}", encrypted.port, encrypted.ca());
    assert_eq!(
        ask(&check(&toml)).await.line(),
        format!("tls: certificate is not valid for host localhost (localhost:{})", encrypted.port)
    );
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_demanded() {
    let encrypted = Encrypted::start("yes");
    let both = format!("{}\n{}", encrypted.ca(), encrypted.client());
    encrypted.ask(&both).await.expect_working();
    assert_eq!(
        encrypted.ask(&encrypted.ca()).await.line(),
        format!(
            "handshake: the server refused the handshake: it demands a client certificate (127.0.0.1:{})",
            encrypted.port
        )
    );
}

#[tokio::test]
async fn a_server_without_tls_is_silent_in_the_handshake() {
    let encrypted = Encrypted::start("no");
    let plain = encrypted.server.port();
    let toml = format!("url = 'rediss://127.0.0.1:{plain}'\n{}", encrypted.ca());
    // Redis takes the greeting for the beginning of a command, and waits for its end.
    assert_eq!(run(&check(&toml), MOMENT).await.cut_step(), "tls");
}

#[tokio::test]
async fn a_server_that_wants_tls_hangs_up_on_plain_text() {
    let encrypted = Encrypted::start("no");
    let line = ask(&check(&format!("url = 'redis://127.0.0.1:{}'", encrypted.port))).await;
    let line = line.line();
    assert!(line.starts_with("handshake: "), "{line}");
}

#[test]
fn certificates_without_tls_are_a_mistake() {
    let ca = Authority::new("unknown").pem;
    assert_eq!(
        diagnostics(&ONE, "redis", &format!("url = 'redis://h'\nca = '''{ca}'''")),
        ["2: redis.ca: expected only with a `url` that begins with `rediss`"]
    );
}
