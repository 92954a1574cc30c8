//! TLS: the broker's certificate and the client's.

use std::fs;

use probe_rabbit::KIND;
use probe_testkit::{Authority, Identity, RunOutcome, diagnostics};
use stack::RABBIT_VHOST;
use stack::rabbit::{ADMIN_PASSWORD, ADMIN_USER, Rabbit};
use tempfile::TempDir;

use crate::outcome;

/// A broker with TLS on a free port, the authority that both sides trust, and a client certificate from it.
struct Encrypted {
    broker: Rabbit,
    port: u16,
    ca: String,
    client: Identity,
    _folder: TempDir,
}

impl Encrypted {
    fn start(demands_certificate: bool) -> Self {
        let ca = Authority::new("authority");
        let identity = ca.issue("127.0.0.1");
        // The files must exist as long as the broker runs, since it reads them for each connection.
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("ca", &ca.pem), ("certificate", &identity.certificate), ("key", &identity.key)]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let port = stack::free_port().unwrap();
        let path = folder.path().display();
        let verify = if demands_certificate { "verify_peer" } else { "verify_none" };
        let broker = Rabbit::start(&[
            &format!("listeners.ssl.1 = 127.0.0.1:{port}"),
            &format!("ssl_options.cacertfile = {path}/ca"),
            &format!("ssl_options.certfile = {path}/certificate"),
            &format!("ssl_options.keyfile = {path}/key"),
            &format!("ssl_options.verify = {verify}"),
            &format!("ssl_options.fail_if_no_peer_cert = {demands_certificate}"),
        ])
        .unwrap();
        let client = ca.issue_for_user("health-gateway");
        Self { broker, port, ca: ca.pem, client, _folder: folder }
    }

    /// Runs a check once with these settings and a URL with `host`.
    async fn run(&self, host: &str, settings: &str) -> RunOutcome {
        let user = format!("{ADMIN_USER}:{ADMIN_PASSWORD}");
        let url = format!("url = 'amqps://{user}@{host}:{}/{RABBIT_VHOST}'", self.port);
        outcome(&format!("{url}\n{settings}")).await
    }

    fn ca(&self) -> String {
        format!("ca = '''{}'''", self.ca)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_broker_with_a_certificate_from_the_ca_is_trusted() {
    let encrypted = Encrypted::start(false);
    encrypted.run("127.0.0.1", &encrypted.ca()).await.expect_working();
    let unknown = format!("ca = '''{}'''", Authority::new("unknown").pem);
    let line = encrypted.run("127.0.0.1", &unknown).await.line().to_owned();
    assert!(line.starts_with("tls: certificate is not trusted: "), "{line}");
    assert_eq!(
        encrypted.run("localhost", &encrypted.ca()).await.line(),
        format!("tls: certificate is not valid for host localhost (localhost:{})", encrypted.port)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_certificate_is_sent_to_a_broker_that_demands_one() {
    let encrypted = Encrypted::start(true);
    let client = &encrypted.client;
    let both = format!(
        "{}\ncertificate = '''{}'''\nprivate_key = '''{}'''",
        encrypted.ca(),
        client.certificate,
        client.key
    );
    encrypted.run("127.0.0.1", &both).await.expect_working();
    let line = encrypted.run("127.0.0.1", &encrypted.ca()).await.line().to_owned();
    assert!(line.contains("it demands a client certificate"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_and_tls_are_not_compatible() {
    let encrypted = Encrypted::start(false);
    let plain = encrypted.broker.port();
    let line = outcome(&format!("url = 'amqps://127.0.0.1:{plain}'\n{}", encrypted.ca())).await;
    let line = line.line();
    assert!(line.starts_with("tls: the server does not speak TLS"), "{line}");
    let line = outcome(&format!("url = 'amqp://127.0.0.1:{}'", encrypted.port)).await;
    let line = line.line();
    assert!(line.starts_with("handshake: "), "{line}");
}

#[test]
fn certificates_without_tls_are_an_error() {
    let ca = Authority::new("unknown").pem;
    assert_eq!(
        diagnostics(&KIND, "rabbit", &format!("url = 'amqp://h'\nca = '''{ca}'''")),
        ["2: rabbit.ca: expected only with a `url` that begins with `amqps`"]
    );
}
