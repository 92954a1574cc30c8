//! Which run of a check a request belongs to, carried through the SDK to the connection beneath it.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use probe::{Failure, Steps};

use crate::credentials::Used;

tokio::task_local! {
    static CURRENT: Run;
}

/// The run that is under way in this task.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) steps: Arc<Steps>,
    pub(crate) step: &'static str,
    pub(crate) used: Arc<OnceLock<Used>>,
}

impl Run {
    /// A run that is in `step` from the start.
    pub(crate) fn begin(step: &'static str) -> Self {
        let steps = Arc::new(Steps::new());
        steps.begin(step);
        Self { steps, step, used: Arc::default() }
    }

    /// The one that this task is in.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_else(|_| Self::begin("request"))
    }

    /// Does `work` as a part of this run.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), work).await
    }
}

/// A failure on its way through the SDK's errors.
#[derive(Debug)]
pub(crate) struct Told(pub(crate) Failure);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.cause().text())
    }
}

impl Error for Told {}

/// The failure that is somewhere in the chain of `error`.
pub(crate) fn told<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Failure> {
    match error.downcast_ref::<Told>() {
        Some(Told(failure)) => Some(failure),
        None => error.source().and_then(told),
    }
}
