//! Verifies the access token: 405 for a wrong one, as for a wrong method.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::{BoxFuture, Either};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{MaybeEarly, ResponseResult, extension, respond_early};
use crate::http::connection::Arrival;
use crate::http::preferences;
use crate::http::response::{self, Body};
use crate::http::source::ReportSource;
use crate::maybe_ready::MaybeReady;

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
    type Future =
        MaybeEarly<Either<NamedResponse<S::Future, R>, BoxFuture<'static, ResponseResult>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        match authorize(&self.source, &request) {
            Either::Left(known) => match known.into_inner() {
                Some(namespace) => {
                    Either::Right(Either::Left(call(&mut self.inner, request, namespace)))
                }
                None => respond_early(refuse(&request)),
            },
            Either::Right(unknown) => {
                // The clone may not be ready, so this request is passed to the service that is.
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                Either::Right(Either::Right(Box::pin(async move {
                    match unknown.await {
                        Some(namespace) => call::<S, R>(&mut inner, request, namespace).await,
                        None => Ok(refuse(&request)),
                    }
                })))
            }
        }
    }
}

fn authorize<R: ReportSource>(
    source: &Arc<R>,
    request: &Request<()>,
) -> MaybeReady<Option<R::Namespace>> {
    let arrival: &Arrival = extension(request);
    let Some(token) = arrival.target.token() else {
        return Either::Left(ready(None));
    };
    let credential = preferences::credential(request.headers());
    source.authorize(&token, credential.as_deref(), arrival.peer)
}

/// Passes on a request with the right token.
fn call<S: Service<Request<()>>, R: ReportSource>(
    inner: &mut S,
    mut request: Request<()>,
    namespace: R::Namespace,
) -> NamedResponse<S::Future, R> {
    request.extensions_mut().insert(AuthorizedNamespace(namespace.clone()));
    NamedResponse { inner: inner.call(request), namespace }
}

fn refuse(request: &Request<()>) -> Response<Body> {
    response::method_not_allowed(request.method(), *extension(request))
}

pin_project! {
    /// Adds the [`NamespaceName`] to an unsuccessful response.
    pub(super) struct NamedResponse<F, R: ReportSource> {
        #[pin]
        inner: F,
        namespace: R::Namespace,
    }
}

impl<F, R> Future for NamedResponse<F, R>
where
    F: Future<Output = ResponseResult>,
    R: ReportSource,
{
    type Output = ResponseResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ResponseResult> {
        let this = self.project();
        let Ok(mut response) = ready!(this.inner.poll(cx));
        if !response.status().is_success() {
            response.extensions_mut().insert(NamespaceName(R::name(this.namespace)));
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

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

        fn authorize(
            self: &Arc<Self>,
            token: &str,
            credential: Option<&[u8]>,
            peer: IpAddr,
        ) -> MaybeReady<Option<u8>> {
            let agreed = credential.is_none_or(|credential| credential == token.as_bytes());
            match token {
                "right" if agreed && peer == PEER => Either::Left(ready(Some(7))),
                "new" => Either::Right(Box::pin(ready(Some(8)))),
                "missing" => Either::Right(Box::pin(ready(None))),
                _ => Either::Left(ready(None)),
            }
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

        fn report(_: &u8, _: RunOptions) -> MaybeReady<Report> {
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
            .extension(Arrival::new(PEER, target))
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
        let response = respond("new", "Bearer x", StatusCode::OK).await;
        assert_eq!(body(response).await, "8");
    }

    #[tokio::test]
    async fn an_unsuccessful_response_carries_the_name_of_its_namespace() {
        let response = respond("right", "Bearer x", StatusCode::SERVICE_UNAVAILABLE).await;
        let name = response.extensions().get().map(|NamespaceName(name)| name.as_str());
        assert_eq!(name, Some("namespace-7"));
    }

    #[tokio::test]
    async fn a_wrong_token_is_refused_like_a_wrong_method() {
        for (token, authorization) in
            [("wrong", "JWT wrong"), ("right", "JWT wrong"), ("missing", "Bearer x")]
        {
            let response = respond(token, authorization, StatusCode::OK).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert!(response.extensions().get::<NamespaceName>().is_none());
            assert_eq!(body(response).await, r#"{"detail":"Method \"GET\" not allowed."}"#);
        }
    }
}
