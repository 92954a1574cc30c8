//! The fetch of an object, and the server that is named if it fails.

use std::net::TcpListener;
use std::time::Duration;

use probe_testkit::{Authority, run};
use stack::edge::{CONTENT, Edge, OBJECT, shared};
use stack::moto::ALTERNATE_DOMAIN;

use crate::{TIMEOUT, api, check, edge, outcome};

async fn assert_line(object: &str, more: &str, expected: &str) {
    let at = shared().unwrap();
    let lines = format!("domain = '{ALTERNATE_DOMAIN}'\n{more}{}", edge(at, object));
    assert_eq!(outcome(&lines).await.line(), format!("fetch: {expected} ({at})"));
}

#[tokio::test]
async fn an_object_is_served_from_the_cache_and_from_the_origin() {
    let at = shared().unwrap();
    for object in [OBJECT, "/fresh.txt"] {
        let lines = format!("domain = '{ALTERNATE_DOMAIN}'\n{}", edge(at, object));
        outcome(&lines).await.expect_working();
    }
    let content = CONTENT.trim_end();
    let lines = format!("domain = '{ALTERNATE_DOMAIN}'\n{}", edge(at, OBJECT));
    outcome(&format!("{lines}contains = '{content}'\n")).await.expect_working();
}

#[tokio::test]
async fn failures_of_the_edge_and_the_origin_are_distinguished() {
    assert_line(
        "/missing.txt",
        "",
        "expected status 200, the origin answered 403: the object is missing there, or the edge may not read it",
    )
    .await;
    assert_line(
        "/origin/404",
        "",
        "expected status 200, the origin answered 404: the object is missing there",
    )
    .await;
    assert_line("/origin/500", "", "expected status 200, the origin answered 500").await;
    assert_line(
        "/edge/502",
        "",
        "expected status 200, the edge answered 502: the origin could not be connected to, or its certificate is wrong",
    )
    .await;
    assert_line(
        "/edge/504",
        "",
        "expected status 200, the edge answered 504: the origin did not answer in time",
    )
    .await;
    assert_line(
        OBJECT,
        "status = 304\n",
        "expected status 304, the edge answered 200 from its cache",
    )
    .await;
    assert_line(OBJECT, "contains = 'ill'\n", "the object does not contain the expected text")
        .await;
}

#[tokio::test]
async fn another_status_can_be_expected() {
    let lines = edge(shared().unwrap(), "/origin/403");
    outcome(&format!("domain = '{ALTERNATE_DOMAIN}'\nstatus = 403\n{lines}"))
        .await
        .expect_working();
}

#[tokio::test]
async fn the_edge_rejects_an_unknown_domain() {
    let at = shared().unwrap();
    let line = "fetch: expected status 200, the edge answered 403: it does not serve this domain, or its firewall, a geographic restriction or a missing signature blocks the request";
    let lines = format!("domain = 'other.example'\n{}", edge(at, OBJECT));
    assert_eq!(outcome(&lines).await.line(), format!("{line} ({at})"));
}

#[tokio::test]
async fn a_failing_edge_is_named_in_the_cause_if_the_api_works() {
    let api_at = stack::moto::shared().unwrap();
    let api = api(api_at, &stack::moto::shared_distribution().unwrap().id);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(
        outcome(&format!("{api}{}", edge(closed, OBJECT))).await.line(),
        format!("fetch: connection refused, from {closed} ({api_at})")
    );
    let private = Edge::start().unwrap();
    let at = ([127, 0, 0, 1], private.port()).into();
    let check = check(&format!("{api}{}", edge(at, OBJECT)));
    run(&check, TIMEOUT).await.expect_working();
    private.server.pause();
    assert_eq!(
        run(&check, Duration::from_millis(300)).await.timed_out_line(),
        format!("fetch: no answer from {at} within 300ms ({api_at})")
    );
    private.server.resume();
    run(&check, TIMEOUT).await.expect_working();
}

#[tokio::test]
async fn an_edge_without_tls_fails_in_the_tls_step() {
    let at = shared().unwrap();
    let authority = Authority::new("authority");
    let lines = format!(
        "domain = '{ALTERNATE_DOMAIN}'\nobject = '{OBJECT}'\naddress = 'https://{at}'\nca = '''{}'''\n",
        authority.pem
    );
    assert_eq!(outcome(&lines).await.line(), format!("tls: the server does not speak TLS ({at})"));
}
