//! One failure in each test, on each kind of connection, and the recovery from it.
//!
//! Each has a database and a user of its own on the shared server.

use std::process::Command;
use std::time::Duration;

use probe_testkit::{FaultProxy, RunOutcome};
use stack::postgres::{shared, sql};

use crate::{DEADLINE, SHORT_DEADLINE, check, private, run, url};

/// A database and a user with this name, and a table `data.orders`.
struct Sandbox(&'static str);

impl Sandbox {
    fn new(name: &'static str) -> Self {
        let sandbox = Self(name);
        sandbox.clear();
        sandbox.sql(&format!("CREATE ROLE {name} LOGIN PASSWORD 'of-{name}'"));
        sandbox.sql(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        sandbox.sql_in_database(&format!(
            "CREATE SCHEMA data; CREATE TABLE data.orders (id int); GRANT USAGE ON SCHEMA data TO {name}; GRANT INSERT ON data.orders TO {name}"
        ));
        sandbox
    }

    fn url(&self) -> String {
        let (name, port) = (self.0, shared().unwrap().port());
        format!("postgres://{name}:of-{name}@127.0.0.1:{port}/{name}")
    }

    /// Runs a statement as the administrator, in which `$` stands for the name.
    fn sql(&self, statement: &str) {
        sql(shared().unwrap().port(), "postgres", &statement.replace('$', self.0)).unwrap();
    }

    /// The same in the database of this name.
    fn sql_in_database(&self, statement: &str) {
        sql(shared().unwrap().port(), self.0, &statement.replace('$', self.0)).unwrap();
    }

    /// Ends the sessions of the user.
    fn end_sessions(&self) {
        self.sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '$'",
        );
    }

    fn clear(&self) {
        let port = shared().unwrap().port();
        for what in ["DATABASE", "ROLE"] {
            let force = if what == "DATABASE" { " WITH (FORCE)" } else { "" };
            let drop = format!("DROP {what} IF EXISTS {}{force}", self.0);
            // The next start of the test repeats it.
            let _left = sql(port, "postgres", &drop);
        }
    }

    /// Provokes a failure, expects its line on each kind of connection, repairs it, and expects the next run to work.
    async fn fails(&self, toml: &str, provoke: impl Fn(&Self), line: &str, repair: impl Fn(&Self)) {
        let kept = check(&self.url(), &format!("reconnect = '200ms'\n{toml}"));
        let fresh = check(&self.url(), &format!("connection = 'fresh'\n{toml}"));
        for check in [&kept, &fresh] {
            run(check).await.expect_working();
        }
        provoke(self);
        let expected = format!("{line} (127.0.0.1:{})", shared().unwrap().port());
        let one_shot = check(&self.url(), toml);
        for check in [&fresh, &one_shot] {
            assert_eq!(run(check).await.line(), expected);
        }
        let reported = async {
            loop {
                match run(&kept).await {
                    RunOutcome::Working => tokio::time::sleep(Duration::from_millis(20)).await,
                    failed => return failed.line().to_owned(),
                }
            }
        };
        assert_eq!(tokio::time::timeout(DEADLINE, reported).await.unwrap(), expected);
        repair(self);
        for check in [&kept, &fresh, &one_shot] {
            run(check).await.expect_working();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.clear();
    }
}

#[tokio::test]
async fn the_limit_of_connections_of_the_database() {
    let provoke = |sandbox: &Sandbox| sandbox.sql("ALTER DATABASE $ CONNECTION LIMIT 0");
    let line = r#"connect: too many connections for database "failure_limit", SQLSTATE 53300"#;
    let repair = |sandbox: &Sandbox| sandbox.sql("ALTER DATABASE $ CONNECTION LIMIT -1");
    Sandbox::new("failure_limit").fails("", provoke, line, repair).await;
}

#[tokio::test]
async fn the_limit_of_connections_of_the_user() {
    let provoke = |sandbox: &Sandbox| sandbox.sql("ALTER ROLE $ CONNECTION LIMIT 0");
    let line = r#"connect: too many connections for role "failure_role_limit", SQLSTATE 53300"#;
    let repair = |sandbox: &Sandbox| sandbox.sql("ALTER ROLE $ CONNECTION LIMIT -1");
    Sandbox::new("failure_role_limit").fails("", provoke, line, repair).await;
}

#[tokio::test]
async fn a_user_that_may_not_log_in() {
    let provoke = |sandbox: &Sandbox| sandbox.sql("ALTER ROLE $ NOLOGIN");
    let line = r#"authenticate: role "failure_nologin" is not permitted to log in, SQLSTATE 28000"#;
    let repair = |sandbox: &Sandbox| sandbox.sql("ALTER ROLE $ LOGIN");
    Sandbox::new("failure_nologin").fails("", provoke, line, repair).await;
}

#[tokio::test]
async fn a_database_that_was_renamed() {
    let provoke = |sandbox: &Sandbox| {
        sandbox.end_sessions();
        sandbox.sql("ALTER DATABASE $ RENAME TO $_old");
    };
    let line = r#"connect: database "failure_renamed" does not exist, SQLSTATE 3D000"#;
    let repair = |sandbox: &Sandbox| sandbox.sql("ALTER DATABASE $_old RENAME TO $");
    Sandbox::new("failure_renamed").fails("", provoke, line, repair).await;
}

#[tokio::test]
async fn a_user_whose_transactions_are_read_only() {
    let provoke =
        |sandbox: &Sandbox| sandbox.sql("ALTER ROLE $ SET default_transaction_read_only = on");
    let line =
        "role: read-only: `default_transaction_read_only` is on for this server, database or user";
    let repair =
        |sandbox: &Sandbox| sandbox.sql("ALTER ROLE $ RESET default_transaction_read_only");
    Sandbox::new("failure_read_only").fails("", provoke, line, repair).await;
}

#[tokio::test]
async fn a_table_that_was_dropped() {
    let provoke =
        |sandbox: &Sandbox| sandbox.sql_in_database("ALTER TABLE data.orders RENAME TO orders_old");
    let line = r#"table: relation "data.orders" does not exist, SQLSTATE 42P01"#;
    let repair =
        |sandbox: &Sandbox| sandbox.sql_in_database("ALTER TABLE data.orders_old RENAME TO orders");
    Sandbox::new("failure_dropped").fails("table = 'data.orders'", provoke, line, repair).await;
}

#[tokio::test]
async fn a_schema_that_was_renamed() {
    let provoke =
        |sandbox: &Sandbox| sandbox.sql_in_database("ALTER SCHEMA data RENAME TO data_old");
    let line = r#"table: schema "data" does not exist, SQLSTATE 3F000"#;
    let repair =
        |sandbox: &Sandbox| sandbox.sql_in_database("ALTER SCHEMA data_old RENAME TO data");
    Sandbox::new("failure_schema").fails("table = 'data.orders'", provoke, line, repair).await;
}

#[tokio::test]
async fn a_schema_that_the_user_may_not_use() {
    let provoke = |sandbox: &Sandbox| sandbox.sql_in_database("REVOKE USAGE ON SCHEMA data FROM $");
    let line = "table: permission denied for schema data, SQLSTATE 42501";
    let repair = |sandbox: &Sandbox| sandbox.sql_in_database("GRANT USAGE ON SCHEMA data TO $");
    Sandbox::new("failure_usage").fails("table = 'data.orders'", provoke, line, repair).await;
}

/// Nothing is proven without these privileges, which is no failure.
#[tokio::test]
async fn a_user_that_may_neither_write_a_table_nor_a_message() {
    let sandbox = Sandbox::new("failure_temporary");
    let check = check(&sandbox.url(), "connection = 'fresh'\nwrite_every = '1ms'");
    run(&check).await.expect_working();
    sandbox.sql("REVOKE TEMPORARY ON DATABASE $ FROM PUBLIC");
    run(&check).await.expect_working();
}

#[tokio::test]
async fn a_kept_session_that_a_firewall_has_forgotten() {
    let proxy = FaultProxy::start(shared().unwrap());
    let check = check(&url(proxy.address().port()), "");
    run(&check).await.expect_working();
    proxy.swallow_open();
    probe_testkit::run(&check, Duration::from_secs(2)).await.expect_working();
    assert_eq!(proxy.wait_for_open(1).await.accepted, 2);
    run(&check).await.expect_working();
    assert_eq!(proxy.counts().accepted, 2);
}

#[tokio::test]
async fn a_kept_session_whose_process_hangs() {
    let server = private(&[]);
    let check = check(&url(server.port()), "");
    run(&check).await.expect_working();
    let signal = |signal: &str| {
        let query = "SELECT pid FROM pg_stat_activity WHERE usename = 'health' ORDER BY backend_start LIMIT 1";
        let pid = server.sql("postgres", query).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    };
    signal("-STOP");
    probe_testkit::run(&check, Duration::from_secs(2)).await.expect_working();
    run(&check).await.expect_working();
    signal("-CONT");
}

#[tokio::test]
async fn a_server_that_is_silent_on_every_connection() {
    let proxy = FaultProxy::start(shared().unwrap());
    let check = check(&url(proxy.address().port()), "");
    run(&check).await.expect_working();
    proxy.swallow();
    let cut = probe_testkit::run(&check, SHORT_DEADLINE).await;
    let target = proxy.address();
    assert_eq!(cut.timed_out_line(), format!("query: no answer within 500ms ({target})"));
    assert_eq!(proxy.wait_for_open(0).await.accepted, 2);
    proxy.heal();
    run(&check).await.expect_working();
}

#[tokio::test]
async fn a_server_that_delays_every_answer() {
    let proxy = FaultProxy::start(shared().unwrap());
    let check = check(&url(proxy.address().port()), "");
    run(&check).await.expect_working();
    proxy.delay(Duration::from_secs(1));
    let cut = probe_testkit::run(&check, SHORT_DEADLINE).await;
    assert!(cut.timed_out_line().starts_with("query: no answer within 500ms"), "{cut:?}");
    proxy.heal();
    run(&check).await.expect_working();
}
