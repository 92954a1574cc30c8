//! The steps of a run, for timeouts, with their durations and observations.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::{Cause, Failure, Observation, in_seconds};

/// Names of steps that have the same meaning in every probe.
pub mod step {
    /// The name of the server is resolved to addresses.
    pub const RESOLVE: &str = "resolve";
    /// A connection to the server is opened.
    pub const CONNECT: &str = "connect";
    /// TLS is negotiated.
    pub const TLS: &str = "tls";
    /// The server verifies the credentials. A failure of this step means that it rejected them: the gateway then reads the secrets again.
    pub const AUTHENTICATE: &str = "authenticate";
}

/// The step of a run that has not begun one.
const START: &str = "start";

/// The current step of a run, how long each took, and its observations.
///
/// A check that exceeds its timeout is dropped and cannot return anything. What it was waiting for, and what it has observed, is read from here.
#[derive(Debug)]
pub struct Steps {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    position: Position,
    /// When `position` was reached.
    since: Instant,
    /// How long each step before it took.
    durations: Vec<(&'static str, Duration)>,
    observations: Vec<Observation>,
    /// The timeout of the run, if it is known.
    timeout: Option<Duration>,
    /// The server of the steps from now on, unless it is the target.
    other_server: Option<String>,
}

/// The delay for work that has no timeout of its own, such as a read of secrets.
const DEFAULT_HEDGE_DELAY: Duration = Duration::from_millis(500);

#[derive(Debug)]
enum Position {
    /// In a step of its own, with the text for a timeout.
    In { step: &'static str, silence: String, known: String },
    /// Waiting for work that has steps of its own, which are the current ones.
    Following { steps: Arc<Steps>, context: Option<String> },
}

impl Steps {
    /// The steps of a run that has not begun one yet.
    pub fn new() -> Self {
        let state = State {
            position: Position::begun(START),
            since: Instant::now(),
            durations: Vec::new(),
            observations: Vec::new(),
            timeout: None,
            other_server: None,
        };
        Self { state: Mutex::new(state) }
    }

    /// The steps of a run that ends at this timeout.
    pub fn within(timeout: Duration) -> Self {
        let steps = Self::new();
        steps.state().timeout = Some(timeout);
        steps
    }

    /// How long a reused connection may be silent before another is tried as well: a quarter of the run's timeout.
    pub fn hedge_delay(&self) -> Duration {
        self.state().timeout.map_or(DEFAULT_HEDGE_DELAY, |timeout| timeout / 4)
    }

    /// The step that began last.
    pub fn current(&self) -> &'static str {
        self.state().position.step()
    }

    /// How long each step has taken until now, in the order in which they first began.
    pub fn durations(&self) -> Vec<(&'static str, Duration)> {
        let mut state = self.state();
        state.count_time();
        state.durations.clone()
    }

    /// Begins `step`; [`Steps::run`] is the usual way.
    pub fn begin(&self, step: &'static str) {
        self.state().proceed(Position::begun(step));
    }

    /// Begins `step` and awaits its work. An error becomes the failure of this step.
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

    /// Begins `step` with words for a timeout: `silence` in place of `no answer`, such as `no worker answered`, and what is already `known`, which may be empty.
    pub fn begin_with(
        &self,
        step: &'static str,
        silence: impl Into<String>,
        known: impl Into<String>,
    ) {
        let position = Position::In { step, silence: silence.into(), known: known.into() };
        self.state().proceed(position);
    }

    /// Names the server of the steps from now on in the failure of a timeout, unless it is the target.
    pub fn on_server(&self, other: Option<String>) {
        self.state().other_server = other;
    }

    /// Takes the current step and the observations from `other`, the steps of work that several runs share, until the next step begins.
    ///
    /// `other` must not follow `self`, directly or indirectly.
    pub fn follow(&self, other: Arc<Self>) {
        self.proceed_with(other, None);
    }

    /// The same for work on one part of the backend, such as a node of a cluster, which the failure of a timeout names as its `context`.
    pub fn follow_in_context(&self, other: Arc<Self>, context: impl Into<String>) {
        self.proceed_with(other, Some(context.into()));
    }

    /// Follows `other` from now on, and forgets what was followed before.
    pub(crate) fn follow_instead(&self, other: Arc<Self>) {
        let mut state = self.state();
        state.observations.clear();
        state.durations.clear();
        state.since = Instant::now();
        state.position = Position::Following { steps: other, context: None };
    }

    /// The shared work has the timeout of the latest run that follows it.
    fn proceed_with(&self, steps: Arc<Self>, context: Option<String>) {
        let mut state = self.state();
        if state.timeout.is_some() {
            steps.state().timeout = state.timeout;
        }
        state.proceed(Position::Following { steps, context });
    }

    /// Records an observation. A later one of the same quantity and name replaces it.
    pub fn observe(&self, observation: Observation) {
        self.state().observe(observation);
    }

    /// Records what was observed before, such as when the connection of this run was opened.
    pub(crate) fn observe_again(&self, observations: &[Observation]) {
        if !observations.is_empty() {
            let mut state = self.state();
            for observation in observations {
                state.observe(observation.clone());
            }
        }
    }

    /// What the run has observed so far.
    pub fn observations(&self) -> Vec<Observation> {
        let mut state = self.state();
        state.take_over();
        state.observations.clone()
    }

