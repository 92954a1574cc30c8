//! Compares every response with that of Django REST framework in `recorded.json`, which `record.py` writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gateway::http::ServerLimits;
use serde_json::Value;

use super::client::{Response, Server};
use super::fake_source::FakeSource;

const RECORDED: &str = include_str!("recorded.json");

/// A request, and the response of Django REST framework.
struct Row {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    response: Response,
    /// The body was a page of the framework, which is not recorded.
    html: bool,
}

/// A deviation of the contract from Django REST framework: the reason, the rows that it applies to, and the response expected instead.
type Deviation = (&'static str, fn(&Row) -> bool, fn(&Row, &[Row]) -> Response);

const DEVIATIONS: [Deviation; 6] = [
    (
        "the path without its last slash gets the response itself, not a redirect",
        |row| row.response.status == 301,
        |row, rows| {
            let to = &row.response.headers["location"];
            let same = |other: &&Row| {
                other.target == *to && other.method == row.method && other.headers == row.headers
            };
            let other = rows.iter().find(same).expect("the target of the redirect is recorded");
            expected(other, rows).0
        },
    ),
    (
        "`format` accepts no value but `json`, though the framework's page is `api`",
        |row| row.target.contains("format=api"),
        |row, _| error(row, 404, "Not found.", true),
    ),
    (
        "every error is JSON: a path that is not the endpoint's",
        |row| row.html && row.response.status == 404,
        |row, _| error(row, 404, "Not found.", false),
    ),
    (
        "every error is JSON: a wrong token or method of a caller that prefers a page",
        |row| row.html && row.response.status == 405,
        |row, _| {
            let method = row.method.to_uppercase();
            error(row, 405, &format!("Method \\\"{method}\\\" not allowed."), true)
        },
    ),
    (
        "a thousand parameters are not refused: the length of a request is bounded anyway",
        |row| row.response.status == 400,
        |_, rows| rows[0].response.clone(),
    ),
    ("a page is ours, not the framework's", |row| row.html, |row, _| row.response.clone()),
];

#[tokio::test]
async fn every_response_is_that_of_django_rest_framework_except_for_the_deviations() {
    let server = Server::start(&FakeSource::new(), ServerLimits::default()).await;
    let rows = rows();
    let mut deviations = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in &rows {
        let (mut expected, deviation) = expected(row, &rows);
        if let Some(deviation) = deviation {
            *deviations.entry(deviation).or_insert(0) += 1;
        }
        let mut response = exchange(&server, row).await;
        if expected.header("content-type") == Some("text/html; charset=utf-8") {
            // `tables.rs` tests the page.
            response.headers.remove("content-length");
            response.body.clear();
            assert!(response.headers.remove("content-security-policy").is_some(), "{response:?}");
        }
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("connection", "close"),
        ] {
            expected.headers.insert(name.to_owned(), value.to_owned());
        }
        response.headers.remove("date");
        if response != expected {
            let (method, target) = (&row.method, &row.target);
            wrong.push(format!(
                "{method} {target} {:?}\n  {response:?}\n  {expected:?}",
                row.headers
            ));
        }
    }
    assert!(wrong.is_empty(), "{} responses differ\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(deviations.len(), DEVIATIONS.len(), "every deviation is needed: {deviations:#?}");
}

/// Returns the response that the contract requires, and the deviation that applies.
fn expected(row: &Row, rows: &[Row]) -> (Response, Option<&'static str>) {
    match DEVIATIONS.iter().find(|(_, applies, _)| applies(row)) {
        Some((reason, _, instead)) => (instead(row, rows), Some(reason)),
        None => (row.response.clone(), None),
    }
}

/// An error as the framework would write it as JSON. Only the endpoint's own errors have `Allow`.
fn error(row: &Row, status: u16, detail: &str, endpoint: bool) -> Response {
    let body = format!("{{\"detail\":\"{detail}\"}}");
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("content-length", body.len().to_string()),
    ];
    if endpoint {
        headers.push(("allow", "GET, HEAD, OPTIONS".to_owned()));
        headers.push(("vary", "Accept".to_owned()));
    }
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let head = row.method == "HEAD";
    Response { status, headers, body: if head { String::new() } else { body } }
}

async fn exchange(server: &Server, row: &Row) -> Response {
    let mut request =
        format!("{} {} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n", row.method, row.target);
    for (name, value) in &row.headers {
        write!(request, "{name}: {value}\r\n").expect("memory");
    }
    if !row.body.is_empty() {
        write!(request, "Content-Length: {}\r\n", row.body.len()).expect("memory");
    }
    request.push_str("\r\n");
    request.push_str(&row.body);
    let mut caller = server.connect().await;
    caller.send(latin_1(&request)).await;
    if row.method == "HEAD" {
        caller.response_without_body().await
    } else {
        caller.response().await
    }
}

/// Encodes a text as Latin-1, from which the recorded bytes were decoded.
fn latin_1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).expect("Latin-1")).collect()
}

fn rows() -> Vec<Row> {
    let rows: Vec<Value> = serde_json::from_str(RECORDED).expect("the fixture is JSON");
    rows.iter().map(row).collect()
}

fn row(row: &Value) -> Row {
    let (asked, answered) = (&row["asked"], &row["answered"]);
    let response = Response {
        status: u16::try_from(answered["status"].as_u64().expect("a number")).expect("a status"),
        headers: pairs(&answered["headers"]).into_iter().collect(),
        body: answered["body"].as_str().unwrap_or_default().to_owned(),
    };
    Row {
        method: text(&asked["method"]),
        target: text(&asked["target"]),
        headers: pairs(&asked["headers"]),
        body: text(&asked["body"]),
        response,
        html: answered["body"].is_null(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let pairs = value.as_array().expect("a list").iter();
    pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}
