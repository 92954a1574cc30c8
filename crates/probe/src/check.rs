//! The trait that every check implements.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::{Failure, Grant, Steps};

/// Checks whether one backend is working.
pub trait Check: Send + Sync + 'static {
    /// The address of the backend as an operator would write it, such as `10.0.3.7:5432`.
    ///
    /// Every failure line ends with it, so it must not contain a secret.
    fn target(&self) -> &str;

    /// Examines the backend once. Every wait belongs to a step of `steps`, so that a timeout can name the step that got no answer.
    ///
    /// The future may be dropped at any `.await`, at the timeout of the run or if it is cancelled; the next call must not be affected.
    fn check(&self, steps: &Steps) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The minimum time between two runs, unless the configuration sets `max_age`: for checks that are expensive for their backend, or that write to it.
    ///
    /// The gateway enforces it: a request for a fresh result gets the cached one, and a run that has started completes even if its caller disconnects.
    fn min_interval(&self) -> Option<Duration> {
        None
    }

    /// Whether each run leaves something behind for a time, such as a message or a commit. Where replicas share results, they share those of such a check unless the configuration says otherwise.
    fn leaves_traces(&self) -> bool {
        false
    }

    /// The permissions that the check needs on its backends, and no others: without any one of them a run fails, proves less, or cannot clean up after itself. Empty for backends without permissions of their own.
    ///
    /// Fails if a setting that decides this is not known.
    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(Vec::new())
    }
}

/// The object-safe form of [`Check`], implemented for every check.
pub trait DynCheck: Send + Sync + 'static {
    /// See [`Check::target`].
    fn target(&self) -> &str;

    /// See [`Check::check`].
    fn check<'a>(
        &'a self,
        steps: &'a Steps,
    ) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

    /// See [`Check::min_interval`].
    fn min_interval(&self) -> Option<Duration>;

    /// See [`Check::leaves_traces`].
    fn leaves_traces(&self) -> bool;

    /// See [`Check::grants`].
    fn grants(&self) -> Result<Vec<Grant>, Failure>;
}

impl<C: Check> DynCheck for C {
    fn target(&self) -> &str {
        Check::target(self)
    }

    fn check<'a>(
        &'a self,
        steps: &'a Steps,
    ) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>> {
        Box::pin(Check::check(self, steps))
    }

    fn min_interval(&self) -> Option<Duration> {
        Check::min_interval(self)
    }

    fn leaves_traces(&self) -> bool {
        Check::leaves_traces(self)
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Check::grants(self)
    }
}
