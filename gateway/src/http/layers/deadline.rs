//! Bounds every answer by the namespace's `answer_timeout`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tower::{Layer, Service};

use super::authenticate::AuthorizedNamespace;
use super::{ResponseResult, extension};
use crate::http::connection::Arrival;
use crate::http::response::{self, Body};

/// How long after its deadline a report may still arrive, before the layer responds with 500.
const GRACE: Duration = Duration::from_secs(1);

/// The maximum timeout, because later instants may not be representable.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);

/// When the answer is due, which counts from the arrival of the request.
///
/// The runner meets it: a check that has not completed by then reports this as its status.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct AnswerDeadline {
    /// The instant.
    pub(in crate::http) at: Instant,
    /// How long that is after the request's arrival.
    pub(in crate::http) timeout: Duration,
}

impl AnswerDeadline {
    /// The deadline of a request that may take `timeout`.
    pub(in crate::http) fn new(arrival: &Arrival, timeout: Duration) -> Self {
        Self { at: arrival.at + timeout.min(MAX_TIMEOUT), timeout }
    }

    /// Waits until the answer is overdue. The handler has its grace period even if the deadline passed while the token was verified.
    fn backstop(self) -> Sleep {
        sleep_until((self.at.max(Instant::now()) + GRACE).into())
    }
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

/// Responds with 500 if the handler misses the [`AnswerDeadline`] by more than [`GRACE`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline<S, N> {
    inner: S,
    answer_timeout: fn(&N) -> Duration,
}

impl<S, N> Service<Request<()>> for Deadline<S, N>
where
    N: Clone + Send + Sync + 'static,
    S: Service<Request<()>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let AuthorizedNamespace(namespace) = extension::<AuthorizedNamespace<N>>(&request);
        let deadline = AnswerDeadline::new(extension(&request), (self.answer_timeout)(namespace));
        ResponseFuture { inner: self.inner.call(request), deadline, backstop: None }
    }
}

pin_project! {
    /// The future of [`Deadline`].
    pub(super) struct ResponseFuture<F> {
        #[pin]
        inner: F,
        deadline: AnswerDeadline,
        // Set once the handler has to be awaited. Most reports are cached, and need no timer.
        backstop: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ResponseResult>> Future for ResponseFuture<F> {
    type Output = ResponseResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ResponseResult> {
        let this = self.project();
        if let Poll::Ready(response) = this.inner.poll(cx) {
            return Poll::Ready(response);
        }
        let backstop = this.backstop.get_or_insert_with(|| Box::pin(this.deadline.backstop()));
        ready!(backstop.as_mut().poll(cx));
        tracing::error!("report missed its deadline");
        Poll::Ready(Ok(response::internal_error()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::{StatusCode, Uri};
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    fn arrival() -> Arrival {
        Arrival::new(Ipv4Addr::LOCALHOST.into(), Uri::default())
    }

    /// A request that arrived at `received_at`. Its namespace is its `answer_timeout`.
    fn request(answer_timeout: Duration, received_at: Instant) -> Request<()> {
        let mut request = Request::new(());
        let mut arrival = arrival();
        arrival.at = received_at;
        request.extensions_mut().insert(arrival);
        request.extensions_mut().insert(AuthorizedNamespace(answer_timeout));
        request
    }

    #[test]
    fn the_deadline_counts_from_the_arrival() {
        let arrival = arrival();
        for (timeout, expected) in
            [(Duration::from_secs(3), Duration::from_secs(3)), (Duration::MAX, MAX_TIMEOUT)]
        {
            let deadline = AnswerDeadline::new(&arrival, timeout);
            assert_eq!((deadline.at - arrival.at, deadline.timeout), (expected, timeout));
        }
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
