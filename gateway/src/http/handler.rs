//! Answers a request that has passed every layer.

use std::convert::Infallible;

use http::{Method, Request, Response, StatusCode};

use super::format::Format;
use super::layers::{AnswerDeadline, AuthorizedNamespace, extension};
use super::page::Filter;
use super::preferences;
use super::response::{self, Body};
use super::source::ReportSource;
use super::target::Target;
use crate::runner::RunOptions;

/// Handles `GET`, `HEAD` and `OPTIONS`. The server leaves out the body of the response to `HEAD`.
pub(super) async fn handle<R: ReportSource>(
    request: Request<()>,
) -> Result<Response<Body>, Infallible> {
    let format = *extension::<Format>(&request);
    Ok(match *request.method() {
        Method::OPTIONS => response::metadata(format),
        _ => report::<R>(&request, format).await,
    })
}

async fn report<R: ReportSource>(request: &Request<()>, format: Format) -> Response<Body> {
    let AuthorizedNamespace(namespace) = extension::<AuthorizedNamespace<R::Namespace>>(request);
    let AnswerDeadline { at, timeout } = *extension(request);
    let options = RunOptions {
        fresh: preferences::fresh(request.headers()),
        wait: preferences::wait(request.headers()),
        deadline: Some((at, timeout)),
    };
    let report = R::report(namespace, options).await;
    let status =
        if report.has_critical_failure { R::failure_status(namespace) } else { StatusCode::OK };
    match format {
        Format::Json { indent } => response::report(&report, status, options.wait, indent),
        Format::Html => {
            let filter = Filter::parse(extension::<Target>(request).query());
            let overview = R::overview(namespace);
            response::report_page(&report, &overview, status, options.wait, &filter)
        }
    }
}
