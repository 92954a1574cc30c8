//! Answers with ids: a random value in message and answer, parts of texts, and patterns.

use std::sync::Arc;

use futures_util::future::join_all;
use probe::DynCheck;
use probe_testkit::{RunOutcome, run};
use stack::websocket::Websocket;

use crate::{DEADLINE, SHORT_DEADLINE, check};

fn check_of(server: &Websocket, path: &str, more: &str) -> Arc<dyn DynCheck> {
    check(([127, 0, 0, 1], server.port()).into(), path, more)
}

/// Runs a check with each of these answers at the same time, for at most a second.
async fn run_all(server: &Websocket, path: &str, send: &str, answers: &[&str]) -> Vec<RunOutcome> {
    let runs = answers.iter().map(|answer| async move {
        run(&check_of(server, path, &format!("{send}\n{answer}")), SHORT_DEADLINE).await
    });
    join_all(runs).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_the_id_of_the_message_is_found_among_others() {
    let server = Websocket::start(None).unwrap();
    let send = r#"send = '{"id": "${random}"}'"#;
    for answer in [
        r#"expect = '{"result": "pong", "id": "${random}"}'"#,
        r#"contains = '"id": "${random}"'"#,
        r#"matches = '^\{"result": "(pong|ok)", "id": "${random}"\}$'"#,
        "contains = '${random}'\nmatches = 'po+ng'",
    ] {
        let check = check_of(&server, "/rpc", &format!("{send}\n{answer}"));
        run(&check, DEADLINE).await.expect_working();
        run(&check, DEADLINE).await.expect_working();
    }
    let wrong = [
        r#"contains = '"error"'"#,
        r#"matches = '"id": "x'"#,
        "contains = '${random}'\nmatches = 'error'",
        "contains = 'error'\nmatches = '${random}'",
    ];
    let expected =
        "message: not the right answer within 1s (2 other messages arrived, the last of 60 bytes)";
    let expected = format!("{expected} (127.0.0.1:{})", server.port());
    for outcome in run_all(&server, "/rpc", send, &wrong).await {
        assert_eq!(outcome.timed_out_line(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_sends_without_reading_is_not_working() {
    let server = Websocket::start(None).unwrap();
    let constant = "send = 'ping'\nexpect = 'pong'";
    run(&check_of(&server, "/talk/pong", constant), DEADLINE).await.expect_working();
    let random = ["expect = 'pong ${random}'", "contains = '${random}'", "matches = '${random}'"];
    for outcome in run_all(&server, "/talk/pong", "send = '${random}'", &random).await {
        assert_eq!(outcome.timed_out_step(), "message");
    }
}

#[tokio::test]
async fn each_run_sends_another_value() {
    let server = Websocket::start(None).unwrap();
    // The echo of a run has the value of this run alone, 32 hexadecimal digits twice.
    let more = "send = '${random} ${random}'\nmatches = '^[0-9a-f]{32} ${random}$'";
    run(&check_of(&server, "/", more), DEADLINE).await.expect_working();
}
