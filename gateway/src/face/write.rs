//! Writes the answers: status, headers and body, for the report, for `OPTIONS` and for every error.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::json::Json;
use super::negotiate::Format;
use super::page;
use crate::report::{Entry, Line, Report};

/// The body of every answer: it is whole before it is sent.
pub(super) type Body = Full<Bytes>;

/// What the endpoint says of itself to `OPTIONS`; the rest of it is what Django REST framework would say.
const NAME: &str = "Health";
const DESCRIPTION: &str =
    "Asks every backend of an application whether it could do its work right now.";

/// So many headers an answer has at most, usually.
const HEADERS: usize = 9;

const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The report, with its age if any of it was stored, and with the wait that was granted.
pub(super) fn report(
    report: &Report,
    status: StatusCode,
    wait: Option<Duration>,
    format: Format,
) -> Response<Body> {
    let mut response = match format {
        Format::Json { indent: 0 } => {
            text(status, JSON, report.components.written(|| report_json(report).write(0)))
        }
        Format::Json { indent } => json(status, &report_json(report), indent),
        Format::Html => html(status, page::report(report)),
    };
    endpoint(response.headers_mut());
    if let Some(age) = report.age {
        response.headers_mut().insert(header::AGE, age.as_secs().into());
    }
    if let Some(wait) = wait {
        let applied = format!("wait={}", wait.as_secs());
        response
            .headers_mut()
            .extend(HeaderValue::try_from(applied).map(|it| (PREFERENCE_APPLIED, it)));
    }
    response
}

/// What the endpoint can do, for `OPTIONS`.
pub(super) fn description(format: Format) -> Response<Body> {
    let list = |items: &[&'static str]| Json::List(items.iter().copied().map(Json::text).collect());
    let parses = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"];
    let description = Json::Object(vec![
        ("name", Json::text(NAME)),
        ("description", Json::text(DESCRIPTION)),
        ("renders", list(&["application/json", "text/html"])),
        ("parses", list(&parses)),
    ]);
    let mut response = match format {
        Format::Json { indent } => json(StatusCode::OK, &description, indent),
        Format::Html => html(StatusCode::OK, page::description(NAME, &description.write(4))),
    };
    endpoint(response.headers_mut());
    response
}

/// The path is not the endpoint's.
pub(super) fn no_such_path() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "Not found.", 0)
}

/// The `format` parameter has a value that is not known.
pub(super) fn unknown_format() -> Response<Body> {
    endpoint_error(StatusCode::NOT_FOUND, "Not found.", 0)
}

/// `Accept` allows nothing that can be written.
pub(super) fn not_acceptable() -> Response<Body> {
    let detail = "Could not satisfy the request Accept header.";
    endpoint_error(StatusCode::NOT_ACCEPTABLE, detail, 0)
}

/// The token is wrong, or it is right and the method is wrong: nobody can tell which.
pub(super) fn method_not_allowed(method: &str, format: Format) -> Response<Body> {
    let indent = match format {
        Format::Json { indent } => indent,
        Format::Html => 0,
    };
    let detail = format!("Method \"{method}\" not allowed.");
    endpoint_error(StatusCode::METHOD_NOT_ALLOWED, &detail, indent)
}

/// Something in the gateway itself is broken.
pub(super) fn internal_error() -> Response<Body> {
    error(StatusCode::INTERNAL_SERVER_ERROR, "A server error occurred.", 0)
}

/// The headers that Django REST framework adds to every answer of a view.
fn endpoint(headers: &mut HeaderMap) {
    headers.insert(header::ALLOW, ALLOW);
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
}

fn endpoint_error(status: StatusCode, detail: &str, indent: usize) -> Response<Body> {
    let mut response = error(status, detail, indent);
    endpoint(response.headers_mut());
    response
}

fn error(status: StatusCode, detail: &str, indent: usize) -> Response<Body> {
    json(status, &Json::Object(vec![("detail", Json::text(detail))]), indent)
}

fn json(status: StatusCode, json: &Json<'_>, indent: usize) -> Response<Body> {
    text(status, JSON, json.write(indent))
}

fn html(status: StatusCode, page: String) -> Response<Body> {
    let mut response = text(status, HTML, page);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, page::POLICY);
    response
}

fn text(status: StatusCode, kind: HeaderValue, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().reserve(HEADERS);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The report as JSON, without what the endpoint puts around it.
pub(crate) fn report_json(report: &Report) -> Json<'_> {
    let component = |(name, entry)| (String::as_str(name), entry_json(entry));
    Json::Object(
        report.components.iter().map(|(name, entry)| (name, entry)).map(component).collect(),
    )
}

fn entry_json(entry: &Entry) -> Json<'_> {
    match entry {
        Entry::Check(line) => line_json(line),
        Entry::Group(lines) => {
            let check = |(name, line)| (String::as_str(name), line_json(line));
            Json::Object(lines.iter().map(|(name, line)| (name, line)).map(check).collect())
        }
    }
}

fn line_json(line: &Line) -> Json<'_> {
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
