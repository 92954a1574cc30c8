//! Chooses the format of the response: 404 for an unknown one, 406 for none acceptable.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use tower::{Layer, Service};

use super::{MaybeEarly, extension, respond_early};
use crate::http::connection::Arrival;
use crate::http::format::{NegotiationError, negotiate};
use crate::http::response::{self, Body};

/// Applies [`Negotiate`].
#[derive(Clone, Copy, Debug)]
pub(super) struct NegotiateLayer;

impl<S> Layer<S> for NegotiateLayer {
    type Service = Negotiate<S>;

    fn layer(&self, inner: S) -> Negotiate<S> {
        Negotiate { inner }
    }
}

/// Adds the [`Format`](crate::http::format::Format) to the request, or responds with 404 or 406.
#[derive(Clone, Copy, Debug)]
pub(super) struct Negotiate<S> {
    inner: S,
}

impl<S> Service<Request<()>> for Negotiate<S>
where
    S: Service<Request<()>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = MaybeEarly<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<()>) -> Self::Future {
        let query = extension::<Arrival>(&request).target.query();
        let format = match negotiate(query, request.headers()) {
            Ok(format) => format,
            Err(NegotiationError::UnknownFormat) => {
                return respond_early(response::unknown_format());
            }
            Err(NegotiationError::NotAcceptable) => {
                return respond_early(response::not_acceptable());
            }
        };
        request.extensions_mut().insert(format);
        Either::Right(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::{StatusCode, Uri, header};
    use tower::{ServiceExt as _, service_fn};

    use super::super::tests::{accept, body};
    use super::*;
    use crate::http::format::Format;

    fn request(target: &'static str, accept: &'static str) -> Request<()> {
        let request = Request::builder().header(header::ACCEPT, accept);
        let arrival = Arrival::new(Ipv4Addr::LOCALHOST.into(), Uri::from_static(target));
        request.extension(arrival).body(()).expect("valid")
    }

    #[tokio::test]
    async fn the_format_is_passed_on() {
        let inner = |request: Request<()>| async move {
            let format = format!("{:?}", extension::<Format>(&request));
            Ok(Response::new(Body::from(format)))
        };
        let service = NegotiateLayer.layer(service_fn(inner));
        let Ok(response) = service.oneshot(request("/", "text/html")).await;
        assert_eq!(body(response).await, "Html");
    }

    #[tokio::test]
    async fn a_request_without_a_format_is_refused() {
        let service = NegotiateLayer.layer(service_fn(accept));
        for (request, status) in [
            (request("/?format=xml", "image/png"), StatusCode::NOT_FOUND),
            (request("/", "image/png"), StatusCode::NOT_ACCEPTABLE),
        ] {
            let Ok(response) = service.oneshot(request).await;
            assert_eq!(response.status(), status);
        }
    }
}
