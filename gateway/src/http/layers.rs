//! The layers around the endpoint's handler, listed once, in the order of the contract.

mod access_log;
mod allow_methods;
mod authenticate;
mod deadline;
mod negotiate;
mod normalize_method;
mod route;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response, StatusCode};
use tower::{BoxError, Service, ServiceBuilder, service_fn};
use tower_http::catch_panic::CatchPanicLayer;

use self::access_log::AccessLogLayer;
use self::allow_methods::AllowMethodsLayer;
use self::authenticate::AuthenticateLayer;
pub(super) use self::authenticate::AuthorizedNamespace;
pub(super) use self::deadline::AnswerDeadline;
use self::deadline::DeadlineLayer;
use self::negotiate::NegotiateLayer;
use self::normalize_method::normalize_method;
use self::route::RouteLayer;
use super::handler::handle;
use super::response::{self, Body};
use super::source::ReportSource;

/// Returns the endpoint as a service, for [`super::serve()`] to put on a socket.
///
/// A request has its [`super::Arrival`] as an extension, into which the server has moved its URI: no layer finds the token where many libraries log it.
/// It has no body, because the server drains that.
/// Layers pass their results to inner ones as further extensions.
pub fn app<R: ReportSource>(
    source: Arc<R>,
) -> impl Service<
    Request<()>,
    Response = Response<impl hyper::body::Body<Data = Bytes, Error = BoxError> + Send + 'static>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static {
    ServiceBuilder::new()
        // Outermost, so that a panic in any layer becomes a 500 and not a lost connection.
        .layer(CatchPanicLayer::custom(|_| answer_panic()))
        // Before anything that compares or names the method, which Django does in upper case.
        .map_request(normalize_method)
        // Around every layer that may refuse, so that each refusal is logged. Panics are logged by their own layer.
        .layer(AccessLogLayer::default())
        // 404: a path that is not the endpoint's has neither formats nor a token.
        .layer(RouteLayer)
        // 404 for an unknown format, 406 for `Accept`: Django REST framework checks both before the token.
        .layer(NegotiateLayer)
        // 405 for a wrong token, the same response as for a wrong method, so that neither reveals the other.
        .layer(AuthenticateLayer::new(source))
        // 405: the supported methods are revealed only to a caller with the right token.
        .layer(AllowMethodsLayer)
        // Below authentication, because each namespace has its own timeout, which still counts from the arrival.
        .layer(DeadlineLayer::new(R::answer_timeout))
        .service(service_fn(handle::<R>))
}

/// Answers a request during which something panicked. The panic's message may contain anything, so the response does not include it.
fn answer_panic() -> Response<Body> {
    // The panic hook has logged the panic itself.
    tracing::error!(status = StatusCode::INTERNAL_SERVER_ERROR.as_u16(), "request panicked");
    response::internal_error()
}

/// Returns an extension that an outer layer has added to the request.
pub(super) fn extension<T: Clone + Send + Sync + 'static>(request: &Request<()>) -> &T {
    let Some(extension) = request.extensions().get() else {
        unreachable!("an outer layer sets {}", std::any::type_name::<T>())
    };
    extension
}

/// What each layer's future completes with.
pub(super) type ResponseResult = Result<Response<Body>, Infallible>;

/// The future of a layer that may respond without its inner service.
type MaybeEarly<F> = Either<Ready<ResponseResult>, F>;

/// Responds without the inner service.
pub(super) fn respond_early<F>(response: Response<Body>) -> MaybeEarly<F> {
    Either::Left(ready(Ok(response)))
}

/// What the tests of the layers share.
#[cfg(test)]
mod tests {
    use super::*;

    /// An inner service that is reached by every request that a layer lets through.
    pub(super) async fn accept(_: Request<()>) -> Result<Response<Body>, Infallible> {
        Ok(Response::new(Body::default()))
    }

    /// The bytes of a response's body.
    pub(super) async fn body(response: Response<Body>) -> Bytes {
        let Ok(body) = http_body_util::BodyExt::collect(response.into_body()).await;
        body.to_bytes()
    }
}
