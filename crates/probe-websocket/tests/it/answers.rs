//! What comes on an open WebSocket: the answer, something else, nothing, or the end.

use probe_testkit::run;
use stack::websocket::shared;

use crate::{PATIENCE, SILENCE, ask, assert_fails, check};

const MESSAGE: &str = "send = 'hello'\nexpect = 'hello'";

#[tokio::test]
async fn a_ping_or_a_message_that_is_answered_is_working() {
    ask("/", "").await.expect_working();
    ask("/", MESSAGE).await.expect_working();
    ask("/", "send = ''\nexpect = ''").await.expect_working();
}

#[tokio::test]
async fn a_server_that_upgrades_and_stays_silent_is_not_working() {
    for (more, step) in [("", "ping"), (MESSAGE, "message")] {
        let outcome = run(&check(shared().unwrap(), "/silent", more), SILENCE).await;
        let expected = format!("{step}: no answer within 1s ({})", stack::WEBSOCKET);
        assert_eq!(outcome.cut_line(), expected);
    }
}

#[tokio::test]
async fn another_answer_than_the_expected_one_is_told_by_its_length_alone() {
    let wrong = "send = 'some private words'\nexpect = 'hello'";
    let outcome = run(&check(shared().unwrap(), "/", wrong), SILENCE).await;
    let expected = "message: not the right answer within 1s (another message came, of 18 bytes)";
    assert_eq!(outcome.cut_line(), format!("{expected} ({})", stack::WEBSOCKET));
}

#[tokio::test]
async fn the_answer_is_exact_to_the_last_character() {
    for expect in ["hello ", "Hello", "hell", ""] {
        let wrong = format!("send = 'hello'\nexpect = '{expect}'");
        let outcome = run(&check(shared().unwrap(), "/", &wrong), SILENCE).await;
        assert_eq!(outcome.cut_step(), "message", "{expect}");
    }
}

#[tokio::test]
async fn what_the_server_says_besides_is_skipped() {
    ask("/greet/news", "").await.expect_working();
    ask("/greet/news", MESSAGE).await.expect_working();
    let long = "x".repeat(5000);
    ask(&format!("/greet/{long}"), "").await.expect_working();
}

#[tokio::test]
async fn a_server_that_only_talks_is_not_working() {
    let more = "send = 'hello'\nexpect = 'hello'";
    let outcome = ask("/flood", more).await;
    assert_fails(&outcome, "message: 1000 other messages came in place of the answer");
}

#[tokio::test]
async fn a_server_that_closes_before_it_answers_is_quoted_with_its_code() {
    for (code, expected) in [
        (1000, "code 1000 (normal)"),
        (1008, "code 1008 (policy violation)"),
        (1011, "code 1011 (internal error)"),
        (4003, "code 4003"),
    ] {
        let outcome = ask(&format!("/close/{code}"), "").await;
        assert_fails(&outcome, &format!("ping: the server closed the WebSocket with {expected}"));
    }
}

#[tokio::test]
async fn the_reason_of_a_close_is_quoted() {
    let expected = "ping: the server closed the WebSocket with code 1011 (internal error): no-room";
    assert_fails(&ask("/close/1011/no-room", "").await, expected);
}

#[tokio::test]
async fn a_paused_server_is_named_by_the_handshake_and_works_when_it_is_back() {
    let server = stack::websocket::Websocket::start(None).unwrap();
    let check = check(([127, 0, 0, 1], server.port()).into(), "/", "");
    run(&check, PATIENCE).await.expect_working();
    server.server.pause();
    assert_eq!(run(&check, SILENCE).await.cut_step(), "handshake");
    server.server.resume();
    run(&check, PATIENCE).await.expect_working();
}

#[tokio::test]
async fn a_stopped_server_refuses_and_a_restarted_one_works_at_once() {
    let mut server = stack::websocket::Websocket::start(None).unwrap();
    let address = ([127, 0, 0, 1], server.port()).into();
    let check = check(address, "/", "");
    run(&check, PATIENCE).await.expect_working();
    server.server.stop();
    let expected = format!("connect: connection refused ({address})");
    assert_eq!(run(&check, PATIENCE).await.line(), expected);
    server.server.restart().unwrap();
    run(&check, PATIENCE).await.expect_working();
}
