//! Preferences, credential and address of a caller reach the source of reports.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use gateway::http::ServerLimits;
use gateway::runner::RunOptions;

use super::client::{RIGHT, Server, get, request};
use super::fake_source::FakeSource;

#[tokio::test]
async fn by_default_a_stored_report_is_accepted_and_the_wait_is_unbounded() {
    let options = options(&[]).await;
    assert_eq!((options.fresh, options.wait), (false, None));
}

#[tokio::test]
async fn a_caller_may_require_that_every_check_runs() {
    for header in
        [("Cache-Control", "no-cache"), ("Cache-Control", "max-age=0"), ("Pragma", "no-cache")]
    {
        assert!(options(&[header]).await.fresh, "{header:?}");
    }
}

#[tokio::test]
async fn another_cache_control_overrides_pragma() {
    assert!(!options(&[("Cache-Control", "max-age=1"), ("Pragma", "no-cache")]).await.fresh);
}

#[tokio::test]
async fn a_caller_may_bound_its_wait() {
    let options = options(&[("Prefer", "respond-async, wait=3")]).await;
    assert_eq!(options.wait, Some(Duration::from_secs(3)));
}

#[tokio::test]
async fn a_wait_of_zero_is_passed_on() {
    assert_eq!(options(&[("Prefer", "wait=0")]).await.wait, Some(Duration::ZERO));
}

#[tokio::test]
async fn a_credential_must_be_the_token_of_the_path() {
    for (header, status) in [
        ("JWT right-token", 200),
        ("jwt  right-token ", 200),
        ("JWT", 405),
        ("JWT wrong-token", 405),
        ("JWT right-token, JWT wrong-token", 405),
        ("Bearer wrong-token", 200),
    ] {
        let source = FakeSource::new();
        let server = Server::start(&source, ServerLimits::default()).await;
        let response = server.exchange(request("GET", RIGHT, &[("Authorization", header)])).await;
        assert_eq!(response.status, status, "{header}");
        assert_eq!(source.options().len(), usize::from(status == 200), "{header}");
    }
}

#[tokio::test]
async fn the_source_gets_the_address_of_the_caller() {
    let source = FakeSource::new();
    let server = Server::start(&source, ServerLimits::default()).await;
    server.exchange(get("/api/health/wrong-token/")).await;
    assert_eq!(source.peers(), [IpAddr::from(Ipv4Addr::LOCALHOST)]);
}

/// The options of the report for a request with these headers.
async fn options(headers: &[(&str, &str)]) -> RunOptions {
    let source = FakeSource::new();
    let server = Server::start(&source, ServerLimits::default()).await;
    assert_eq!(server.exchange(request("GET", RIGHT, headers)).await.status, 200);
    source.options()[0]
}
