//! Lets only the endpoint's path through: 404 for any other.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use tower::{Layer, Service};

use super::{MaybeEarly, extension, respond_early};
use crate::http::connection::Arrival;
use crate::http::response::{self, Body};

/// Applies [`Route`].
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteLayer;

impl<S> Layer<S> for RouteLayer {
    type Service = Route<S>;

    fn layer(&self, inner: S) -> Route<S> {
        Route { inner }
    }
}

/// Passes on a request with a token in its path, or responds with 404.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route<S> {
    inner: S,
}

impl<S> Service<Request<()>> for Route<S>
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
        if extension::<Arrival>(&request).target.token().is_none() {
            return respond_early(response::path_not_found());
        }
        Either::Right(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::{StatusCode, Uri};
    use tower::{ServiceExt as _, service_fn};

    use super::super::tests::accept;
    use super::*;

    async fn respond(path: &'static str) -> Response<Body> {
        let mut request = Request::new(());
        let arrival = Arrival::new(Ipv4Addr::LOCALHOST.into(), Uri::from_static(path));
        request.extensions_mut().insert(arrival);
        let Ok(response) = RouteLayer.layer(service_fn(accept)).oneshot(request).await;
        response
    }

    #[tokio::test]
    async fn the_path_of_the_endpoint_is_let_through() {
        let response = respond("/api/health/the%20token/?format=json").await;
        assert_eq!(response.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn another_path_is_not_found() {
        for path in ["/", "/api/health/", "/api/health/a/b/"] {
            assert_eq!(respond(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
