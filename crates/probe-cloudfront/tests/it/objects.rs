//! What comes through the domain, and who is at fault when it does not.

use std::net::TcpListener;
use std::time::Duration;

use probe_testkit::{Authority, run};
use stack::edge::{CONTENT, Edge, OBJECT, shared};
use stack::moto::ALTERNATE_DOMAIN;

use crate::{PATIENCE, api, check, edge, outcome};

async fn check_says(object: &str, more: &str, expected: &str) {
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
async fn the_edge_and_the_origin_are_told_apart() {
    check_says(
        "/missing.txt",
        "",
        "expected status 200, the origin answered 403: the object is missing there, or the edge may not read it",
    )
    .await;
    check_says(
        "/origin/404",
        "",
        "expected status 200, the origin answered 404: the object is missing there",
    )
    .await;
    check_says("/origin/500", "", "expected status 200, the origin answered 500").await;
    check_says(
        "/edge/502",
        "",
        "expected status 200, the edge answered 502: the origin could not be connected to, or its certificate is wrong",
    )
    .await;
    check_says(
        "/edge/504",
        "",
        "expected status 200, the edge answered 504: the origin did not answer in time",
    )
    .await;
    check_says(
        OBJECT,
        "status = 304\n",
        "expected status 304, the edge answered 200 from its cache",
    )
    .await;
    check_says(OBJECT, "contains = 'ill'\n", "the object does not contain what it should").await;
}

#[tokio::test]
async fn another_status_may_be_the_expected_one() {
    let lines = edge(shared().unwrap(), "/origin/403");
    outcome(&format!("domain = '{ALTERNATE_DOMAIN}'\nstatus = 403\n{lines}"))
        .await
        .expect_working();
}

#[tokio::test]
async fn a_domain_that_the_distribution_does_not_have_is_refused_by_the_edge() {
    let at = shared().unwrap();
    let line = "fetch: expected status 200, the edge answered 403: it does not serve this domain, or its firewall, a country or a missing signature forbids the request";
    let lines = format!("domain = 'other.example'\n{}", edge(at, OBJECT));
    assert_eq!(outcome(&lines).await.line(), format!("{line} ({at})"));
}

#[tokio::test]
async fn an_edge_that_fails_beside_a_working_api_is_named_in_the_cause() {
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
    run(&check, PATIENCE).await.expect_working();
    private.server.pause();
    assert_eq!(
        run(&check, Duration::from_millis(300)).await.cut_line(),
        format!("fetch: no answer from {at} within 300ms ({api_at})")
    );
    private.server.resume();
    run(&check, PATIENCE).await.expect_working();
}

#[tokio::test]
async fn an_edge_that_speaks_no_tls_is_named_by_its_step() {
    let at = shared().unwrap();
    let authority = Authority::new("authority");
    let lines = format!(
        "domain = '{ALTERNATE_DOMAIN}'\nobject = '{OBJECT}'\naddress = 'https://{at}'\nca = '''{}'''\n",
        authority.pem
    );
    assert_eq!(outcome(&lines).await.line(), format!("tls: the server does not speak TLS ({at})"));
}