    /// The failure of a run that exceeds its `timeout` now.
    pub fn timed_out(&self, timeout: Duration) -> Failure {
        let state = self.state();
        match &state.position {
            Position::In { step, silence, known } => {
                let known = if known.is_empty() { String::new() } else { format!(" ({known})") };
                let failure =
                    Failure::msg(step, format!("{silence} within {}{known}", in_seconds(timeout)));
                match &state.other_server {
                    Some(server) => failure.in_context(server),
                    None => failure,
                }
            }
            Position::Following { steps, context } => {
                let failure = steps.timed_out(timeout);
                match context {
                    Some(context) => failure.in_context(context),
                    None => failure,
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn proceed(&mut self, position: Position) {
        self.take_over();
        self.count_time();
        self.position = position;
    }

    /// Adds the time since `since` to the current step. What precedes the first step is not a step.
    fn count_time(&mut self) {
        let (step, now) = (self.position.step(), Instant::now());
        let spent = now - std::mem::replace(&mut self.since, now);
        match self.durations.iter_mut().find(|(known, _)| *known == step) {
            Some((_, duration)) => *duration += spent,
            None if step == START => {}
            None => self.durations.push((step, spent)),
        }
    }

    /// Copies the observations of the steps that are followed.
    fn take_over(&mut self) {
        if let Position::Following { steps, .. } = &self.position {
            for observation in steps.observations() {
                self.observe(observation);
            }
        }
    }

    fn observe(&mut self, new: Observation) {
        let same = |known: &&mut Observation| known.subject() == new.subject();
        match self.observations.iter_mut().find(same) {
            Some(known) => *known = new,
            None => self.observations.push(new),
        }
    }
}

impl Position {
    fn step(&self) -> &'static str {
        match self {
            Self::In { step, .. } => step,
            Self::Following { steps, .. } => steps.current(),
        }
    }

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

    fn check_timed_out(steps: &Steps, expected: &str) {
        assert_eq!(steps.timed_out(Duration::from_secs(2)).render("h:1"), expected);
    }

    #[test]
    fn a_timeout_names_the_step() {
        let steps = Steps::new();
        steps.begin("query");
        check_timed_out(&steps, "query: no answer within 2s (h:1)");
    }

    #[test]
    fn a_timeout_includes_the_words_and_facts_of_the_step() {
        let steps = Steps::new();
        steps.begin_with("ping", "no worker answered", "1 consumer on a, 2 messages waiting");
        check_timed_out(
            &steps,
            "ping: no worker answered within 2s (1 consumer on a, 2 messages waiting) (h:1)",
        );
        steps.begin("query");
        check_timed_out(&steps, "query: no answer within 2s (h:1)");
    }

    #[test]
    fn the_last_observation_of_a_quantity_and_name_counts() {
        let steps = Steps::new();
        let messages = |name: &str, count| Observation::QueueMessages(name.into(), count);
        let consumers = Observation::QueueConsumers("a".into(), 4);
        for observation in [messages("a", 1), messages("b", 2), messages("a", 3), consumers.clone()]
        {
            steps.observe(observation);
        }
        assert_eq!(steps.observations(), [messages("a", 3), messages("b", 2), consumers]);
    }

    #[test]
    fn observations_of_shared_work_are_those_of_each_run() {
        let (steps, other) = (Steps::new(), Arc::new(Steps::new()));
        let consumers = |count| Observation::QueueConsumers("a".into(), count);
        steps.follow(other.clone());
        other.observe(consumers(1));
        assert_eq!(steps.observations(), [consumers(1)]);
        steps.begin("ping");
        other.observe(consumers(2));
        assert_eq!(steps.observations(), [consumers(1)]);
    }

    #[test]
    fn steps_that_follow_others_instead_forget_what_they_followed() {
        let (steps, latest) = (Steps::new(), Arc::new(Steps::new()));
        steps.follow(latest.clone());
        for step in ["connect", "tls"] {
            let other = Arc::new(Steps::new());
            other.begin(step);
            latest.follow_instead(other.clone());
            assert_eq!((steps.current(), latest.observations()), (step, Vec::new()));
            other.observe(Observation::QueueConsumers(step.into(), 1));
            assert_eq!(latest.observations().len(), 1);
        }
        assert_eq!(steps.observations(), [Observation::QueueConsumers("tls".into(), 1)]);
    }

    #[test]
    fn steps_that_follow_others_report_the_step_of_those() {
        let (steps, other) = (Steps::new(), Arc::new(Steps::new()));
        steps.follow(other.clone());
        other.begin("connect");
        assert_eq!(steps.current(), "connect");
        check_timed_out(&steps, "connect: no answer within 2s (h:1)");
        steps.begin("ping");
        other.begin("tls");
        assert_eq!(steps.current(), "ping");
    }

    #[test]
    fn the_durations_of_a_repeated_step_are_added() {
        let steps = Steps::new();
        for step in ["connect", "ping", "connect", "ping"] {
            steps.begin(step);
            std::thread::sleep(Duration::from_millis(1));
        }
        let durations = steps.durations();
        assert_eq!(
            durations.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
            ["connect", "ping"]
        );
        assert!(durations.iter().all(|(_, duration)| *duration >= Duration::from_millis(2)));
    }

    #[test]
    fn a_timeout_names_the_server_if_it_is_not_the_target() {
        let steps = Steps::new();
        steps.on_server(Some("other:2".to_owned()));
        steps.begin("ask");
        check_timed_out(&steps, "ask: other:2: no answer within 2s (h:1)");
        steps.on_server(None);
        check_timed_out(&steps, "ask: no answer within 2s (h:1)");
    }

    #[test]
    fn a_timeout_names_the_part_of_the_backend_that_is_waited_for() {
        let (steps, other) = (Steps::new(), Arc::new(Steps::new()));
        other.begin("write");
        steps.follow_in_context(other, "cluster node n:1");
        check_timed_out(&steps, "write: cluster node n:1: no answer within 2s (h:1)");
    }
}
