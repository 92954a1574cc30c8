//! Lets only the endpoint's methods through: 405 for any other.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Method, Request, Response};
use tower::{Layer, Service};

use super::{MaybeEarly, extension, respond_early};
use crate::http::response::{self, Body};

/// The methods that the handler supports.
const ALLOWED: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];

/// Applies [`AllowMethods`].
#[derive(Clone, Copy, Debug)]
pub(super) struct AllowMethodsLayer;

impl<S> Layer<S> for AllowMethodsLayer {
    type Service = AllowMethods<S>;

    fn layer(&self, inner: S) -> AllowMethods<S> {
        AllowMethods { inner }
    }
}

/// Responds with 405 to a method that the handler does not support.
#[derive(Clone, Copy, Debug)]
pub(super) struct AllowMethods<S> {
    inner: S,
}

impl<S> Service<Request<()>> for AllowMethods<S>
where
    S: Service<Request<()>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = MaybeEarly<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        if !ALLOWED.contains(request.method()) {
            let response = response::method_not_allowed(request.method(), *extension(&request));
            return respond_early(response);
        }
        Either::Right(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use http::{StatusCode, header};
    use tower::{ServiceExt as _, service_fn};

    use super::super::tests::{accept, body};
    use super::*;
    use crate::http::format::Format;

    async fn respond(method: &str) -> Response<Body> {
        let format = Format::Json { indent: 0 };
        let request = Request::builder().method(method).extension(format).body(()).expect("valid");
        let Ok(response) = AllowMethodsLayer.layer(service_fn(accept)).oneshot(request).await;
        response
    }

    #[tokio::test]
    async fn known_methods_are_let_through() {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(respond(method).await.status(), StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn another_method_is_refused_with_its_name() {
        let response = respond("BREW").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[header::ALLOW], "GET, HEAD, OPTIONS");
        assert_eq!(body(response).await, r#"{"detail":"Method \"BREW\" not allowed."}"#);
    }
}
