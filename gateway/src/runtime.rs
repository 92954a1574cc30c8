//! The tokio runtime, in which tasks that block their workers do not stop the others.

use std::array;
use std::cell::OnceCell;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};

/// One more than the number of tasks that may block at the same time without stopping the others.
const WORKERS: usize = 8;

/// How often the workers are examined while one that is not in reserve is active. A task that blocks delays the others by at most two intervals.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long an idle thread for blocking work exists. The first run of each check has one: with tokio's default, they would exist for 10 s.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// More threads than a start needs: the workers, and those of the supervisor, the log, the admin listener and the reading of files.
const START_THREADS: usize = WORKERS + 8;

/// Starts as many threads as the start of the process needs and ends them, so that a start without them fails with an error: tokio and the log would panic.
pub fn check_threads() -> io::Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let start = |gate: Arc<Mutex<()>>| thread::Builder::new().spawn(move || drop(gate.lock()));
    let threads: io::Result<Vec<_>> = (0..START_THREADS).map(|_| start(gate.clone())).collect();
    drop(closed);
    for thread in threads? {
        // A panic is impossible, since the thread only waits for the lock.
        drop(thread.join());
    }
    Ok(())
}

/// Runs `work` to completion on a new runtime, without waiting for tasks that still block their threads at the end.
pub fn run<F: Future>(work: F) -> io::Result<F::Output> {
    let activity = Arc::new(Activity::default());
    let (of_threads, of_workers) = (activity.clone(), activity.clone());
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_keep_alive(KEEP_ALIVE)
        .on_thread_start(move || of_threads.enter())
        .on_thread_unpark(move || of_workers.worker_unparked())
        .enable_all()
        .build()?;
    let (handle, of_supervisor) = (runtime.handle().clone(), activity.clone());
    thread::Builder::new()
        .name("supervisor".to_owned())
        .spawn(move || supervise(&handle, &of_supervisor))?;
    // Dropped before the runtime, even if `work` panics: the runtime would wait for the workers in reserve.
    let supervised = EndOnDrop(activity);
    let output = runtime.block_on(work);
    drop(supervised);
    runtime.shutdown_background();
    Ok(output)
}

thread_local! {
    /// The activity of the runtime that this thread belongs to.
    static ACTIVITY: OnceCell<Arc<Activity>> = const { OnceCell::new() };
}

