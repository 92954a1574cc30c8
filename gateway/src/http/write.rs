//! Writes the answers: status, headers and body, for the report, for `OPTIONS` and for every error.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use probe::Checks;

use super::json::Json;
use super::negotiate::Format;
use super::page;
use crate::report::{CheckResult, ComponentResult, Report};

/// The body of every answer: it is whole before it is sent.
pub(super) type Body = Full<Bytes>;

/// What the endpoint says of itself to `OPTIONS`; the rest of it is what Django REST framework would say.
const NAME: &str = "Health";
const DESCRIPTION: &str =
    "Asks every backend of an application whether it could do its work right now.";

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// An answer before it has its headers.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    text: Bytes,
    kind: Kind,
    /// Whether it is the endpoint's, to whose answers Django REST framework adds headers.
    of_endpoint: bool,
    /// The age of the oldest result in it, if any of it was stored.
    age: Option<Duration>,
    /// The wait that was granted.
    wait: Option<Duration>,
}

#[derive(Clone, Copy)]
enum Kind {
    Json,
    Html,
}

impl Answer {
    fn new(status: StatusCode, kind: Kind, text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self { status, text, kind, of_endpoint: false, age: None, wait: None }
    }

    /// Gives it its headers, in the place of those of its request: their memory is used again.
    pub(super) fn with_headers(self, mut headers: HeaderMap) -> Response<Body> {
        headers.clear();
        let mut say = |name, value| drop(headers.insert(name, value));
        say(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        say(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // The page's address holds the token, and must not be told to where a link leads.
        say(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        match self.kind {
            Kind::Json => say(header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            Kind::Html => {
                let html = HeaderValue::from_static("text/html; charset=utf-8");
                say(header::CONTENT_TYPE, html);
                say(header::CONTENT_SECURITY_POLICY, page::POLICY);
            }
        }
        if self.of_endpoint {
            say(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
            say(header::VARY, HeaderValue::from_static("Accept"));
        }
        if let Some(age) = self.age {
            let seconds = match age.as_secs() {
                // Most results are served for a second only, and what is static needs no memory.
                0 => HeaderValue::from_static("0"),
                seconds => seconds.into(),
            };
            say(header::AGE, seconds);
        }
        if let Some(wait) = self.wait
            && let Ok(applied) = HeaderValue::try_from(format!("wait={}", wait.as_secs()))
        {
            say(PREFERENCE_APPLIED, applied);
        }
        let mut response = Response::new(Body::new(self.text));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

/// The report.
pub(super) fn report(
    report: &Report,
    status: StatusCode,
    wait: Option<Duration>,
    format: Format,
) -> Answer {
    let answer = match format {
        Format::Json { indent: 0 } => {
            let text = report.components.written(|| report_json(report).write(0));
            Answer::new(status, Kind::Json, text)
        }
        Format::Json { indent } => json(status, &report_json(report), indent),
        Format::Html => Answer::new(status, Kind::Html, page::report(report)),
    };
    Answer { of_endpoint: true, age: report.age, wait, ..answer }
}

/// What the endpoint can do, for `OPTIONS`.
pub(super) fn description(format: Format) -> Answer {
    let list = |items: &[&'static str]| Json::List(items.iter().copied().map(Json::text).collect());
    let parses = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"];
    let description = Json::Object(vec![
        ("name", Json::text(NAME)),
        ("description", Json::text(DESCRIPTION)),
        ("renders", list(&["application/json", "text/html"])),
        ("parses", list(&parses)),
    ]);
    let answer = match format {
        Format::Json { indent } => json(StatusCode::OK, &description, indent),
        Format::Html => {
            let page = page::description(NAME, &description.write(4));
            Answer::new(StatusCode::OK, Kind::Html, page)
        }
    };
    Answer { of_endpoint: true, ..answer }
}

/// The path is not the endpoint's.
pub(super) fn no_such_path() -> Answer {
    error(StatusCode::NOT_FOUND, "Not found.", 0)
}

/// The `format` parameter has a value that is not known.
pub(super) fn unknown_format() -> Answer {
    Answer { of_endpoint: true, ..error(StatusCode::NOT_FOUND, "Not found.", 0) }
}

/// `Accept` allows nothing that can be written.
pub(super) fn not_acceptable() -> Answer {
    let detail = "Could not satisfy the request Accept header.";
    Answer { of_endpoint: true, ..error(StatusCode::NOT_ACCEPTABLE, detail, 0) }
}

/// The token is wrong, or it is right and the method is wrong: nobody can tell which.
pub(super) fn method_not_allowed(method: &str, format: Format) -> Answer {
    let indent = match format {
        Format::Json { indent } => indent,
        Format::Html => 0,
    };
    let detail = format!("Method \"{method}\" not allowed.");
    Answer { of_endpoint: true, ..error(StatusCode::METHOD_NOT_ALLOWED, &detail, indent) }
}

/// Something in the gateway itself is broken.
pub(super) fn internal_error() -> Answer {
    error(StatusCode::INTERNAL_SERVER_ERROR, "A server error occurred.", 0)
}

fn error(status: StatusCode, detail: &str, indent: usize) -> Answer {
    json(status, &Json::Object(vec![("detail", Json::text(detail))]), indent)
}

fn json(status: StatusCode, json: &Json<'_>, indent: usize) -> Answer {
    Answer::new(status, Kind::Json, json.write(indent))
}

/// The report as JSON, without what the endpoint puts around it.
pub(crate) fn report_json(report: &Report) -> Json<'_> {
    let component = |(name, entry)| (String::as_str(name), entry_json(entry));
    Json::Object(
        report.components.iter().map(|(name, entry)| (name, entry)).map(component).collect(),
    )
}

fn entry_json(entry: &ComponentResult) -> Json<'_> {
    match entry {
        Checks::Single(line) => line_json(line),
        Checks::Group(lines) => Json::Object(
            lines.iter().map(|(name, line)| (name.as_str(), line_json(line))).collect(),
        ),
    }
}

fn line_json(line: &CheckResult) -> Json<'_> {
    Json::Object(vec![
        ("status", Json::text(&line.status)),
        ("response_time", Json::text(seconds(line.response_time))),
    ])
}

/// Decimal seconds, to the microsecond.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_time_is_decimal_seconds() {
        assert_eq!(seconds(Duration::from_micros(412)), "0.000412");
        assert_eq!(seconds(Duration::from_nanos(3_000_999_999)), "3.000999");
    }
}
