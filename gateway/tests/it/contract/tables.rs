//! The tables of `docs/endpoint.md`, row by row: status, every header, and body.

use std::sync::Arc;
use std::time::Duration;

use gateway::http::ServerLimits;
use gateway::report::{CheckResult, ComponentResult, Report, WORKING};
use http::StatusCode;

use super::client::{RIGHT, Response, Server, get, request};
use super::fake_source::FakeSource;

const WRONG: &str = "/api/health/wrong-token/";
const REPORT: &str = r#"{"redis":{"status":"working","response_time":"0.000412"}}"#;

/// The headers of every response of the endpoint. Responses for other paths do not have them.
const ENDPOINT: [(&str, &str); 2] = [("allow", "GET, HEAD, OPTIONS"), ("vary", "Accept")];

// The request.

#[tokio::test]
async fn the_right_token_gets_the_report() {
    assert_report(get(RIGHT), REPORT).await;
}

#[tokio::test]
async fn the_last_slash_of_the_path_is_optional() {
    assert_report(get("/api/health/right-token"), REPORT).await;
}

#[tokio::test]
async fn the_format_json_takes_precedence_over_accept() {
    let json = "/api/health/right-token/?format=json";
    assert_report(request("GET", json, &[("Accept", "text/html,*/*")]), REPORT).await;
}

#[tokio::test]
async fn an_empty_format_is_ignored() {
    assert_report(get("/api/health/right-token/?format="), REPORT).await;
}

#[tokio::test]
async fn json_can_be_indented() {
    let indented = "{\n  \"redis\": {\n    \"status\": \"working\",\n    \"response_time\": \"0.000412\"\n  }\n}";
    let accept = ("Accept", "application/json; indent=2");
    assert_report(request("GET", RIGHT, &[accept]), indented).await;
}

#[tokio::test]
async fn a_content_type_changes_nothing() {
    assert_report(request("GET", RIGHT, &[("Content-Type", "application/json")]), REPORT).await;
}

#[tokio::test]
async fn an_authorization_of_another_scheme_is_ignored() {
    assert_report(request("GET", RIGHT, &[("Authorization", "Bearer wrong-token")]), REPORT).await;
}

#[tokio::test]
async fn the_token_may_be_sent_in_the_header_as_well() {
    assert_report(request("GET", RIGHT, &[("Authorization", "JWT right-token")]), REPORT).await;
}

// Errors.

#[tokio::test]
async fn an_unknown_format_is_not_found() {
    assert_refused(get("/api/health/right-token/?format=xml"), 404, "Not found.").await;
}

#[tokio::test]
async fn the_format_is_checked_before_the_token_and_the_method() {
    let wrong = "/api/health/wrong-token/?format=xml";
    assert_refused(request("POST", wrong, &[("Accept", "image/png")]), 404, "Not found.").await;
}

