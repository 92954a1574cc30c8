//! A check: one question to one backend.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::{Failure, Grant, Steps};

/// Asks one backend one question: could you do your work just now?
pub trait Check: Send + Sync + 'static {
    /// Where the question goes, as an operator would write it, for instance `10.0.3.7:5432`.
    ///
    /// It ends every failure's line, and never holds a secret.
    fn target(&self) -> &str;

    /// Asks once. Every wait belongs to a step of `steps`, so that a deadline can name the step that got no answer.
    ///
    /// The future may be dropped at any `.await` when its deadline passes, and the next call must still be right.
    fn check(&self, steps: &Steps) -> impl Future<Output = Result<(), Failure>> + Send;

    /// How old a result may be before the gateway asks again, unless the configuration says otherwise, for a check that costs its backend more than a glance: one that leaves something behind, for instance.
    ///
    /// Nobody can have such a check run sooner, whatever they ask for, and a run that was begun goes on if they hang up. The check itself need not keep count.
    fn min_interval(&self) -> Option<Duration> {
        None
    }

    /// What its backends must grant for it, and nothing more: without any one of these a run fails, or leaves something behind. Nothing, for a backend that grants nothing by its own means.
    ///
    /// The failure is why that cannot be known: a part of the settings is not.
    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(Vec::new())
    }
}

/// [`Check`] in the form that fits into one list with others; every check has it by itself.
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

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Check::grants(self)
    }
}