/// Records that the tasks on this worker take turns. A worker that does nothing else for long, but records this, is busy and not blocked.
pub(crate) fn record_progress() {
    ACTIVITY.with(|activity| {
        if let Some(activity) = activity.get() {
            activity.progress.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// Ends the supervisor when it is dropped.
struct EndOnDrop(Arc<Activity>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What the supervisor waits for while no worker but those in reserve is active.
#[derive(Default)]
struct Activity {
    /// How often a worker was unparked.
    unparked: AtomicU64,
    /// How often [`record_progress`] was called.
    progress: AtomicU64,
    /// Whether the supervisor waits until a worker is unparked.
    is_awaited: AtomicBool,
    has_ended: AtomicBool,
    supervisor: OnceLock<Thread>,
}

impl Activity {
    fn enter(self: &Arc<Self>) {
        ACTIVITY.with(|activity| {
            activity.get_or_init(|| self.clone());
        });
    }

    fn worker_unparked(&self) {
        self.unparked.fetch_add(1, Ordering::SeqCst);
        self.wake_supervisor();
    }

    fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
        self.wake_supervisor();
    }

    fn wake_supervisor(&self) {
        if self.is_awaited.load(Ordering::SeqCst)
            && let Some(supervisor) = self.supervisor.get()
        {
            supervisor.unpark();
        }
    }

    /// Waits until more workers have been unparked than `before`, or the runtime ends.
    fn wait(&self, before: u64) {
        self.supervisor.get_or_init(thread::current);
        self.is_awaited.store(true, Ordering::SeqCst);
        while self.unparked.load(Ordering::SeqCst) == before
            && !self.has_ended.load(Ordering::SeqCst)
        {
            thread::park();
        }
        self.is_awaited.store(false, Ordering::SeqCst);
    }
}

/// Holds all workers but one in reserve while that one keeps up, until the end of the runtime.
///
/// One worker costs the least, since handing a task from thread to thread takes longer than most of its polls.
/// The reserve is released if for an interval no worker has been parked, and none has recorded progress: several workers would contend for the memory of thousands of checks, and take twice the processor time for them.
///
/// One worker waits for I/O and timers on behalf of all.
/// If a task that it then runs blocks, tokio wakes no parked worker to wait in its place: `Builder::enable_eager_driver_handoff` would, but is unstable in tokio 1.54.
/// A worker that is woken for an empty task waits for I/O and timers before it is parked again.
fn supervise(runtime: &Handle, activity: &Activity) {
    let metrics = runtime.metrics();
    // A worker that never runs a check keeps a small stack.
    let mut reserve: Vec<_> = (1..WORKERS).map(|_| hold_worker(runtime)).collect();
    let (mut last_counts, mut last_progress) = ([0; WORKERS], 0);
    while !activity.has_ended.load(Ordering::SeqCst) {
        thread::sleep(INTERVAL);
        let unparked = activity.unparked.load(Ordering::SeqCst);
        let counts = array::from_fn(|worker| metrics.worker_park_unpark_count(worker));
        // An odd count means that the worker is parked, or waits for I/O and timers.
        let busy = counts.iter().filter(|count| count.is_multiple_of(2)).count();
        let progress = activity.progress.load(Ordering::Relaxed);
        if busy == WORKERS && counts == last_counts && progress == last_progress {
            reserve.clear();
        } else if busy > reserve.len() {
            runtime.spawn(async {});
        } else if busy == reserve.len() && busy < WORKERS - 1 {
            reserve.push(hold_worker(runtime));
        } else if busy == reserve.len() {
            activity.wait(unparked);
        }
        (last_counts, last_progress) = (counts, progress);
    }
}

/// Occupies a worker until the sender is dropped.
fn hold_worker(runtime: &Handle) -> Sender<Infallible> {
    let (sender, dropped) = mpsc::channel::<Infallible>();
    runtime.spawn(async move {
        // Other workers can steal every task of a worker but the one in its LIFO slot. An empty task takes its place there.
        tokio::spawn(async {});
        dropped.recv()
    });
    sender
}

#[cfg(test)]
mod tests {
    use std::panic::{catch_unwind, resume_unwind};
    use std::time::Instant;

    use tokio::task::JoinHandle;
    use tokio::time::sleep;

    use super::*;

    const BLOCKED: Duration = Duration::from_secs(3);
    /// Far more than some [`INTERVAL`]s, for a busy machine. A timer that waits for a blocked worker is late by nearly [`BLOCKED`].
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

    /// The longest delay of a timer beside `count` tasks that block, `after` the start of the runtime.
    fn max_timer_delay_beside(count: usize, after: Duration) -> Duration {
        let block = |index| async move {
            // A timer wakes the task on the worker that waits for timers, which is therefore blocked as well.
            sleep(Duration::from_millis(20) * index).await;
            thread::sleep(BLOCKED);
        };
        run(async move {
            sleep(after).await;
            let blockers = (1..).take(count).map(|index| tokio::spawn(block(index))).collect();
            tokio::spawn(max_timer_delay(blockers)).await.unwrap()
        })
        .unwrap()
    }

    fn assert_timers_fire_beside_blocked_workers(after: Duration) {
        thread::scope(|scope| {
            let delays: Vec<_> = (1..WORKERS)
                .map(|count| (count, scope.spawn(move || max_timer_delay_beside(count, after))))
                .collect();
            for (count, delay) in delays {
                let delay = delay.join().unwrap();
                println!("{count} blocked workers delayed a timer by {delay:?}");
                assert!(delay < MAX_DELAY, "{count} blocked workers: {delay:?}");
            }
        });
    }

    #[test]
    fn timers_fire_while_all_workers_but_one_are_blocked() {
        assert_timers_fire_beside_blocked_workers(Duration::ZERO);
    }

    #[test]
    fn the_reserve_is_released_while_all_workers_but_one_are_blocked() {
        // By then all workers but one are in reserve.
        assert_timers_fire_beside_blocked_workers(INTERVAL * 20);
    }

    #[test]
    fn progress_is_recorded_for_the_runtime_of_the_thread() {
        let recorded = || {
            ACTIVITY.with(|it| it.get().map(|activity| activity.progress.load(Ordering::Relaxed)))
        };
        let record = move || {
            record_progress();
            recorded()
        };
        let output = run(async move {
            let mut counts = Vec::new();
            for _ in 0..3 {
                counts.push(tokio::spawn(async move { record() }).await.unwrap());
            }
            counts
        });
        assert_eq!(output.unwrap(), [Some(1), Some(2), Some(3)]);
        // Outside of a runtime, nothing is recorded.
        assert_eq!(record(), None);
    }

    #[test]
    fn a_panic_ends_the_runtime() {
        let panicking = async { resume_unwind(Box::new("a panic")) };
        let ended = catch_unwind(|| run::<_>(panicking).map(|never: ()| never));
        assert!(ended.is_err());
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
