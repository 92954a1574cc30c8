//! The tokio runtime, in which tasks that block their workers do not stop the others.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

/// One more than the number of tasks that may block at the same time without stopping the others.
const WORKERS: usize = 8;

/// The longest time for which a blocking task can delay I/O and timers.
const WAKE_INTERVAL: Duration = Duration::from_millis(100);

/// Runs `work` to completion on a new runtime, without waiting for tasks that still block their threads at the end.
pub fn run<F: Future>(work: F) -> io::Result<F::Output> {
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let handle = runtime.handle().clone();
    let (running, stopped) = mpsc::channel();
    thread::Builder::new()
        .name("wake-workers".to_owned())
        .spawn(move || wake_workers(&handle, &stopped))?;
    let output = runtime.block_on(work);
    drop(running);
    runtime.shutdown_background();
    Ok(output)
}

/// Wakes a parked worker at each interval while another one is busy, until the sender of `stopped` is dropped.
///
/// One worker waits for I/O and timers on behalf of all, and the others are parked.
/// If a task that it then runs blocks, tokio wakes no other worker to wait in its place: `Builder::enable_eager_driver_handoff` would, but is unstable in tokio 1.54.
/// A worker that is woken for an empty task waits for I/O and timers before it is parked again.
fn wake_workers(runtime: &Handle, stopped: &Receiver<Infallible>) {
    let metrics = runtime.metrics();
    // An odd count means that the worker is parked, or waits for I/O and timers.
    let is_busy = |worker| metrics.worker_park_unpark_count(worker).is_multiple_of(2);
    while stopped.recv_timeout(WAKE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        if (0..WORKERS).any(is_busy) {
            runtime.spawn(async {});
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::task::JoinHandle;
    use tokio::time::sleep;

    use super::*;

    const BLOCKED: Duration = Duration::from_secs(3);
    /// Far more than [`WAKE_INTERVAL`], for a busy machine. A timer that waits for a blocked worker is late by nearly [`BLOCKED`].
    const MAX_DELAY: Duration = Duration::from_secs(1);

    /// Sleeps repeatedly until all `blockers` have ended, and returns the longest delay of a timer.
    async fn max_timer_delay(blockers: Vec<JoinHandle<()>>) -> Duration {
        let tick = Duration::from_millis(20);
        let mut max = Duration::ZERO;
        while !blockers.iter().all(JoinHandle::is_finished) {
            let begun = Instant::now();
            sleep(tick).await;
            max = max.max(begun.elapsed().saturating_sub(tick));
        }
        max
    }

    fn max_timer_delay_beside(count: usize) -> Duration {
        let block = |index| async move {
            // A timer wakes the task on the worker that waits for timers, which is therefore blocked as well.
            sleep(Duration::from_millis(20) * index).await;
            thread::sleep(BLOCKED);
        };
        run(async move {
            let blockers = (1..).take(count).map(|index| tokio::spawn(block(index))).collect();
            tokio::spawn(max_timer_delay(blockers)).await.unwrap()
        })
        .unwrap()
    }

    #[test]
    fn timers_fire_while_all_workers_but_one_are_blocked() {
        thread::scope(|scope| {
            let delays: Vec<_> = (1..WORKERS)
                .map(|count| (count, scope.spawn(move || max_timer_delay_beside(count))))
                .collect();
            for (count, delay) in delays {
                let delay = delay.join().unwrap();
                println!("{count} blocked workers delayed a timer by {delay:?}");
                assert!(delay < MAX_DELAY, "{count} blocked workers: {delay:?}");
            }
        });
    }

    #[test]
    fn shutdown_does_not_wait_for_blocked_threads() {
        let (_blocking, blocked) = mpsc::channel::<Infallible>();
        let output = run(async move {
            let (begin, begun) = tokio::sync::oneshot::channel();
            tokio::spawn(async move {
                begin.send(()).unwrap();
                blocked.recv()
            });
            begun.await.unwrap();
            "done"
        });
        assert_eq!(output.unwrap(), "done");
    }
}
