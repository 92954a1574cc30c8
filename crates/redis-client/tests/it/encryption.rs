//! TLS: server certificates, client certificates, and a peer without TLS on either side.

use probe_testkit::{Authority, RunOutcome, TlsFiles, diagnostics, run};
use stack::redis::Redis;

use crate::support::{ONE, SHORT_TIMEOUT, check, execute};

/// A server with TLS on a second port, and the certificates of both sides.
struct Encrypted {
    server: Redis,
    port: u16,
    files: TlsFiles,
}

impl Encrypted {
    fn start(auth_clients: &str) -> Self {
        let files = TlsFiles::new("127.0.0.1");
        let port = stack::free_port().unwrap();
        let tls = files.redis_settings(port);
        // Of a setting that is given twice, the last one applies.
        let auth_clients = format!("tls-auth-clients {auth_clients}");
        let settings: Vec<_> = tls.iter().chain([&auth_clients]).map(String::as_str).collect();
        let server = Redis::start(&settings).unwrap();
        Self { server, port, files }
    }

    /// Runs a check once with the URL and these settings.
    async fn run(&self, settings: &str) -> RunOutcome {
        let url = format!("url = 'rediss://127.0.0.1:{}'", self.port);
        execute(&check(&format!("{url}\n{settings}"))).await
    }

    fn ca(&self) -> String {
        self.files.authority.toml()
    }
}

#[tokio::test]
async fn a_certificate_from_the_configured_authority_is_trusted() {
    let encrypted = Encrypted::start("no");
    encrypted.run(&encrypted.ca()).await.expect_working();
}

#[tokio::test]
async fn a_certificate_from_an_unknown_authority_is_not_trusted() {
    let encrypted = Encrypted::start("no");
    let outcome = encrypted.run(&Authority::new("unknown").toml()).await;
    let line = outcome.line();
    assert!(line.starts_with("tls: certificate is not trusted: "), "{line}");
    encrypted.run(&encrypted.ca()).await.expect_working();
}

#[tokio::test]
async fn a_certificate_for_another_host_is_not_trusted() {
    let encrypted = Encrypted::start("no");
    let toml = format!("url = 'rediss://localhost:{}'\n{}", encrypted.port, encrypted.ca());
    assert_eq!(
        execute(&check(&toml)).await.line(),
        format!("tls: certificate is not valid for host localhost (localhost:{})", encrypted.port)
    );
    encrypted.run(&encrypted.ca()).await.expect_working();
}

#[tokio::test]
async fn a_client_certificate_is_presented_on_demand() {
    let encrypted = Encrypted::start("yes");
    let both = format!("{}\n{}", encrypted.ca(), encrypted.files.client.toml());
    encrypted.run(&both).await.expect_working();
    assert_eq!(
        encrypted.run(&encrypted.ca()).await.line(),
        format!(
            "handshake: the server refused the handshake: it demands a client certificate (127.0.0.1:{})",
            encrypted.port
        )
    );
}

#[tokio::test]
async fn a_server_without_tls_times_out_in_the_handshake() {
    let encrypted = Encrypted::start("no");
    let plain = encrypted.server.port();
    let toml = format!("url = 'rediss://127.0.0.1:{plain}'\n{}", encrypted.ca());
    // Redis parses the `ClientHello` as the beginning of a command, and waits for the rest.
    assert_eq!(run(&check(&toml), SHORT_TIMEOUT).await.timed_out_step(), "tls");
}

#[tokio::test]
async fn a_server_with_tls_closes_a_plain_connection() {
    let encrypted = Encrypted::start("no");
    let outcome = execute(&check(&format!("url = 'redis://127.0.0.1:{}'", encrypted.port))).await;
    let line = outcome.line();
    assert!(line.starts_with("handshake: "), "{line}");
}

#[test]
fn certificates_without_tls_are_an_error() {
    let ca = Authority::new("unknown").toml();
    assert_eq!(
        diagnostics(&ONE, "redis", &format!("url = 'redis://h'\n{ca}")),
        ["2: redis.ca: expected only with a `url` that begins with `rediss`"]
    );
}
