//! Errors in a section are recorded without quoting values.

use probe_postgres::KIND;

use probe_testkit::Authority;

fn check_diagnostics(toml: &str, expected: &[&str]) {
    assert_eq!(probe_testkit::diagnostics(&KIND, "postgres", toml), expected);
}

#[test]
fn the_url_is_required_and_all_errors_are_recorded() {
    check_diagnostics(
        "role = 'leader'\nconnection = 'pooled'\nca = 'hunter2'\npool = 3",
        &[
            "1: postgres: missing `url`",
            "1: postgres.role: expected `primary` or `replica` or `any`",
            "2: postgres.connection: expected `kept` or `fresh`",
            "3: postgres.ca: expected PEM with at least one certificate; a file is read with `${file:/path}`",
            "4: postgres: unknown key `pool`",
        ],
    );
}

#[test]
fn an_invalid_url_is_not_quoted() {
    check_diagnostics(
        "url = 'postgres://me:hunter2@db:54x2/app'",
        &["1: postgres.url: expected a port from 1 to 65535"],
    );
}

#[test]
fn a_ca_that_is_not_used_is_an_error() {
    let ca = Authority::new("ours").pem;
    for mode in ["", "?sslmode=prefer", "?sslmode=disable"] {
        check_diagnostics(
            &format!("url = 'postgres://me@db/app{mode}'\nca = '''{ca}'''"),
            &[
                "1: postgres.url: with `ca`, expected `sslmode=require`, `verify-ca` or `verify-full` in the URL: without it the connection may be plain text",
            ],
        );
    }
}

#[test]
fn parameters_of_other_clients_are_noted() {
    let url = "url = 'postgresql+psycopg2://me:longer-password@db/app?sslsni=1&pgbouncer=true&pool_size=5&connect_timeout=3'";
    assert_eq!(
        probe_testkit::notes(&KIND, "postgres", url),
        ["1: postgres.url: ignored here: `pgbouncer`, `pool_size`, `sslsni`"]
    );
    check_diagnostics(
        "url = 'postgres://me@db/app?sslmode=require&sslcertmode=disable'\ncertificate = 'x'\nprivate_key = 'y'",
        &[
            "1: postgres.url: expected no `sslcertmode=disable` beside `certificate`",
            "2: postgres.certificate: expected PEM with at least one certificate; a file is read with `${file:/path}`",
            "3: postgres.private_key: expected PEM with a private key that is not encrypted; a file is read with `${file:/path}`",
        ],
    );
    check_diagnostics(
        "url = 'postgres://me@db/app?schema=app'\ntable = 'events'",
        &[
            "2: postgres.table: expected the table with its schema, as in `app.events`, beside `schema` in the URL, which is ignored here",
        ],
    );
}

#[test]
fn settings_of_one_role_are_refused_for_another() {
    let url = "url = 'postgres://me@db/app'\n";
    for role in ["replica", "any"] {
        let expected = "3: postgres.write: expected `off`, or `role = \"primary\"`";
        check_diagnostics(&format!("{url}role = '{role}'\nwrite = 'message'"), &[expected]);
    }
    check_diagnostics(
        &format!("{url}role = 'any'\ntable = 'events'"),
        &["3: postgres.table: expected `role = \"primary\"`"],
    );
    check_diagnostics(
        &format!("{url}table = 'a.b.c'"),
        &["2: postgres.table: expected the name of a table, as in `events` or `app.events`"],
    );
    check_diagnostics(
        &format!("{url}max_lag = '30s'"),
        &["2: postgres.max_lag: expected `role = \"replica\"`"],
    );
    check_diagnostics(
        &format!("{url}write = 'row'"),
        &["2: postgres.write: expected `table` or `message` or `off`"],
    );
}
