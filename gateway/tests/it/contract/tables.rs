//! The tables of `docs/endpoint.md`, row by row: status, every header, and body.

use std::sync::Arc;
use std::time::Duration;

use gateway::http::Limits;
use gateway::report::{CheckResult, ComponentResult, Report, WORKING};
use http::StatusCode;

use super::client::{Answer, RIGHT, Server, get, request};
use super::stand_in::{StandIn, report};

const WRONG: &str = "/api/health/wrong-token/";
const REPORT: &str = r#"{"redis":{"status":"working","response_time":"0.000412"}}"#;

/// What every answer of the endpoint has, and an answer of another path has not.
const ENDPOINT: [(&str, &str); 2] = [("allow", "GET, HEAD, OPTIONS"), ("vary", "Accept")];

// The request.

#[tokio::test]
async fn the_right_token_gets_the_report() {
    answered(get(RIGHT), REPORT).await;
}

#[tokio::test]
async fn the_path_is_fine_without_its_last_slash() {
    answered(get("/api/health/right-token"), REPORT).await;
}

#[tokio::test]
async fn the_format_json_wins_over_accept() {
    let json = "/api/health/right-token/?format=json";
    answered(request("GET", json, &[("Accept", "text/html,*/*")]), REPORT).await;
}

#[tokio::test]
async fn an_empty_format_is_as_none() {
    answered(get("/api/health/right-token/?format="), REPORT).await;
}

#[tokio::test]
async fn json_can_be_indented() {
    let indented = "{\n  \"redis\": {\n    \"status\": \"working\",\n    \"response_time\": \"0.000412\"\n  }\n}";
    let accept = ("Accept", "application/json; indent=2");
    answered(request("GET", RIGHT, &[accept]), indented).await;
}

#[tokio::test]
async fn a_content_type_changes_nothing() {
    answered(request("GET", RIGHT, &[("Content-Type", "application/json")]), REPORT).await;
}

#[tokio::test]
async fn an_authorization_of_another_scheme_is_ignored() {
    answered(request("GET", RIGHT, &[("Authorization", "Bearer wrong-token")]), REPORT).await;
}

#[tokio::test]
async fn the_token_may_be_sent_in_the_header_as_well() {
    answered(request("GET", RIGHT, &[("Authorization", "JWT right-token")]), REPORT).await;
}

// Errors.

#[tokio::test]
async fn an_unknown_format_is_not_found() {
    refused(get("/api/health/right-token/?format=xml"), 404, "Not found.").await;
}

#[tokio::test]
async fn the_format_is_judged_before_the_token_and_the_method() {
    let wrong = "/api/health/wrong-token/?format=xml";
    refused(request("POST", wrong, &[("Accept", "image/png")]), 404, "Not found.").await;
}

#[tokio::test]
async fn any_other_path_is_not_found() {
    for path in ["/", "/nowhere/", "/api/health/", "/api/health/right-token/more/"] {
        check(get(path), error(404, &[], "Not found.")).await;
    }
}

