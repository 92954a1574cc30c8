//! `sslmode`, `ca` and client certificates with a real TLS server.

use stack::postgres::{Postgres, shared};
use tokio::task::JoinSet;

use crate::{check, check_line, private, run, url};
use probe_testkit::{Authority, Identity};

const HBA: &str = "
host    all all    127.0.0.1/32 scram-sha-256
";

/// TLS is required, and the user `badge` needs a client certificate.
const HBA_TLS: &str = "
host    all postgres 127.0.0.1/32 scram-sha-256
hostssl all badge    127.0.0.1/32 cert
hostssl all health   127.0.0.1/32 scram-sha-256
";

/// A server with a certificate for `host` from `ca`, and these rules in `pg_hba.conf`.
fn server(ca: &Authority, host: &str, hba: &str) -> Postgres {
    let mut server = private(&[]);
    server.sql("app", "CREATE ROLE badge LOGIN; GRANT CONNECT ON DATABASE app TO badge").unwrap();
    let identity = ca.issue(host);
    for (name, text) in [
        ("server.crt", identity.certificate.as_str()),
        ("server.key", &identity.key),
        ("ca.crt", &ca.pem),
        ("pg_hba.conf", hba),
    ] {
        server.write(name, text).unwrap();
    }
    server.configure(&["ssl = on", "ssl_ca_file = 'ca.crt'"]).unwrap();
    server
}

fn trusting(ca: &Authority) -> String {
    format!("ca = '''{}'''\n", ca.pem)
}

fn client_certificate(identity: &Identity) -> String {
    let Identity { certificate, key } = identity;
    format!("certificate = '''{certificate}'''\nprivate_key = '''{key}'''\n")
}

/// Whether the server reports the session of the gateway as encrypted.
fn is_encrypted(server: &Postgres) -> bool {
    let query = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'health'";
    server.sql("postgres", query).unwrap() == "t"
}

#[tokio::test]
async fn each_sslmode_encrypts_and_verifies_as_documented() {
    let ca = Authority::new("ours");
    let server = server(&ca, "127.0.0.1", HBA);
    let url = url(server.port());
    let ca_setting = trusting(&ca);
    for (mode, toml, encrypted) in [
        ("disable", "", false),
        ("prefer", "", true),
        ("require", "", true),
        ("require", &ca_setting, true),
        ("verify-ca", &ca_setting, true),
        ("verify-full", &ca_setting, true),
    ] {
        let check = check(&format!("{url}?sslmode={mode}"), toml);
        run(&check).await.expect_working();
        assert_eq!(is_encrypted(&server), encrypted, "{mode}");
        drop(check);
        let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'health'";
        server.sql("postgres", end).unwrap();
    }
}

