//! A check: one question to one backend.

use std::future::Future;
use std::pin::Pin;

use crate::{Failure, Steps};

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
}
