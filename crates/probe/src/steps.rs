//! The steps of a run, so that a deadline can say how far it came.

use std::future::Future;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::{Cause, Failure};

/// Which step a run is in.
///
/// A check that is cut off by its deadline is dropped and cannot say anything any more; what stands here then is what it was waiting for.
#[derive(Debug)]
pub struct Steps {
    current: Mutex<&'static str>,
}

impl Steps {
    /// A run that has not begun a step yet.
    pub fn new() -> Self {
        Self { current: Mutex::new("start") }
    }

    /// The step that was begun last.
    pub fn current(&self) -> &'static str {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins `step`; [`Steps::run`] is the usual way.
    pub fn begin(&self, step: &'static str) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// Begins `step` and waits for its work; an error becomes the failure of this step.
    pub async fn run<T, E>(
        &self,
        step: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure>
    where
        E: Into<Cause>,
    {
        self.begin(step);
        work.await.map_err(|error| Failure::new(step, error))
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::new()
    }
}
