//! The HTTP face: one endpoint, as Django REST framework would serve it.
//!
//! `serve` accepts, `connection` reads and writes, `stack` wraps, this file answers; `target`, `negotiate` and `wishes` read requests, `write`, `json` and `page` write answers.
//! Nothing here knows what a check is: whoever holds a token is asked for a report, through [`Authority`].

mod connection;
mod header_list;
mod json;
mod layers;
mod negotiate;
mod page;
mod preferences;
mod serve;
mod target;
mod write;

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Request, Response, StatusCode};

use crate::namespace::Namespace;
use crate::namespaces::Namespaces;
use crate::report::Report;
use crate::runner::RunOptions;
use negotiate::{Format, Refusal, negotiate};
use target::Target;
use write::{Answer, Body};

pub(crate) use json::Json;
pub use layers::app;
pub use serve::{Limits, serve};
pub(crate) use write::{report_json, seconds};

/// Who decides which token opens what, and who answers for it: [`Namespaces`], or a test's stand-in.
pub trait Authority: Send + Sync + 'static {
    /// What a token opens.
    type Namespace: Send + Sync;

    /// What this token opens, unless `header`, the credential of an `Authorization: JWT` header, forbids it.
    fn authorize(
        &self,
        token: &str,
        header: Option<&[u8]>,
        peer: IpAddr,
    ) -> impl Future<Output = Option<Self::Namespace>> + Send;

    /// The namespace's name, for the log.
    fn name(namespace: &Self::Namespace) -> String;

    /// The status code of a report in which something is not working.
    fn failure_status(namespace: &Self::Namespace) -> StatusCode;

    /// Asks every check. The future is dropped when the caller hangs up.
    fn ask(namespace: &Self::Namespace, ask: RunOptions) -> impl Future<Output = Report> + Send;
}

impl Authority for Namespaces {
    type Namespace = Arc<Namespace>;

    async fn authorize(
        &self,
        token: &str,
        header: Option<&[u8]>,
        peer: IpAddr,
    ) -> Option<Arc<Namespace>> {
        self.authorize(token, header, peer).await
    }

    fn name(namespace: &Arc<Namespace>) -> String {
        namespace.name()
    }

    fn failure_status(namespace: &Arc<Namespace>) -> StatusCode {
        namespace.failure_status()
    }

    async fn ask(namespace: &Arc<Namespace>, ask: RunOptions) -> Report {
        namespace.ask(ask).await
    }
}

/// The address a request came from. It stands in the place of the body, since nothing here reads one.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What a request asks for and who asks, in the place of the body as well.
struct Question {
    target: Target,
    peer: IpAddr,
}

/// Answers one request, whose target has been taken out of its URI.
///
/// What was not answered as it was meant is logged: never the path, the query or the headers.
fn answer<A: Authority>(
    authority: Arc<A>,
    request: Request<Question>,
) -> Pin<Box<impl Future<Output = Result<Response<Body>, Infallible>> + Send>> {
    let begun = Instant::now();
    // No `async fn`, which would hold each of its arguments twice; and boxed, because every layer, and the server, would move it before it begins.
    Box::pin(async move {
        // Django knows methods in upper case only, however they are sent.
        let method = upper_case(request.method().as_str());
        let mut namespace = None;
        let answer = dispatch(&*authority, &method, &request, &mut namespace).await;
        if !answer.status.is_success() {
            // A method can be any word; one of a caller's own making is not copied into the log.
            let known = METHODS.iter().find(|known| **known == method);
            tracing::info!(
                method = known.unwrap_or(&"other"),
                peer = %request.body().peer,
                namespace = namespace.as_ref().map(A::name),
                status = answer.status.as_u16(),
                seconds = begun.elapsed().as_secs_f64(),
                "answered"
            );
        }
        drop(method);
        Ok(answer.with_headers(request.into_parts().0.headers))
    })
}

fn upper_case(method: &str) -> Cow<'_, str> {
    if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        method.to_ascii_uppercase().into()
    } else {
        method.into()
    }
}

/// Those that are named in the log.
const METHODS: [&str; 6] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"];

/// The order of the questions is part of the contract: the path, the format, `Accept`, the token, the method.
async fn dispatch<A: Authority>(
    authority: &A,
    method: &str,
    request: &Request<Question>,
    asked: &mut Option<A::Namespace>,
) -> Answer {
    let (headers, Question { target, peer }) = (request.headers(), request.body());
    let Some(token) = target.token() else {
        return write::no_such_path();
    };
    let format = match negotiate(target.query(), headers) {
        Ok(format) => format,
        Err(Refusal::UnknownFormat) => return write::unknown_format(),
        Err(Refusal::NotAcceptable) => return write::not_acceptable(),
    };
    let credential = preferences::credential(headers);
    let found = authority.authorize(&token, credential.as_deref(), *peer).await;
    let Some(namespace) = found else {
        return write::method_not_allowed(method, format);
    };
    match method {
        "GET" | "HEAD" => report::<A>(asked.insert(namespace), headers, format).await,
        "OPTIONS" => write::description(format),
        _ => write::method_not_allowed(method, format),
    }
}

async fn report<A: Authority>(
    namespace: &A::Namespace,
    headers: &HeaderMap,
    format: Format,
) -> Answer {
    let ask = RunOptions {
        fresh: preferences::fresh(headers),
        wait: preferences::wait(headers),
        deadline: None,
    };
    let report = A::ask(namespace, ask).await;
    let status = if report.all_working() { StatusCode::OK } else { A::failure_status(namespace) };
    write::report(&report, status, ask.wait, format)
}
