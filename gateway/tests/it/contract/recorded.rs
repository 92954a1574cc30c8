//! Compares the face with Django REST framework: every request of `recorded.json`, which `record.py` made, is asked again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gateway::http::Limits;
use serde_json::Value;

use super::client::{Answer, Server};
use super::stand_in::StandIn;

const RECORDED: &str = include_str!("recorded.json");

/// One request and what Django REST framework answered.
struct Row {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    sent: String,
    answer: Answer,
    /// The body is a page of theirs.
    html: bool,
}

/// Where the contract departs from Django REST framework: why, which rows, and what is expected instead.
type Departure = (&'static str, fn(&Row) -> bool, fn(&Row, &[Row]) -> Answer);

const DEPARTURES: [Departure; 6] = [
    (
        "the path without its last slash gets the answer itself, not a redirect",
        |row| row.answer.status == 301,
        |row, rows| {
            let to = &row.answer.headers["location"];
            let same = |other: &&Row| {
                other.target == *to && other.method == row.method && other.headers == row.headers
            };
            let other =
                rows.iter().find(same).expect("what the redirect leads to is recorded as well");
            expected(other, rows).0
        },
    ),
    (
        "`format` knows no value but `json`, though the framework's page is `api`",
        |row| row.target.contains("format=api"),
        |row, _| error(row, 404, "Not found.", true),
    ),
    (
        "every error is JSON: a path that is not the endpoint's",
        |row| row.html && row.answer.status == 404,
        |row, _| error(row, 404, "Not found.", false),
    ),
    (
        "every error is JSON: a wrong token or method of a caller who would take a page",
        |row| row.html && row.answer.status == 405,
        |row, _| {
            let method = row.method.to_uppercase();
            error(row, 405, &format!("Method \\\"{method}\\\" not allowed."), true)
        },
    ),
    (
        "a thousand parameters are no reason to refuse: the length of a request is bounded anyway",
        |row| row.answer.status == 400,
        |_, rows| rows[0].answer.clone(),
    ),
    ("a page is ours, not the framework's", |row| row.html, |row, _| row.answer.clone()),
];

#[tokio::test]
async fn every_answer_is_that_of_django_rest_framework_but_for_the_departures() {
    let server = Server::start(&StandIn::reporting(), Limits::default()).await;
    let rows = rows();
    let mut departures = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in &rows {
        let (mut expected, departure) = expected(row, &rows);
        if let Some(departure) = departure {
            *departures.entry(departure).or_insert(0) += 1;
        }
        let mut answer = ask(&server, row).await;
        if expected.header("content-type") == Some("text/html; charset=utf-8") {
            // The page has a test of its own.
            answer.headers.remove("content-length");
            answer.body.clear();
            assert!(answer.headers.remove("content-security-policy").is_some(), "{answer:?}");
        }
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("connection", "close"),
        ] {
            expected.headers.insert(name.to_owned(), value.to_owned());
        }
        answer.headers.remove("date");
        if answer != expected {
            let (method, target) = (&row.method, &row.target);
            wrong
                .push(format!("{method} {target} {:?}\n  {answer:?}\n  {expected:?}", row.headers));
        }
    }
    assert!(wrong.is_empty(), "{} answers differ\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(departures.len(), DEPARTURES.len(), "every departure is needed: {departures:#?}");
}

/// The answer that the contract asks for, and the departure that it is due to.
fn expected(row: &Row, rows: &[Row]) -> (Answer, Option<&'static str>) {
    match DEPARTURES.iter().find(|(_, applies, _)| applies(row)) {
        Some((reason, _, instead)) => (instead(row, rows), Some(reason)),
        None => (row.answer.clone(), None),
    }
}

/// An error as the framework would write it as JSON; only the endpoint's own errors tell its methods.
fn error(row: &Row, status: u16, detail: &str, endpoint: bool) -> Answer {
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
    Answer { status, headers, body: if head { String::new() } else { body } }
}

async fn ask(server: &Server, row: &Row) -> Answer {
    let mut request =
        format!("{} {} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n", row.method, row.target);
    for (name, value) in &row.headers {
        write!(request, "{name}: {value}\r\n").expect("memory");
    }
    if !row.sent.is_empty() {
        write!(request, "Content-Length: {}\r\n", row.sent.len()).expect("memory");
    }
    request.push_str("\r\n");
    request.push_str(&row.sent);
    let mut caller = server.connect().await;
    caller.send(latin(&request)).await;
    if row.method == "HEAD" { caller.answer_without_body().await } else { caller.answer().await }
}

/// The bytes of a text all of whose characters are Latin-1, which is how the bytes were recorded.
fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).expect("Latin-1")).collect()
}

fn rows() -> Vec<Row> {
    let rows: Vec<Value> = serde_json::from_str(RECORDED).expect("the fixture is JSON");
    rows.iter().map(row).collect()
}

fn row(row: &Value) -> Row {
    let (asked, answered) = (&row["asked"], &row["answered"]);
    let answer = Answer {
        status: u16::try_from(answered["status"].as_u64().expect("a number")).expect("a status"),
        headers: pairs(&answered["headers"]).into_iter().collect(),
        body: answered["body"].as_str().unwrap_or_default().to_owned(),
    };
    Row {
        method: text(&asked["method"]),
        target: text(&asked["target"]),
        headers: pairs(&asked["headers"]),
        sent: text(&asked["body"]),
        answer,
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