#[tokio::test]
async fn any_other_path_is_not_found() {
    for path in ["/", "/nowhere/", "/api/health/", "/api/health/right-token/more/"] {
        assert_response(get(path), error(404, &[], "Not found.")).await;
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_like_a_wrong_method() {
    assert_refused(get(WRONG), 405, r#"Method \"GET\" not allowed."#).await;
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_the_method_of_the_request() {
    assert_refused(request("PATCH", WRONG, &[]), 405, r#"Method \"PATCH\" not allowed."#).await;
}

#[tokio::test]
async fn a_wrong_token_gets_no_description() {
    assert_refused(request("OPTIONS", WRONG, &[]), 405, r#"Method \"OPTIONS\" not allowed."#).await;
}

#[tokio::test]
async fn another_token_in_the_header_is_a_wrong_token() {
    let header = ("Authorization", "JWT wrong-token");
    assert_refused(request("GET", RIGHT, &[header]), 405, r#"Method \"GET\" not allowed."#).await;
}

#[tokio::test]
async fn another_method_is_not_allowed() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
        let detail = format!(r#"Method \"{method}\" not allowed."#);
        assert_refused(request(method, RIGHT, &[]), 405, &detail).await;
    }
}

#[tokio::test]
async fn an_accept_without_json_and_html_is_not_acceptable() {
    let detail = "Could not satisfy the request Accept header.";
    assert_refused(request("GET", RIGHT, &[("Accept", "image/png, text/csv")]), 406, detail).await;
}

#[tokio::test]
async fn accept_is_checked_before_the_token() {
    let detail = "Could not satisfy the request Accept header.";
    assert_refused(request("POST", WRONG, &[("Accept", "image/png")]), 406, detail).await;
}

// The response.

#[tokio::test]
async fn a_failure_has_the_status_of_the_setting() {
    let source = FakeSource::new().with_failure_status(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(exchange(&source, get(RIGHT)).await.status, 503);
}

#[tokio::test]
async fn a_report_without_failure_is_always_ok() {
    let source = FakeSource::with_report(|| async { working(None) })
        .with_failure_status(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(exchange(&source, get(RIGHT)).await.status, 200);
}

#[tokio::test]
async fn the_age_of_a_stored_report_is_in_whole_seconds() {
    for (age, header) in
        [(Some(0), Some("0")), (Some(999), Some("0")), (Some(2900), Some("2")), (None, None)]
    {
        let source = FakeSource::with_report(move || async move { working(age) });
        assert_eq!(exchange(&source, get(RIGHT)).await.header("age"), header);
    }
}

#[tokio::test]
async fn an_applied_wait_is_confirmed() {
    for (prefer, applied) in [("wait=3", Some("wait=3")), ("wait=x", None), ("respond-async", None)]
    {
        let request = request("GET", RIGHT, &[("Prefer", prefer)]);
        let response = exchange(&FakeSource::new(), request).await;
        assert_eq!(response.header("preference-applied"), applied);
    }
}

#[tokio::test]
async fn head_runs_the_checks_and_has_the_headers_of_get_without_a_body() {
    let source = FakeSource::new();
    let server = Server::start(&source, ServerLimits::default()).await;
    let mut caller = server.connect().await;
    caller.send(request("HEAD", RIGHT, &[])).await;
    let head = caller.response_without_body().await;
    caller.send(get(RIGHT)).await;
    let get = caller.response().await;
    assert_eq!(head.header("content-length"), Some(&*get.body.len().to_string()));
    assert_eq!(without_date(head), Response { body: String::new(), ..without_date(get) });
    assert_eq!(source.options().len(), 2);
}

#[tokio::test]
async fn options_describes_the_endpoint_and_runs_no_check() {
    let body = r#"{"name":"Health","description":"Asks every backend of an application whether it could do its work right now.","renders":["application/json","text/html"],"parses":["application/json","application/x-www-form-urlencoded","multipart/form-data"]}"#;
    assert_response(request("OPTIONS", RIGHT, &[]), json(200, &ENDPOINT, body)).await;
}

#[tokio::test]
async fn a_browser_gets_a_page_that_may_load_nothing() {
    let accept = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let response = exchange(&FakeSource::new(), request("GET", RIGHT, &[accept])).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = response.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(response.body.contains("<h1>2 of 3 checks are not working</h1>"), "{}", response.body);
}

/// Asserts that a request gets the report, with exactly the expected headers.
async fn assert_report(request: String, body: &str) {
    let source = FakeSource::with_report(|| async { working(None) });
    assert_eq!(without_date(exchange(&source, request).await), json(200, &ENDPOINT, body));
    assert_eq!(source.options().len(), 1);
}

/// Asserts that the endpoint refuses a request.
async fn assert_refused(request: String, status: u16, detail: &str) {
    assert_response(request, error(status, &ENDPOINT, detail)).await;
}

/// Asserts the response to a request that runs no check.
async fn assert_response(request: String, expected: Response) {
    let source = FakeSource::new();
    assert_eq!(without_date(exchange(&source, request).await), expected);
    assert!(source.options().is_empty(), "no check runs");
}

async fn exchange(source: &FakeSource, request: String) -> Response {
    Server::start(source, ServerLimits::default()).await.exchange(request).await
}

fn error(status: u16, headers: &[(&str, &str)], detail: &str) -> Response {
    json(status, headers, &format!(r#"{{"detail":"{detail}"}}"#))
}

/// A JSON response, with these headers and those that every response has.
fn json(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
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
    Response { status, headers, body: body.to_owned() }
}

fn without_date(mut response: Response) -> Response {
    response.headers.remove("date");
    response
}

/// A report without a failure, of this age in milliseconds.
fn working(age: Option<u64>) -> Report {
    let result =
        CheckResult { status: WORKING.to_owned(), response_time: Duration::from_micros(412) };
    let components = vec![("redis".to_owned(), ComponentResult::Single(result))];
    Report {
        components: Arc::new(components.into()),
        age: age.map(Duration::from_millis),
        has_critical_failure: false,
    }
}
