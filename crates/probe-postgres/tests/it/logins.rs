//! Servers that refuse the login.

use std::time::Duration;

use probe::SharedResources;
use probe_postgres::KIND;
use probe_testkit::{FaultProxy, RunOutcome, checks, component_sharing};
use stack::pgbouncer::PgBouncer;
use stack::pgpool::Pgpool;
use stack::postgres::shared;
use stack::{HEALTH_PASSWORD, HEALTH_USER};

use crate::{check, check_line, private, run, url};

#[tokio::test]
async fn a_wrong_password_is_reported_without_its_value() {
    let port = shared().unwrap().port();
    run(&check(&url(port), "")).await.expect_working();
    let url = url(port).replace(HEALTH_PASSWORD, "hunter2-is-wrong");
    let expected = r#"authenticate: password authentication failed for user "health", SQLSTATE 28P01 (127.0.0.1:PORT)"#;
    check_line(port, &url, "", expected).await;
}

#[tokio::test]
async fn a_missing_password_is_reported() {
    let port = shared().unwrap().port();
    run(&check(&url(port), "")).await.expect_working();
    let url = url(port).replace(&format!(":{HEALTH_PASSWORD}"), "");
    check_line(port, &url, "", "authenticate: password missing (127.0.0.1:PORT)").await;
}

/// JDBC and `SQLAlchemy` read parameters as an HTML form has them, and libpq does not.
#[tokio::test]
async fn a_plus_in_a_parameter_means_what_it_means_to_the_client() {
    let server = private(&[]);
    let role = "CREATE ROLE spaced LOGIN PASSWORD 'two words, one password'; GRANT CONNECT, TEMPORARY ON DATABASE app TO spaced";
    server.sql("app", role).unwrap();
    let port = server.port();
    let query = "user=spaced&password=two+words%2C+one+password&options=-c+search_path%3Dpublic";
    for scheme in ["jdbc:postgresql", "postgresql+psycopg2"] {
        let url = format!("{scheme}://127.0.0.1:{port}/app?{query}");
        run(&check(&url, "")).await.expect_working();
    }
    let url = format!("postgres://127.0.0.1:{port}/app?{query}");
    let expected = r#"authenticate: password authentication failed for user "spaced", SQLSTATE 28P01 (127.0.0.1:PORT)"#;
    check_line(port, &url, "", expected).await;
    let options = "?options=-c+search_path%3Dpublic";
    let outcome = run(&check(&(self::url(port) + options), "")).await;
    let expected = r#"unrecognized configuration parameter "+search_path""#;
    assert!(outcome.line().contains(expected), "{outcome:?}");
    let options = "?options=-c%20search_path%3Dpublic";
    run(&check(&(self::url(port) + options), "")).await.expect_working();
}

#[tokio::test]
async fn an_unknown_user_is_reported_like_a_wrong_password() {
    let port = shared().unwrap().port();
    let url = url(port).replace(&format!("{HEALTH_USER}:"), "unknown:");
    let expected = r#"authenticate: password authentication failed for user "unknown", SQLSTATE 28P01 (127.0.0.1:PORT)"#;
    check_line(port, &url, "", expected).await;
}

#[tokio::test]
async fn an_unknown_database_is_reported() {
    let port = shared().unwrap().port();
    run(&check(&url(port), "")).await.expect_working();
    let url = url(port).replace("/app", "/absent");
    let expected = r#"connect: database "absent" does not exist, SQLSTATE 3D000 (127.0.0.1:PORT)"#;
    check_line(port, &url, "", expected).await;
}

#[tokio::test]
async fn a_missing_privilege_to_connect_is_reported() {
    let port = shared().unwrap().port();
    let url = url(port).replace("/app", "/template1");
    // `PUBLIC` may connect to `template1`, and the check needs no other privilege.
    run(&check(&url, "")).await.expect_working();
    let server = private(&[]);
    server.sql("postgres", "REVOKE CONNECT ON DATABASE app FROM health").unwrap();
    let expected =
        r#"connect: permission denied for database "app", SQLSTATE 42501 (127.0.0.1:PORT)"#;
    let url = crate::url(server.port());
    check_line(server.port(), &url, "", expected).await;
    server.sql("postgres", "GRANT CONNECT ON DATABASE app TO health").unwrap();
    run(&check(&url, "")).await.expect_working();
}

