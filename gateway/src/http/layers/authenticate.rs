//! Verifies the access token: 405 for a wrong one, as for a wrong method.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tower::{Layer, Service};

use super::extension;
use crate::http::connection::Arrival;
use crate::http::preferences;
use crate::http::response::{self, Body};
use crate::http::source::ReportSource;
use crate::http::target::Target;

/// The namespace that the request's token opens.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct AuthorizedNamespace<N>(pub(in crate::http) N);

/// The name of the namespace that an unsuccessful response is about, for the log.
#[derive(Clone, Debug)]
pub(super) struct NamespaceName(pub(super) String);

/// Applies [`Authenticate`].
#[derive(Debug)]
pub(super) struct AuthenticateLayer<R> {
    source: Arc<R>,
}

impl<R> AuthenticateLayer<R> {
    /// Verifies tokens with `source`.
    pub(super) fn new(source: Arc<R>) -> Self {
        Self { source }
    }
}

impl<S, R> Layer<S> for AuthenticateLayer<R> {
    type Service = Authenticate<S, R>;

    fn layer(&self, inner: S) -> Authenticate<S, R> {
        Authenticate { inner, source: self.source.clone() }
    }
}

/// Adds the [`AuthorizedNamespace`] to the request, or responds with 405.
#[derive(Debug)]
pub(super) struct Authenticate<S, R> {
    inner: S,
    source: Arc<R>,
}

impl<S: Clone, R> Clone for Authenticate<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), source: self.source.clone() }
    }
}

impl<S, R> Service<Request<()>> for Authenticate<S, R>
where
    R: ReportSource,
    S: Service<Request<()>, Response = Response<Body>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    /// The only boxed future of a request, which contains the futures of all inner layers.
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<()>) -> Self::Future {
        // The clone may not be ready, so this request is passed to the service that is.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let source = self.source.clone();
        Box::pin(async move {
            let Some(namespace) = authorize(&*source, &request).await else {
                return Ok(response::method_not_allowed(request.method(), *extension(&request)));
            };
            request.extensions_mut().insert(AuthorizedNamespace(namespace.clone()));
            let mut response = inner.call(request).await?;
            if !response.status().is_success() {
                response.extensions_mut().insert(NamespaceName(R::name(&namespace)));
            }
            Ok(response)
        })
    }
}

async fn authorize<R: ReportSource>(source: &R, request: &Request<()>) -> Option<R::Namespace> {
    let token = extension::<Target>(request).token()?;
    let credential = preferences::credential(request.headers());
    let arrival: &Arrival = extension(request);
    source.authorize(&token, credential.as_deref(), arrival.peer).await
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    use http::{StatusCode, Uri};
    use tower::{ServiceExt as _, service_fn};

    use super::super::tests::body;
    use super::*;
    use crate::http::format::Format;
    use crate::overview::Overview;
    use crate::report::Report;
    use crate::runner::RunOptions;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A source with one token, which opens the namespace `7`.
    struct OneToken;

    impl ReportSource for OneToken {
        type Namespace = u8;

        async fn authorize(
            &self,
            token: &str,
            credential: Option<&[u8]>,
            peer: IpAddr,
        ) -> Option<u8> {
            let agreed = credential.is_none_or(|credential| credential == token.as_bytes());
            (token == "right" && agreed && peer == PEER).then_some(7)
        }

        fn name(namespace: &u8) -> String {
            format!("namespace-{namespace}")
        }

        fn failure_status(_: &u8) -> StatusCode {
            StatusCode::OK
        }

        fn answer_timeout(_: &u8) -> Duration {
            Duration::MAX
        }

        async fn report(_: &u8, _: RunOptions) -> Report {
            unreachable!("the inner service makes no report")
        }

        fn overview(_: &u8) -> Overview {
            unreachable!("the inner service makes no page")
        }
    }

    /// The response to a token. A request that is let through gets this status, and its namespace as the body.
    async fn respond(token: &str, authorization: &str, status: StatusCode) -> Response<Body> {
        let inner = service_fn(move |request: Request<()>| async move {
            let AuthorizedNamespace(namespace) = *extension::<AuthorizedNamespace<u8>>(&request);
            let mut response = Response::new(Body::from(namespace.to_string()));
            *response.status_mut() = status;
            Ok(response)
        });
        let target: Uri = format!("/api/health/{token}/").parse().expect("a target");
        let request = Request::get("/")
            .header("authorization", authorization)
            .extension(Target::from(target))
            .extension(Arrival { peer: PEER, at: Instant::now() })
            .extension(Format::Json { indent: 0 });
        let service = AuthenticateLayer::new(Arc::new(OneToken)).layer(inner);
        let Ok(response) = service.oneshot(request.body(()).expect("valid")).await;
        response
    }

    #[tokio::test]
    async fn the_right_token_opens_its_namespace() {
        let response = respond("right", "JWT right", StatusCode::OK).await;
        assert!(response.extensions().get::<NamespaceName>().is_none());
        assert_eq!(body(response).await, "7");
    }

    #[tokio::test]
    async fn an_unsuccessful_response_carries_the_name_of_its_namespace() {
        let response = respond("right", "Bearer x", StatusCode::SERVICE_UNAVAILABLE).await;
        let name = response.extensions().get().map(|NamespaceName(name)| name.as_str());
        assert_eq!(name, Some("namespace-7"));
    }

    #[tokio::test]
    async fn a_wrong_token_is_refused_like_a_wrong_method() {
        for (token, authorization) in [("wrong", "JWT wrong"), ("right", "JWT wrong")] {
            let response = respond(token, authorization, StatusCode::OK).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert!(response.extensions().get::<NamespaceName>().is_none());
            assert_eq!(body(response).await, r#"{"detail":"Method \"GET\" not allowed."}"#);
        }
    }
}
