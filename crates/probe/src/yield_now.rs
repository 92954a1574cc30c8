//! Lets other tasks take their turn.

use std::future::poll_fn;
use std::task::Poll;

/// Lets the tasks that are ready run before the current one continues.
///
/// Another worker may continue the task if its own one blocks meanwhile, as it may any task that is ready.
/// After `tokio::task::yield_now`, only the same worker can, since that keeps the task until it looks for I/O again.
pub async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
