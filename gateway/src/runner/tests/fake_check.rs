//! A check that behaves as a test configures it, and counts its runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use probe::{Check, Failure, Steps};
use tokio::sync::{Notify, watch};

use super::LIMITS;

pub(super) struct FakeCheck {
    rate_limited: bool,
    /// What a run does. [`Behavior::Wait`] ends when it changes.
    pub(super) behavior: watch::Sender<Behavior>,
    runs: AtomicUsize,
    /// Notified when a hanging run is dropped.
    pub(super) dropped: Arc<Notify>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Behavior {
    Work,
    Fail,
    Hang,
    Panic,
    Block(Duration),
    /// Works once the behavior is changed.
    Wait,
}

impl FakeCheck {
    pub(super) fn new(behavior: Behavior) -> Arc<Self> {
        Arc::new(Self::with(behavior, false))
    }

    /// A check with a minimum interval.
    pub(super) fn rate_limited(behavior: Behavior) -> Arc<Self> {
        Arc::new(Self::with(behavior, true))
    }

    fn with(behavior: Behavior, rate_limited: bool) -> Self {
        Self {
            rate_limited,
            behavior: watch::Sender::new(behavior),
            runs: AtomicUsize::new(0),
            dropped: Arc::default(),
        }
    }

    /// How many runs have begun.
    pub(super) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    pub(super) async fn wait_for_run(&self) {
        while self.runs() == 0 {
            tokio::task::yield_now().await;
        }
    }
}

impl Check for FakeCheck {
    fn target(&self) -> &'static str {
        "fake:1"
    }

    fn min_interval(&self) -> Option<Duration> {
        self.rate_limited.then_some(LIMITS.max_age)
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        steps.begin("ask");
        self.runs.fetch_add(1, Ordering::SeqCst);
        let mut behavior = self.behavior.subscribe();
        let now = *behavior.borrow();
        match now {
            Behavior::Work => Ok(()),
            Behavior::Fail => Err(Failure::msg("ask", "wrong answer")),
            Behavior::Panic => panic!("a panic of the test"),
            Behavior::Block(time) => {
                std::thread::sleep(time);
                Ok(())
            }
            Behavior::Hang => {
                let _notify = NotifyOnDrop(self.dropped.clone());
                std::future::pending().await
            }
            Behavior::Wait => {
                drop(behavior.wait_for(|behavior| *behavior != Behavior::Wait).await);
                Ok(())
            }
        }
    }
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
