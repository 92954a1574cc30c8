//! Lets only the endpoint's path through: 404 for any other.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use tower::{Layer, Service};

use super::{MaybeEarly, extension, respond_early};
use crate::http::response::{self, Body};
use crate::http::target::Target;

/// The token in the request's path. It has no `Debug`, so that it cannot be printed.
#[derive(Clone)]
pub(super) struct AccessToken(String);

impl From<String> for AccessToken {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl AccessToken {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Applies [`Route`].
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteLayer;

impl<S> Layer<S> for RouteLayer {
    type Service = Route<S>;

    fn layer(&self, inner: S) -> Route<S> {
        Route { inner }
    }
}

/// Reads the [`AccessToken`] from the path, or responds with 404.
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

    fn call(&mut self, mut request: Request<()>) -> Self::Future {
        let Some(token) = extension::<Target>(&request).token() else {
            return respond_early(response::path_not_found());
        };
        let token = AccessToken::from(token.into_owned());
        request.extensions_mut().insert(token);
        Either::Right(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use http::{StatusCode, Uri};
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    /// The response to a path. A request that is let through is answered with its token.
    async fn respond(path: &'static str) -> Response<Body> {
        let inner = |request: Request<()>| async move {
            Ok(Response::new(Body::from(extension::<AccessToken>(&request).as_str().to_owned())))
        };
        let mut request = Request::new(());
        request.extensions_mut().insert(Target::from(Uri::from_static(path)));
        let Ok(response) = RouteLayer.layer(service_fn(inner)).oneshot(request).await;
        response
    }

    #[tokio::test]
    async fn the_endpoint_gets_the_token_of_its_path() {
        let response = respond("/api/health/the%20token/?format=json").await;
        assert_eq!(super::super::tests::body(response).await, "the token");
    }

    #[tokio::test]
    async fn another_path_is_not_found() {
        for path in ["/", "/api/health/", "/api/health/a/b/"] {
            assert_eq!(respond(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
