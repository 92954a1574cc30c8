//! What a caller wishes, and who it is, reaches whoever makes the report.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use gateway::http::Limits;
use gateway::runner::RunOptions;

use super::client::{RIGHT, Server, get, request};
use super::stand_in::StandIn;

#[tokio::test]
async fn without_a_wish_a_stored_report_is_fine_and_the_wait_is_unbounded() {
    let ask = asked(&[]).await;
    assert_eq!((ask.fresh, ask.wait), (false, None));
}

#[tokio::test]
async fn a_caller_may_want_every_check_to_run() {
    for wish in
        [("Cache-Control", "no-cache"), ("Cache-Control", "max-age=0"), ("Pragma", "no-cache")]
    {
        assert!(asked(&[wish]).await.fresh, "{wish:?}");
    }
}

#[tokio::test]
async fn another_cache_control_wants_nothing_and_outweighs_pragma() {
    assert!(!asked(&[("Cache-Control", "max-age=1"), ("Pragma", "no-cache")]).await.fresh);
}

#[tokio::test]
async fn a_caller_may_bound_its_wait() {
    let ask = asked(&[("Prefer", "respond-async, wait=3")]).await;
    assert_eq!(ask.wait, Some(Duration::from_secs(3)));
}

#[tokio::test]
async fn a_wait_of_nothing_is_a_wait_as_well() {
    assert_eq!(asked(&[("Prefer", "wait=0")]).await.wait, Some(Duration::ZERO));
}

#[tokio::test]
async fn the_header_must_hold_the_token_of_the_path_if_it_is_there() {
    for (header, status) in [
        ("JWT right-token", 200),
        ("jwt  right-token ", 200),
        ("JWT", 405),
        ("JWT wrong-token", 405),
        ("JWT right-token, JWT wrong-token", 405),
        ("Bearer wrong-token", 200),
    ] {
        let stand_in = StandIn::reporting();
        let server = Server::start(&stand_in, Limits::default()).await;
        let answer = server.ask(request("GET", RIGHT, &[("Authorization", header)])).await;
        assert_eq!(answer.status, status, "{header}");
        assert_eq!(stand_in.asked().len(), usize::from(status == 200), "{header}");
    }
}

#[tokio::test]
async fn the_caller_is_known_by_its_address() {
    let stand_in = StandIn::reporting();
    let server = Server::start(&stand_in, Limits::default()).await;
    server.ask(get("/api/health/wrong-token/")).await;
    assert_eq!(stand_in.peers(), [IpAddr::from(Ipv4Addr::LOCALHOST)]);
}

/// What is asked for when a request has these headers.
async fn asked(headers: &[(&str, &str)]) -> RunOptions {
    let stand_in = StandIn::reporting();
    let server = Server::start(&stand_in, Limits::default()).await;
    assert_eq!(server.ask(request("GET", RIGHT, headers)).await.status, 200);
    stand_in.asked()[0]
}
