//! Logs unsuccessful requests, but only some of those without a valid token.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Method, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::authenticate::NamespaceName;
use super::extension;
use crate::http::connection::Arrival;
use crate::http::refusal_log::RefusalLog;
use crate::http::response::Body;

/// The methods that the log names. A method can be any word, and the caller's own words are not logged.
const LOGGED_METHODS: [&str; 6] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"];

/// Applies [`AccessLog`].
#[derive(Clone, Debug, Default)]
pub(super) struct AccessLogLayer {
    refusals: RefusalLog,
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> AccessLog<S> {
        AccessLog { inner, refusals: self.refusals.clone() }
    }
}

/// Logs unsuccessful requests: never their path, query or headers.
#[derive(Clone, Debug)]
pub(super) struct AccessLog<S> {
    inner: S,
    refusals: RefusalLog,
}

impl<S> Service<Request<()>> for AccessLog<S>
where
    S: Service<Request<()>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let Arrival { peer, at, .. } = *extension(&request);
        let method = logged_method(request.method());
        ResponseFuture {
            inner: self.inner.call(request),
            entry: AccessLogEntry { method, peer, arrived: at },
            refusals: self.refusals.clone(),
        }
    }
}

pin_project! {
    /// The future of [`AccessLog`].
    pub(super) struct ResponseFuture<F> {
        #[pin]
        inner: F,
        entry: AccessLogEntry,
        refusals: RefusalLog,
    }
}

impl<F> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.inner.poll(cx));
        if !response.status().is_success() {
            let namespace = response.extensions().get().map(|NamespaceName(name)| name.as_str());
            if namespace.is_some() || this.refusals.has_own_line(this.entry.peer) {
                this.entry.log(response.status(), namespace);
            }
        }
        Poll::Ready(Ok(response))
    }
}

/// The fields of a request's log line.
struct AccessLogEntry {
    method: &'static str,
    peer: IpAddr,
    arrived: Instant,
}

impl AccessLogEntry {
    fn log(&self, status: StatusCode, namespace: Option<&str>) {
        tracing::info!(
            method = self.method,
            peer = %self.peer,
            namespace,
            status = status.as_u16(),
            seconds = self.arrived.elapsed().as_secs_f64(),
            "request answered"
        );
    }
}

fn logged_method(method: &Method) -> &'static str {
    LOGGED_METHODS.into_iter().find(|known| method == known).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_known_methods_are_named() {
        assert_eq!(logged_method(&Method::HEAD), "HEAD");
        assert_eq!(logged_method(&Method::from_bytes(b"SECRET").expect("a method")), "other");
    }
}
