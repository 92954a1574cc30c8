//! Makes the endpoint's responses: the report, its description, and every error.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use super::format::Format;
use super::json::to_json;
use super::page::{self, Filter};
use crate::overview::Overview;
use crate::report::Report;

/// The body of every response: it is complete before it is sent.
pub(super) type Body = Full<Bytes>;

const REFRESH: HeaderName = HeaderName::from_static("refresh");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const AGE_0: HeaderValue = HeaderValue::from_static("0");
const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT_HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The headers of every report as JSON. Copying them costs less than inserting each.
static JSON_REPORT: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = of_endpoint(json_text(StatusCode::OK, "")).into_parts().0.headers;
    // Each report replaces or removes it, so that the copy has room for it.
    headers.insert(header::AGE, AGE_0);
    headers
});

/// The report as JSON.
pub(super) fn report(
    report: &Report,
    status: StatusCode,
    wait: Option<Duration>,
    indent: usize,
) -> Response<Body> {
    let text = match indent {
        0 => report.components.written(|| to_json(report, 0)),
        _ => to_json(report, indent).into(),
    };
    let mut response = Response::new(Body::new(text));
    *response.status_mut() = status;
    *response.headers_mut() = JSON_REPORT.clone();
    describe_report(response.headers_mut(), report, wait);
    response
}

/// The report as a page.
pub(super) fn report_page(
    report: &Report,
    overview: &Overview,
    status: StatusCode,
    wait: Option<Duration>,
    filter: &Filter,
) -> Response<Body> {
    let mut response = of_endpoint(html(status, page::report(report, overview, filter)));
    let headers = response.headers_mut();
    if let Some(seconds) = filter.refresh() {
        headers.insert(REFRESH, seconds.into());
    }
    describe_report(headers, report, wait);
    response
}

/// Sets the headers that tell the report's age, and how long it waited.
fn describe_report(headers: &mut HeaderMap, report: &Report, wait: Option<Duration>) {
    match report.age {
        Some(age) => drop(headers.insert(header::AGE, age_value(age))),
        None => drop(headers.remove(header::AGE)),
    }
    if let Some(wait) = wait
        && let Ok(applied) = HeaderValue::try_from(format!("wait={}", wait.as_secs()))
    {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
}

/// Returns whole seconds. Most reports are served again for one second only, and a static value needs no allocation.
fn age_value(age: Duration) -> HeaderValue {
    match age.as_secs() {
        0 => AGE_0,
        seconds => seconds.into(),
    }
}

/// The description of the endpoint, with the keys of Django REST framework.
#[derive(Serialize)]
struct Metadata {
    name: &'static str,
    description: &'static str,
    renders: [&'static str; 2],
    parses: [&'static str; 3],
}

const METADATA: Metadata = Metadata {
    name: "Health",
    description: "Asks every backend of an application whether it could do its work right now.",
    renders: ["application/json", "text/html"],
    parses: ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"],
};

/// The description of the endpoint, for `OPTIONS`.
pub(super) fn metadata(format: Format) -> Response<Body> {
    of_endpoint(match format {
        Format::Json { indent } => json(StatusCode::OK, &METADATA, indent),
        Format::Html => {
            let page = page::metadata(METADATA.name, &to_json(&METADATA, 4));
            html(StatusCode::OK, page)
        }
    })
}

/// 404: the path is not the endpoint's.
pub(super) fn path_not_found() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "Not found.", 0)
}

/// 404: the `format` parameter has an unknown value.
pub(super) fn unknown_format() -> Response<Body> {
    of_endpoint(error(StatusCode::NOT_FOUND, "Not found.", 0))
}

/// 406: `Accept` allows none of the formats.
pub(super) fn not_acceptable() -> Response<Body> {
    let detail = "Could not satisfy the request Accept header.";
    of_endpoint(error(StatusCode::NOT_ACCEPTABLE, detail, 0))
}

/// 405: the token is wrong, or the method is. The response does not reveal which.
pub(super) fn method_not_allowed(method: &Method, format: Format) -> Response<Body> {
    let indent = match format {
        Format::Json { indent } => indent,
        Format::Html => 0,
    };
    let detail = format!("Method \"{method}\" not allowed.");
    of_endpoint(error(StatusCode::METHOD_NOT_ALLOWED, &detail, indent))
}

/// 500: the gateway itself has failed.
pub(super) fn internal_error() -> Response<Body> {
    error(StatusCode::INTERNAL_SERVER_ERROR, "A server error occurred.", 0)
}

/// The body of every error.
#[derive(Serialize)]
struct ErrorBody<'a> {
    detail: &'a str,
}

fn error(status: StatusCode, detail: &str, indent: usize) -> Response<Body> {
    json(status, &ErrorBody { detail }, indent)
}

fn json(status: StatusCode, value: &impl Serialize, indent: usize) -> Response<Body> {
    json_text(status, to_json(value, indent))
}

fn json_text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    response(status, APPLICATION_JSON, text.into())
}

fn html(status: StatusCode, page: String) -> Response<Body> {
    let mut response = response(status, TEXT_HTML, page.into());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, page::POLICY.clone());
    response
}

/// Adds what Django REST framework adds to each response of the endpoint itself.
fn of_endpoint(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// A response with the common headers.
fn response(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The page's address contains the token, and a link must not pass it on.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CONTENT_TYPE, content_type);
    response
}
