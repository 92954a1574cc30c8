//! The layers around the endpoint, listed once, each with the reason for its position.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Body;
use tower::{BoxError, Service, ServiceBuilder, service_fn};
use tower_http::catch_panic::CatchPanicLayer;

use super::{Authority, Peer, Question, answer, write};

/// The application as a service, for [`super::serve`] to put on a socket.
///
/// Nothing here reads the body of a request: [`Peer`] has its place.
pub fn app<A: Authority>(
    authority: Arc<A>,
) -> impl Service<
    Request<Peer>,
    Response = Response<impl Body<Data = Bytes, Error = BoxError> + Send + 'static>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static {
    ServiceBuilder::new()
        // First of all: whatever sees the request from here on cannot see the token.
        .map_request(hide_target)
        // A panic becomes an answer instead of a cut connection. What it says may hold anything: it is not repeated.
        .layer(CatchPanicLayer::custom(|_| internal_error()))
        .service(service_fn(move |request| answer(authority.clone(), request)))
}

/// Moves the target out of the URI, where many things would print it, to where nothing does.
fn hide_target(mut request: Request<Peer>) -> Request<Question> {
    let target = std::mem::take(request.uri_mut()).into();
    request.map(|Peer(peer)| Question { target, peer })
}

fn internal_error() -> Response<write::Body> {
    // The panic itself was logged where it happened.
    tracing::error!(status = StatusCode::INTERNAL_SERVER_ERROR.as_u16(), "answered");
    write::internal_error().with_headers(HeaderMap::new())
}
