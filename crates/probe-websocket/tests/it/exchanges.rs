//! Exchanges on an open WebSocket: an answer, other messages, silence, a close frame.

use probe_testkit::run;
use stack::websocket::shared;

use crate::{DEADLINE, SHORT_DEADLINE, assert_fails, check, run_once};

const MESSAGE: &str = "send = 'hello'\nexpect = 'hello'";

#[tokio::test]
async fn a_server_that_answers_a_ping_or_a_message_works() {
    run_once("/", "").await.expect_working();
    run_once("/", MESSAGE).await.expect_working();
    run_once("/", "send = ''\nexpect = ''").await.expect_working();
}

#[tokio::test]
async fn a_server_that_upgrades_and_does_not_answer_times_out() {
    for (more, step) in [("", "ping"), (MESSAGE, "message")] {
        let outcome = run(&check(shared().unwrap(), "/silent", more), SHORT_DEADLINE).await;
        let expected = format!("{step}: no answer within 1s ({})", stack::WEBSOCKET);
        assert_eq!(outcome.timed_out_line(), expected);
    }
}

#[tokio::test]
async fn only_the_length_of_an_unexpected_message_is_reported() {
    let wrong = "send = 'some private words'\nexpect = 'hello'";
    let outcome = run(&check(shared().unwrap(), "/", wrong), SHORT_DEADLINE).await;
    let expected = "message: not the right answer within 1s (another message of 18 bytes arrived)";
    assert_eq!(outcome.timed_out_line(), format!("{expected} ({})", stack::WEBSOCKET));
}

#[tokio::test]
async fn the_answer_must_match_exactly() {
    for expect in ["hello ", "Hello", "hell", ""] {
        let wrong = format!("send = 'hello'\nexpect = '{expect}'");
        let outcome = run(&check(shared().unwrap(), "/", &wrong), SHORT_DEADLINE).await;
        assert_eq!(outcome.timed_out_step(), "message", "{expect}");
    }
}

#[tokio::test]
async fn other_messages_are_skipped() {
    run_once("/greet/news", "").await.expect_working();
    run_once("/greet/news", MESSAGE).await.expect_working();
    let long = "x".repeat(5000);
    run_once(&format!("/greet/{long}"), "").await.expect_working();
}

#[tokio::test]
async fn too_many_other_messages_are_a_failure() {
    let more = "send = 'hello'\nexpect = 'hello'";
    let outcome = run_once("/flood", more).await;
    assert_fails(&outcome, "message: 1000 other messages arrived in place of the answer");
}

#[tokio::test]
async fn a_close_frame_before_the_answer_is_reported_with_its_code() {
    for (code, expected) in [
        (1000, "code 1000 (normal)"),
        (1008, "code 1008 (policy violation)"),
        (1011, "code 1011 (internal error)"),
        (4003, "code 4003"),
    ] {
        let outcome = run_once(&format!("/close/{code}"), "").await;
        assert_fails(&outcome, &format!("ping: the server closed the WebSocket with {expected}"));
    }
}

#[tokio::test]
async fn the_reason_of_a_close_frame_is_reported() {
    let expected = "ping: the server closed the WebSocket with code 1011 (internal error): no-room";
    assert_fails(&run_once("/close/1011/no-room", "").await, expected);
}

#[tokio::test]
async fn a_paused_server_times_out_in_the_handshake_and_works_when_it_resumes() {
    let server = stack::websocket::Websocket::start(None).unwrap();
    let check = check(([127, 0, 0, 1], server.port()).into(), "/", "");
    run(&check, DEADLINE).await.expect_working();
    server.server.pause();
    assert_eq!(run(&check, SHORT_DEADLINE).await.timed_out_step(), "handshake");
    server.server.resume();
    run(&check, DEADLINE).await.expect_working();
}

#[tokio::test]
async fn a_stopped_server_refuses_the_connection_and_a_restarted_one_works() {
    let mut server = stack::websocket::Websocket::start(None).unwrap();
    let address = ([127, 0, 0, 1], server.port()).into();
    let check = check(address, "/", "");
    run(&check, DEADLINE).await.expect_working();
    server.server.stop();
    let expected = format!("connect: connection refused ({address})");
    assert_eq!(run(&check, DEADLINE).await.line(), expected);
    server.server.restart().unwrap();
    run(&check, DEADLINE).await.expect_working();
}
