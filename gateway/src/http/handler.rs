//! Answers a request that has passed every layer.

use futures_util::future::Either;
use http::{Method, Request, Response, StatusCode};

use super::connection::Arrival;
use super::format::Format;
use super::layers::{
    AnswerDeadline, AuthorizedNamespace, ResponseResult, extension, respond_early,
};
use super::page::Filter;
use super::preferences;
use super::response::{self, Body};
use super::source::ReportSource;
use crate::maybe_ready::MaybeReady;
use crate::report::Report;
use crate::runner::RunOptions;

/// Handles `GET`, `HEAD` and `OPTIONS`. The server leaves out the body of the response to `HEAD`.
pub(super) fn handle<R: ReportSource>(request: Request<()>) -> MaybeReady<ResponseResult> {
    if *request.method() == Method::OPTIONS {
        return respond_early(response::metadata(*extension(&request)));
    }
    let AuthorizedNamespace(namespace) = extension::<AuthorizedNamespace<R::Namespace>>(&request);
    let arrival: &Arrival = extension(&request);
    let AnswerDeadline { at, timeout } = AnswerDeadline::new(arrival, R::answer_timeout(namespace));
    let options = RunOptions {
        fresh: preferences::fresh(request.headers()),
        wait: preferences::wait(request.headers()),
        deadline: Some((at, timeout)),
    };
    match R::report(namespace, options) {
        Either::Left(cached) => {
            respond_early(respond::<R>(&request, options, &cached.into_inner()))
        }
        Either::Right(running) => Either::Right(Box::pin(async move {
            let report = running.await;
            Ok(respond::<R>(&request, options, &report))
        })),
    }
}

fn respond<R: ReportSource>(
    request: &Request<()>,
    options: RunOptions,
    report: &Report,
) -> Response<Body> {
    let AuthorizedNamespace(namespace) = extension::<AuthorizedNamespace<R::Namespace>>(request);
    let status =
        if report.has_critical_failure { R::failure_status(namespace) } else { StatusCode::OK };
    match *extension(request) {
        Format::Json { indent } => response::report(report, status, options.wait, indent),
        Format::Html => {
            let arrival: &Arrival = extension(request);
            let filter = Filter::parse(arrival.target.query());
            let overview = R::overview(namespace);
            response::report_page(report, &overview, status, options.wait, &filter)
        }
    }
}