#[tokio::test]
async fn a_wrong_token_is_a_method_that_is_not_allowed() {
    refused(get(WRONG), 405, r#"Method \"GET\" not allowed."#).await;
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_the_method_of_the_request() {
    refused(request("PATCH", WRONG, &[]), 405, r#"Method \"PATCH\" not allowed."#).await;
}

#[tokio::test]
async fn a_wrong_token_may_not_even_describe() {
    refused(request("OPTIONS", WRONG, &[]), 405, r#"Method \"OPTIONS\" not allowed."#).await;
}

#[tokio::test]
async fn another_token_in_the_header_is_a_wrong_token() {
    let header = ("Authorization", "JWT wrong-token");
    refused(request("GET", RIGHT, &[header]), 405, r#"Method \"GET\" not allowed."#).await;
}

#[tokio::test]
async fn another_method_is_not_allowed() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
        let detail = format!(r#"Method \"{method}\" not allowed."#);
        refused(request(method, RIGHT, &[]), 405, &detail).await;
    }
}

#[tokio::test]
async fn an_accept_without_json_and_html_is_not_acceptable() {
    let detail = "Could not satisfy the request Accept header.";
    refused(request("GET", RIGHT, &[("Accept", "image/png, text/csv")]), 406, detail).await;
}

#[tokio::test]
async fn accept_is_judged_before_the_token() {
    let detail = "Could not satisfy the request Accept header.";
    refused(request("POST", WRONG, &[("Accept", "image/png")]), 406, detail).await;
}

// The answer.

#[tokio::test]
async fn a_failure_has_the_status_of_the_setting() {
    let stand_in = StandIn::with_status(StatusCode::SERVICE_UNAVAILABLE, || async { report() });
    assert_eq!(ask(&stand_in, get(RIGHT)).await.status, 503);
}

#[tokio::test]
async fn a_report_without_failure_is_always_ok() {
    let stand_in =
        StandIn::with_status(StatusCode::SERVICE_UNAVAILABLE, || async { working(None) });
    assert_eq!(ask(&stand_in, get(RIGHT)).await.status, 200);
}

#[tokio::test]
async fn the_age_is_told_in_whole_seconds_if_something_was_stored() {
    for (age, header) in
        [(Some(0), Some("0")), (Some(999), Some("0")), (Some(2900), Some("2")), (None, None)]
    {
        let stand_in = StandIn::answering(move || async move { working(age) });
        assert_eq!(ask(&stand_in, get(RIGHT)).await.header("age"), header);
    }
}

#[tokio::test]
async fn a_wait_that_is_granted_is_confirmed() {
    for (prefer, applied) in [("wait=3", Some("wait=3")), ("wait=x", None), ("respond-async", None)]
    {
        let request = request("GET", RIGHT, &[("Prefer", prefer)]);
        let answer = ask(&StandIn::reporting(), request).await;
        assert_eq!(answer.header("preference-applied"), applied);
    }
}

#[tokio::test]
async fn head_runs_the_checks_and_has_the_headers_of_get_without_a_body() {
    let stand_in = StandIn::reporting();
    let server = Server::start(&stand_in, Limits::default()).await;
    let mut caller = server.connect().await;
    caller.send(request("HEAD", RIGHT, &[])).await;
    let head = caller.answer_without_body().await;
    caller.send(get(RIGHT)).await;
    let get = caller.answer().await;
    assert_eq!(head.header("content-length"), Some(&*get.body.len().to_string()));
    assert_eq!(without_date(head), Answer { body: String::new(), ..without_date(get) });
    assert_eq!(stand_in.asked().len(), 2);
}

#[tokio::test]
async fn options_describes_the_endpoint_and_runs_no_check() {
    let body = r#"{"name":"Health","description":"Asks every backend of an application whether it could do its work right now.","renders":["application/json","text/html"],"parses":["application/json","application/x-www-form-urlencoded","multipart/form-data"]}"#;
    check(request("OPTIONS", RIGHT, &[]), json(200, &ENDPOINT, body)).await;
}

#[tokio::test]
async fn a_browser_gets_a_page_that_may_load_nothing() {
    let accept = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let answer = ask(&StandIn::reporting(), request("GET", RIGHT, &[accept])).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(answer.body.contains("<h1>2 of 3 checks are not working</h1>"), "{}", answer.body);
}

/// Checks that a request gets the report, with exactly the headers that it should have.
async fn answered(request: String, body: &str) {
    let stand_in = StandIn::answering(|| async { working(None) });
    assert_eq!(without_date(ask(&stand_in, request).await), json(200, &ENDPOINT, body));
    assert_eq!(stand_in.asked().len(), 1);
}

/// Checks that the endpoint refuses a request.
async fn refused(request: String, status: u16, detail: &str) {
    check(request, error(status, &ENDPOINT, detail)).await;
}

/// Checks the answer to a request that runs no check.
async fn check(request: String, expected: Answer) {
    let stand_in = StandIn::reporting();
    assert_eq!(without_date(ask(&stand_in, request).await), expected);
    assert!(stand_in.asked().is_empty(), "no check runs");
}

async fn ask(stand_in: &StandIn, request: String) -> Answer {
    Server::start(stand_in, Limits::default()).await.ask(request).await
}

fn error(status: u16, headers: &[(&str, &str)], detail: &str) -> Answer {
    json(status, headers, &format!(r#"{{"detail":"{detail}"}}"#))
}

/// An answer as JSON, with these headers and those that every answer has.
fn json(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let length = body.len().to_string();
    let always = [
        ("cache-control", "no-store"),
        ("content-length", &length),
        ("content-type", "application/json"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ];
    let headers = always.iter().chain(headers);
    let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Answer { status, headers, body: body.to_owned() }
}

fn without_date(mut answer: Answer) -> Answer {
    answer.headers.remove("date");
    answer
}

/// A report in which everything works, so many milliseconds old.
fn working(age: Option<u64>) -> Report {
    let line =
        CheckResult { status: WORKING.to_owned(), response_time: Duration::from_micros(412) };
    let components = vec![("redis".to_owned(), ComponentResult::Single(line))];
    Report { components: Arc::new(components.into()), age: age.map(Duration::from_millis) }
}
