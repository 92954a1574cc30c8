//! Bounds every answer by the namespace's `answer_timeout`.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::Map;
use http::{Request, Response};
use tokio::time::error::Elapsed;
use tokio::time::{Timeout, timeout_at};
use tower::{Layer, Service};

use super::authenticate::AuthorizedNamespace;
use super::extension;
use crate::http::connection::Arrival;
use crate::http::response::{self, Body};

/// How long after its deadline a report may still arrive, before the layer responds with 500.
const GRACE: Duration = Duration::from_secs(1);

/// The maximum timeout, because later instants may not be representable.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);

/// When the answer is due.
///
/// The runner meets it: a check that has not completed by then reports this as its status.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct AnswerDeadline {
    /// The instant.
    pub(in crate::http) at: Instant,
    /// How long that is after the request's arrival.
    pub(in crate::http) timeout: Duration,
}

/// Applies [`Deadline`].
#[derive(Clone, Copy, Debug)]
pub(super) struct DeadlineLayer<N> {
    answer_timeout: fn(&N) -> Duration,
}

impl<N> DeadlineLayer<N> {
    /// Bounds answers by the namespace's `answer_timeout`.
    pub(super) fn new(answer_timeout: fn(&N) -> Duration) -> Self {
        Self { answer_timeout }
    }
}

impl<S, N> Layer<S> for DeadlineLayer<N> {
    type Service = Deadline<S, N>;

    fn layer(&self, inner: S) -> Deadline<S, N> {
        Deadline { inner, answer_timeout: self.answer_timeout }
    }
}

/// Adds the [`AnswerDeadline`] to the request, and responds with 500 if the handler misses it by more than [`GRACE`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline<S, N> {
    inner: S,
    answer_timeout: fn(&N) -> Duration,
}

type ResponseResult = Result<Response<Body>, Infallible>;

impl<S, N> Service<Request<()>> for Deadline<S, N>
where
    N: Clone + Send + Sync + 'static,
    S: Service<Request<()>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Map<Timeout<S::Future>, fn(Result<ResponseResult, Elapsed>) -> ResponseResult>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<()>) -> Self::Future {
        let AuthorizedNamespace(namespace) = extension::<AuthorizedNamespace<N>>(&request);
        let timeout = (self.answer_timeout)(namespace);
        let arrival: &Arrival = extension(&request);
        let at = arrival.at + timeout.min(MAX_TIMEOUT);
        request.extensions_mut().insert(AnswerDeadline { at, timeout });
        // The handler has its grace period even if the deadline passed while the token was verified.
        let backstop = at.max(Instant::now()) + GRACE;
        timeout_at(backstop.into(), self.inner.call(request)).map(response_or_error)
    }
}

fn response_or_error(response: Result<ResponseResult, Elapsed>) -> ResponseResult {
    response.unwrap_or_else(|Elapsed { .. }| {
        tracing::error!("report missed its deadline");
        Ok(response::internal_error())
    })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use http::StatusCode;
    use tower::{ServiceExt as _, service_fn};

    use super::super::tests::body;
    use super::*;

    /// A request that arrived at `received_at`. Its namespace is its `answer_timeout`.
    fn request(answer_timeout: Duration, received_at: Instant) -> Request<()> {
        let mut request = Request::new(());
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        request.extensions_mut().insert(Arrival { peer, at: received_at });
        request.extensions_mut().insert(AuthorizedNamespace(answer_timeout));
        request
    }

    #[tokio::test]
    async fn the_deadline_counts_from_the_arrival() {
        let received_at = Instant::now();
        let inner = service_fn(move |request: Request<()>| async move {
            let AnswerDeadline { at, timeout } = *extension(&request);
            let text = format!("{:?} {timeout:?}", at - received_at);
            Ok(Response::new(Body::from(text)))
        });
        let service = DeadlineLayer::new(Duration::clone).layer(inner);
        let Ok(response) = service.oneshot(request(Duration::from_secs(3), received_at)).await;
        assert_eq!(body(response).await, "3s 3s");
        let Ok(response) = service.oneshot(request(Duration::MAX, received_at)).await;
        assert_eq!(response.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_handler_that_never_answers_is_dropped() {
        let inner = service_fn(|_: Request<()>| std::future::pending());
        let service = DeadlineLayer::new(Duration::clone).layer(inner);
        let timeout = Duration::from_millis(1);
        let begun = Instant::now();
        let Ok(response) = service.oneshot(request(timeout, begun)).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(begun.elapsed() >= timeout + GRACE);
    }

    #[tokio::test]
    async fn a_deadline_that_has_passed_leaves_the_handler_its_grace_period() {
        let inner = service_fn(|_: Request<()>| async {
            tokio::time::sleep(GRACE / 10).await;
            Ok(Response::new(Body::default()))
        });
        let service = DeadlineLayer::new(Duration::clone).layer(inner);
        let received_at = Instant::now().checked_sub(2 * GRACE).expect("the clock runs longer");
        let Ok(response) = service.oneshot(request(Duration::from_millis(1), received_at)).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
}
