//! The threads that all share: one works, the others wait in reserve for the moment when a check blocks it.
//!
//! What the gateway does takes microseconds between two waits, and handing it from thread to thread costs more than doing it.
//! But a single thread would stop for all as soon as one check blocks it.
//! So the runtime has more threads than one, and all but one of them are kept busy with sitting;
//! a watchdog looks who polls a check for too long, and has one stand up for each who does.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

/// So many checks may block at the same time, after they never did before, without stopping anything else.
const RESERVE: usize = 7;
/// How often the watchdog looks.
const LOOK: Duration = Duration::from_millis(100);
/// Who polls a check for so long blocks: longer than a busy machine keeps a thread waiting for a core.
const BLOCKED: Duration = Duration::from_millis(50);

/// Runs `work` to its end on threads of its own. It does not wait for a check that blocks its thread.
pub fn run<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = Builder::new_multi_thread().worker_threads(1 + RESERVE).enable_all().build()?;
    let reserve = Arc::new(Reserve::default());
    reserve.have(RESERVE, runtime.handle());
    let watchdog = thread::Builder::new().name("watchdog".to_owned());
    let (watched, handle) = (Arc::downgrade(&reserve), runtime.handle().clone());
    let watchdog = watchdog.spawn(move || watch(&watched, &handle));
    let end = |runtime: Runtime| {
        reserve.have(0, runtime.handle());
        runtime.shutdown_background();
    };
    if let Err(error) = watchdog {
        end(runtime);
        return Err(error);
    }
    let ended = runtime.block_on(work);
    end(runtime);
    Ok(ended)
}

/// `work` whose polls the watchdog sees: for whatever may block one of the shared threads.
pub(crate) async fn watched<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|context| {
        let _polling = Polling::begin();
        work.as_mut().poll(context)
    })
    .await
}

/// The threads in reserve.
#[derive(Default)]
struct Reserve {
    seats: Mutex<Seats>,
    changed: Condvar,
}

#[derive(Default)]
struct Seats {
    /// How many should sit.
    wanted: usize,
    /// How many sit or are about to.
    taken: usize,
}

impl Reserve {
    /// Has so many threads of this runtime sit, and the others stand up.
    fn have(self: &Arc<Self>, wanted: usize, runtime: &Handle) {
        let mut seats = self.seats();
        // Those who sit are not woken for nothing each time that the watchdog looks.
        if seats.wanted != wanted {
            seats.wanted = wanted;
            self.changed.notify_all();
        }
        for _ in seats.taken..wanted {
            seats.taken += 1;
            let reserve = self.clone();
            // To block a thread of the runtime is what this task is for.
            runtime.spawn(async move { reserve.sit() });
        }
    }

    fn sit(&self) {
        let mut seats = self.seats();
        while seats.taken <= seats.wanted {
            seats = self.changed.wait(seats).unwrap_or_else(PoisonError::into_inner);
        }
        seats.taken -= 1;
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has one thread of the reserve stand up for each that is blocked, until the reserve is gone.
fn watch(reserve: &Weak<Reserve>, runtime: &Handle) {
    loop {
        thread::sleep(LOOK);
        let Some(reserve) = reserve.upgrade() else { return };
        reserve.have(RESERVE.saturating_sub(blocked()), runtime);
    }
}

/// Since when each thread polls a check, in nanoseconds since [`EPOCH`]; 0 if it does not.
type Since = AtomicU64;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
static ALL: Mutex<Vec<Weak<Since>>> = Mutex::new(Vec::new());

thread_local! {
    static MINE: Arc<Since> = {
        let mine = Arc::new(Since::new(0));
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        // Threads that have ended leave their place to new ones.
        all.retain(|since| since.strong_count() > 0);
        all.push(Arc::downgrade(&mine));
        mine
    };
}

/// A poll of a check on this thread, until it is dropped.
struct Polling;

impl Polling {
    fn begin() -> Self {
        MINE.with(|since| since.store(now().max(1), Ordering::Relaxed));
        Self
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        MINE.with(|since| since.store(0, Ordering::Relaxed));
    }
}

/// How many threads poll a check for too long.
fn blocked() -> usize {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let polling = all.iter().filter_map(Weak::upgrade).map(|since| since.load(Ordering::Relaxed));
    let limit = u64::try_from(BLOCKED.as_nanos()).unwrap_or(u64::MAX);
    polling.filter(|since| *since != 0 && now().saturating_sub(*since) > limit).count()
}

fn now() -> u64 {
    u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::time::{sleep, timeout};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// Something that needs the runtime's timers.
    async fn others_go_on() {
        timeout(SOON, sleep(Duration::from_millis(1))).await.unwrap();
    }

    #[test]
    fn others_go_on_however_many_block_and_again_when_they_are_back() {
        run(async {
            for _ in 0..3 {
                let mut gates = Vec::new();
                for _ in 0..RESERVE {
                    let (open, limit) = mpsc::channel::<()>();
                    let (begun, blocks) = tokio::sync::oneshot::channel();
                    let blocking = tokio::spawn(watched(async move {
                        begun.send(()).unwrap();
                        limit.recv().unwrap_err();
                    }));
                    timeout(SOON, blocks).await.unwrap().unwrap();
                    tokio::spawn(others_go_on()).await.unwrap();
                    gates.push((open, blocking));
                }
                for (open, blocking) in gates {
                    drop(open);
                    timeout(SOON, blocking).await.unwrap().unwrap();
                }
                tokio::spawn(others_go_on()).await.unwrap();
            }
        })
        .unwrap();
    }

    #[test]
    fn the_end_waits_for_nobody_who_blocks() {
        let (_open, limit) = mpsc::channel::<()>();
        let said = run(async {
            tokio::spawn(watched(async move { limit.recv() }));
            "the end"
        });
        assert_eq!(said.unwrap(), "the end");
    }
}