#[tokio::test]
async fn an_untrusted_issuer_is_refused_by_every_mode_that_verifies() {
    let server = server(&Authority::new("theirs"), "127.0.0.1", HBA);
    let (port, url) = (server.port(), url(server.port()));
    let ca_setting = trusting(&Authority::new("ours"));
    let expected = "tls: certificate is not trusted: unknown issuer (127.0.0.1:PORT)";
    for mode in ["require", "verify-ca", "verify-full"] {
        check_line(port, &format!("{url}?sslmode={mode}"), &ca_setting, expected).await;
    }
    run(&check(&format!("{url}?sslmode=require"), "")).await.expect_working();
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused_only_by_verify_full() {
    let ca = Authority::new("ours");
    let server = server(&ca, "db", HBA);
    let (port, url) = (server.port(), url(server.port()));
    let expected = "tls: certificate is not valid for host 127.0.0.1 (127.0.0.1:PORT)";
    check_line(port, &format!("{url}?sslmode=verify-full"), &trusting(&ca), expected).await;
    run(&check(&format!("{url}?sslmode=verify-ca"), &trusting(&ca))).await.expect_working();
    // With an address, the host is the name of the certificate.
    let named = url.replace("127.0.0.1", "db");
    let named = format!("{named}?sslmode=verify-full&hostaddr=127.0.0.1");
    run(&check(&named, &trusting(&ca))).await.expect_working();
}

#[tokio::test]
async fn a_server_without_tls_is_refused_by_every_mode_but_prefer() {
    let port = shared().unwrap().port();
    let expected = "negotiate: the server has no TLS, but `sslmode` demands it (127.0.0.1:PORT)";
    for mode in ["require", "verify-ca", "verify-full"] {
        check_line(port, &format!("{}?sslmode={mode}", url(port)), "", expected).await;
    }
    run(&check(&format!("{}?sslmode=prefer", url(port)), "")).await.expect_working();
}

#[tokio::test]
async fn a_server_that_requires_tls_refuses_plain_text() {
    let server = server(&Authority::new("ours"), "127.0.0.1", HBA_TLS);
    let (port, url) = (server.port(), url(server.port()));
    let expected = r#"authenticate: no pg_hba.conf entry for host "127.0.0.1", user "health", database "app", no encryption, SQLSTATE 28000 (127.0.0.1:PORT)"#;
    check_line(port, &format!("{url}?sslmode=disable"), "", expected).await;
    run(&check(&url, "")).await.expect_working();
}

#[tokio::test]
async fn prefer_falls_back_to_plain_text_if_the_server_refuses_tls() {
    let hba = "hostnossl all all 127.0.0.1/32 scram-sha-256\n";
    let server = server(&Authority::new("ours"), "127.0.0.1", hba);
    let (port, url) = (server.port(), url(server.port()));
    run(&check(&url, "")).await.expect_working();
    assert!(!is_encrypted(&server));
    let expected = r#"authenticate: no pg_hba.conf entry for host "127.0.0.1", user "health", database "app", SSL encryption, SQLSTATE 28000 (127.0.0.1:PORT)"#;
    check_line(port, &format!("{url}?sslmode=require"), "", expected).await;
}

#[tokio::test]
async fn a_client_certificate_authenticates() {
    let ca = Authority::new("ours");
    let server = server(&ca, "127.0.0.1", HBA_TLS);
    let port = server.port();
    let url = format!("postgres://badge@127.0.0.1:{port}/app?sslmode=verify-full");
    let with = |identity| trusting(&ca) + &client_certificate(&identity);

    run(&check(&url, &with(ca.issue_for_user("badge")))).await.expect_working();

    let expected = "authenticate: connection requires a valid client certificate, SQLSTATE 28000 (127.0.0.1:PORT)";
    check_line(port, &url, &trusting(&ca), expected).await;

    let expected = r#"authenticate: certificate authentication failed for user "badge", SQLSTATE 28000 (127.0.0.1:PORT)"#;
    check_line(port, &url, &with(ca.issue_for_user("other")), expected).await;

    let expected = "authenticate: the server refused the handshake: it does not trust the issuer of our client certificate (127.0.0.1:PORT)";
    let untrusted = Authority::new("theirs").issue_for_user("badge");
    check_line(port, &url, &with(untrusted), expected).await;
}

#[tokio::test]
async fn a_login_is_bound_to_its_certificate_on_demand() {
    let ca = Authority::new("ours");
    let server = server(&ca, "127.0.0.1", HBA);
    let (port, url) = (server.port(), url(server.port()));
    let bound = format!("{url}?channel_binding=require&sslmode=");
    run(&check(&format!("{bound}verify-full"), &trusting(&ca))).await.expect_working();
    run(&check(&format!("{bound}require"), "")).await.expect_working();
    // Without TLS there is nothing to bind to.
    let expected = "authenticate: server did not use channel binding (127.0.0.1:PORT)";
    check_line(port, &format!("{bound}disable"), "", expected).await;
    let plain = shared().unwrap().port();
    let without_tls = crate::url(plain) + "?channel_binding=require";
    check_line(plain, &without_tls, "", expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_an_encrypted_session_is_cancelled() {
    let ca = Authority::new("ours");
    let mut server = server(&ca, "127.0.0.1", HBA_TLS);
    server.configure(&["synchronous_standby_names = 'lost'"]).unwrap();
    let url = format!("{}?sslmode=verify-full&channel_binding=require", url(server.port()));
    let check = check(&url, &trusting(&ca));
    let deadline = std::time::Duration::from_millis(300);
    assert_eq!(probe_testkit::run(&check, deadline).await.timed_out_step(), "commit");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while server.sql("postgres", waiting).unwrap() != "0" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn certificates_are_read_from_the_files_of_the_url() {
    let ca = Authority::new("ours");
    let server = server(&ca, "127.0.0.1", HBA_TLS);
    let port = server.port();
    let identity = ca.issue_for_user("badge");
    let folder = server.home();
    let [authorities, certificate, key] =
        ["client-ca.crt", "client.crt", "client.key"].map(|name| folder.join(name));
    let url = format!(
        "postgres://badge@127.0.0.1:{port}/app?sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
        authorities.display(),
        certificate.display(),
        key.display(),
    );
    let check = check(&url, "connection = 'fresh'");
    let expected = format!("tls: sslrootcert: no such file or directory (127.0.0.1:{port})");
    assert_eq!(run(&check).await.line(), expected);
    std::fs::write(&authorities, &ca.pem).unwrap();
    std::fs::write(&certificate, &identity.certificate).unwrap();
    std::fs::write(&key, &identity.key).unwrap();
    run(&check).await.expect_working();
    let mut runs = JoinSet::new();
    for index in 0..20 {
        let check = crate::check(&format!("{url}&application_name={index}"), "role = 'any'");
        runs.spawn(async move { run(&check).await });
    }
    for outcome in runs.join_all().await {
        outcome.expect_working();
    }
    let expected = "authenticate: connection requires a valid client certificate, SQLSTATE 28000 (127.0.0.1:PORT)";
    check_line(port, &format!("{url}&sslcertmode=disable"), "", expected).await;
    std::fs::write(&authorities, Authority::new("theirs").pem).unwrap();
    let expected = format!("tls: certificate is not trusted: unknown issuer (127.0.0.1:{port})");
    assert_eq!(run(&check).await.line(), expected);
}
