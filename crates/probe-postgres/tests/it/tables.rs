//! A table that the application inserts rows into.

use std::time::Duration;

use stack::postgres::{ADMIN_PASSWORD, ADMIN_USER, Postgres};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls};

use crate::{check, check_line, private, run, url};

const SHORT: Duration = Duration::from_millis(300);

fn server_with_table() -> Postgres {
    let server = private(&[]);
    let create = "CREATE SCHEMA data; CREATE TABLE data.events (value int) PARTITION BY RANGE (value); CREATE TABLE data.first PARTITION OF data.events FOR VALUES FROM (0) TO (9); GRANT USAGE ON SCHEMA data TO health; GRANT INSERT ON data.events TO health";
    server.sql("app", create).unwrap();
    server
}

/// The locks for an `INSERT` that the gateway's user has or waits for.
fn locks(server: &Postgres) -> String {
    let query = "SELECT count(*) FROM pg_locks WHERE mode = 'RowExclusiveLock' AND relation = 'data.events'::regclass";
    server.sql("app", query).unwrap()
}

/// A session of the administrator.
async fn session(server: &Postgres) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.user(ADMIN_USER).password(ADMIN_PASSWORD).dbname("app");
    let stream = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    let (client, connection) = config.connect_raw(stream, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_is_a_failure_and_no_run_stays_in_its_queue() {
    let server = server_with_table();
    let check = check(&url(server.port()), "table = 'data.events'");
    run(&check).await.expect_working();
    assert_eq!(locks(&server), "0");
    let migration = session(&server).await;
    migration.batch_execute("BEGIN; LOCK TABLE data.first").await.unwrap();
    // Rows of other partitions can be inserted.
    run(&check).await.expect_working();
    migration.batch_execute("ROLLBACK; BEGIN; LOCK TABLE data.events IN SHARE MODE").await.unwrap();
    for _ in 0..3 {
        let outcome = probe_testkit::run(&check, SHORT).await;
        let expected = "table: no lock for INSERT on data.events within 300ms (127.0.0.1:PORT)";
        assert_eq!(outcome.timed_out_line(), expected.replace("PORT", &server.port().to_string()));
    }
    let begun = std::time::Instant::now();
    while locks(&server) != "0" {
        assert!(begun.elapsed() < crate::DEADLINE, "a run still waits for the lock");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    migration.batch_execute("ROLLBACK").await.unwrap();
    run(&check).await.expect_working();
}

#[tokio::test]
async fn a_table_without_the_privilege_to_insert_is_a_failure() {
    let server = server_with_table();
    let port = server.port();
    for (change, expected) in [
        (
            "REVOKE INSERT ON data.events FROM health; GRANT UPDATE ON data.events TO health",
            "table: permission denied to INSERT into data.events (127.0.0.1:PORT)",
        ),
        (
            "REVOKE UPDATE ON data.events FROM health",
            "table: permission denied for table events, SQLSTATE 42501 (127.0.0.1:PORT)",
        ),
        (
            "REVOKE USAGE ON SCHEMA data FROM health",
            "table: permission denied for schema data, SQLSTATE 42501 (127.0.0.1:PORT)",
        ),
    ] {
        server.sql("app", change).unwrap();
        check_line(port, &url(port), "table = 'data.events'", expected).await;
    }
    let grant = "GRANT USAGE ON SCHEMA data TO health; GRANT INSERT ON data.events TO health";
    server.sql("app", grant).unwrap();
    run(&check(&url(port), "table = 'data.events'")).await.expect_working();
    let expected = r#"table: relation "absent" does not exist, SQLSTATE 42P01 (127.0.0.1:PORT)"#;
    check_line(port, &url(port), "table = 'absent'", expected).await;
}
