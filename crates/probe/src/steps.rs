//! The steps of a run, so that a deadline can say how far it came.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::{Cause, Failure};
use parking_lot::{Mutex, MutexGuard};

/// Names of steps that mean the same in every probe.
pub mod step {
    /// The name of the server is resolved to addresses.
    pub const RESOLVE: &str = "resolve";
    /// A connection to the server is opened.
    pub const CONNECT: &str = "connect";
    /// TLS is negotiated.
    pub const TLS: &str = "tls";
    /// The server judges the credentials. A failure of this step means that it refused them: the gateway then reads the secrets again.
    pub const AUTHENTICATE: &str = "authenticate";
}

/// Which step a run is in.
///
/// A check that is cut off by its deadline is dropped and cannot say anything any more; what stands here then is what it was waiting for.
#[derive(Debug)]
pub struct Steps {
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// In a step of its own, and what to say of it when the deadline comes.
    In { step: &'static str, silence: String, known: String },
    /// Waiting for work that several runs share, in whatever step that is.
    Following(Arc<Steps>),
}

impl Steps {
    /// A run that has not begun a step yet.
    pub fn new() -> Self {
        Self { state: Mutex::new(State::begun("start")) }
    }

    /// The step that was begun last.
    pub fn current(&self) -> &'static str {
        match &*self.state() {
            State::In { step, .. } => step,
            State::Following(other) => other.current(),
        }
    }

    /// Begins `step`; [`Steps::run`] is the usual way.
    pub fn begin(&self, step: &'static str) {
        *self.state() = State::begun(step);
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

    /// Begins `step`, and says more of it than `no answer` should the deadline come: whose `silence` it is, such as `no worker answered`, and what is `known` (empty for nothing).
    pub fn begin_with(
        &self,
        step: &'static str,
        silence: impl Into<String>,
        known: impl Into<String>,
    ) {
        *self.state() = State::In { step, silence: silence.into(), known: known.into() };
    }

    /// Waits from now on for work that several runs share and whose steps are `other`, until the next step is begun.
    ///
    /// Nobody may follow who follows them.
    pub fn follow(&self, other: Arc<Self>) {
        *self.state() = State::Following(other);
    }

    /// The failure of a run that its deadline cuts off now.
    pub fn timed_out(&self, deadline: Duration) -> Failure {
        match &*self.state() {
            State::In { step, silence, known } => {
                let known = if known.is_empty() { String::new() } else { format!(" ({known})") };
                Failure::msg(step, format!("{silence} within {deadline:?}{known}"))
            }
            State::Following(other) => other.timed_out(deadline),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn begun(step: &'static str) -> Self {
        Self::In { step, silence: "no answer".to_owned(), known: String::new() }
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_unanswered(steps: &Steps, expected: &str) {
        assert_eq!(steps.timed_out(Duration::from_secs(2)).render("h:1"), expected);
    }

    #[test]
    fn a_deadline_names_the_step() {
        let steps = Steps::new();
        steps.begin("query");
        check_unanswered(&steps, "query: no answer within 2s (h:1)");
    }

    #[test]
    fn a_deadline_says_what_the_check_left_to_say() {
        let steps = Steps::new();
        steps.begin_with("ping", "no worker answered", "1 consumer on a, 2 messages waiting");
        check_unanswered(
            &steps,
            "ping: no worker answered within 2s (1 consumer on a, 2 messages waiting) (h:1)",
        );
        steps.begin("query");
        check_unanswered(&steps, "query: no answer within 2s (h:1)");
    }

    #[test]
    fn who_follows_is_where_the_other_is() {
        let (steps, other) = (Steps::new(), Arc::new(Steps::new()));
        steps.follow(other.clone());
        other.begin("connect");
        assert_eq!(steps.current(), "connect");
        check_unanswered(&steps, "connect: no answer within 2s (h:1)");
        steps.begin("ping");
        other.begin("tls");
        assert_eq!(steps.current(), "ping");
    }
}