#[tokio::test]
async fn with_fresh_a_server_out_of_connections_is_a_failure_until_one_is_free() {
    // Three of the connections are reserved for superusers by default.
    let server = private(&["max_connections = 5", "max_wal_senders = 0"]);
    let url = url(server.port());
    let holder = check(&url, "");
    let other = check(&url, "");
    run(&holder).await.expect_working();
    run(&other).await.expect_working();

    let fresh = check(&url, "connection = 'fresh'");
    let outcome = run(&fresh).await;
    let line = outcome.line();
    assert!(line.starts_with("connect: ") && line.contains("SQLSTATE 53300"), "{line}");
    run(&holder).await.expect_working();

    drop(other);
    wait_for_sessions(&server, 1).await;
    run(&fresh).await.expect_working();
}

/// Waits until the gateway's user has this number of sessions on the server.
async fn wait_for_sessions(server: &stack::postgres::Postgres, count: usize) {
    let query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'health'";
    while server.sql("postgres", query).unwrap() != count.to_string() {
        // A task of this runtime closes the connection.
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_refused_password_is_not_tried_again_before_a_pause() {
    let server = private(&[]);
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into());
    let url = url(proxy.address().port()).replace(HEALTH_PASSWORD, "another-password");
    let shared = SharedResources::default();
    let other_database =
        format!("url = '{}'\nconnection = 'fresh'", url.replace("/app", "/postgres"));
    let checks = [format!("url = '{url}'"), other_database].map(|toml| {
        let component = component_sharing(&KIND, "postgres", &toml, &shared);
        checks(&component).remove(0).1
    });
    let refused =
        r#"authenticate: password authentication failed for user "health", SQLSTATE 28P01"#;
    for check in checks.iter().cycle().take(20) {
        assert!(run(check).await.line().starts_with(refused));
    }
    let line = run(&checks[1]).await.line().to_owned();
    assert!(
        line.contains("SQLSTATE 28P01, refused ") && line.contains(", next attempt in "),
        "{line}"
    );
    assert_eq!(proxy.counts().accepted, 1);
    server.sql("app", "ALTER ROLE health PASSWORD 'another-password'").unwrap();
    let repaired = async {
        while !run(&checks[0]).await.is_working() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), repaired).await.unwrap();
    assert_eq!(proxy.counts().accepted, 2);
}

#[tokio::test]
async fn credentials_that_a_pooler_refuses_are_refused() {
    let upstream = shared().unwrap().port();
    // The pooler knows no other user.
    for (auth_type, user, line) in [
        ("scram-sha-256", HEALTH_USER, "authenticate: SASL authentication failed, SQLSTATE 08P01"),
        ("md5", HEALTH_USER, "authenticate: password authentication failed, SQLSTATE 08P01"),
        ("md5", "unknown", "authenticate: password authentication failed, SQLSTATE 08P01"),
        ("trust", "unknown", "authenticate: \"trust\" authentication failed, SQLSTATE 08P01"),
    ] {
        let pooler = PgBouncer::start(upstream, &[&format!("auth_type = {auth_type}")]).unwrap();
        check_refused(pooler.port(), user, line).await;
    }
    let pgpool = Pgpool::start(upstream).unwrap();
    for (user, line) in [
        (HEALTH_USER, "authenticate: authentication failed, SQLSTATE XX000"),
        ("unknown", "authenticate: SCRAM authentication failed, SQLSTATE XX000"),
    ] {
        check_refused(pgpool.port(), user, line).await;
    }
}

/// Asserts that a wrong password is refused with `line` on this port, and not tried again before a pause.
async fn check_refused(port: u16, user: &str, line: &str) {
    let check = check(&format!("postgres://{user}:hunter2-is-wrong@127.0.0.1:{port}/app"), "");
    let outcome = run(&check).await;
    assert_eq!(outcome.line(), format!("{line} (127.0.0.1:{port})"));
    let RunOutcome::Failed { failure, .. } = &outcome else { unreachable!() };
    assert!(failure.cause().is_login_refused());
    assert!(run(&check).await.line().contains(", refused "));
}
