//! Judges the access token: 405 for a wrong one, as for a wrong method.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tower::{Layer, Service};

use super::extension;
use super::route::AccessToken;
use crate::http::connection::PeerAddress;
use crate::http::preferences;
use crate::http::response::{self, Body};
use crate::http::source::ReportSource;

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
    /// Has tokens judged by `source`.
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
    /// The only box on a request's way: everything below is part of it.
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<()>) -> Self::Future {
        // The clone may not be ready, so the service that is takes this request.
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
    let token = extension::<AccessToken>(request).as_str();
    let credential = preferences::credential(request.headers());
    let PeerAddress(peer) = *extension(request);
    source.authorize(token, credential.as_deref(), peer).await
}
