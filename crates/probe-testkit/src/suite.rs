//! What every promise needs: building, running and dropping as the gateway does, and a memory of all that was said.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use probe::config::{Diagnostic, Node};
use probe::{DynCheck, DynChecks, Failure, SharedResources};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::panics::Panics;
use crate::{FaultProxy, Outcome, Subject, checks, line, run};

/// A bound for what takes no time to speak of, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What stands in the place of a right secret where a wrong one is tried.
pub(crate) const WRONG_SECRET: &str = "wrong-credential-7391";

/// The subject under test and what it said so far.
pub(crate) struct Suite {
    pub(crate) subject: Subject,
    promise: Cell<&'static str>,
    said: RefCell<Vec<String>>,
    panics: Panics,
    // The checks have threads of their own, so that one that blocks them is noticed by the suite.
    gateway: Runtime,
}

impl Suite {
    pub(crate) fn new(subject: Subject) -> Self {
        let panics = Panics::new();
        let count = panics.clone();
        let gateway = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || count.count_on_this_thread())
            .build()
            .expect("a runtime can be made");
        Self {
            subject,
            promise: Cell::new("the suite can begin"),
            said: RefCell::default(),
            panics,
            gateway,
        }
    }

    /// What follows is about this promise.
    pub(crate) fn begin(&self, promise: &'static str) {
        self.promise.set(promise);
    }

    /// The promise does not hold.
    pub(crate) fn broken(&self, how: &str) -> ! {
        let (section, promise) = (self.subject.section, self.promise.get());
        panic!("`{section}` breaks the promise that {promise}: {how}")
    }

    /// A proxy of this promise's own.
    pub(crate) fn proxy(&self) -> FaultProxy {
        FaultProxy::start(self.subject.upstream)
    }

    /// The configuration through `proxy`.
    pub(crate) fn config(&self, proxy: &FaultProxy) -> Node {
        let toml = (self.subject.config)(proxy.address());
        Node::parse(&toml)
            .unwrap_or_else(|diagnostics| panic!("the subject's TOML: {diagnostics:?}"))
    }

    /// A component with connections of its own through `proxy`.
    pub(crate) async fn component(&self, proxy: &FaultProxy) -> DynChecks {
        self.component_sharing(proxy, &Arc::default()).await
    }

    /// A component through `proxy` beside others with which it shares what lies in `shared`.
    pub(crate) async fn component_sharing(
        &self,
        proxy: &FaultProxy,
        shared: &Arc<SharedResources>,
    ) -> DynChecks {
        match self.build(self.subject.section, &self.config(proxy), shared).await {
            Ok(component) => {
                self.say(format!("{component:?}"));
                component
            }
            Err(diagnostics) => panic!("the subject's configuration is not right: {diagnostics:?}"),
        }
    }

    /// Builds on a plain thread, without any runtime; what it says of mistakes is remembered.
    pub(crate) async fn build(
        &self,
        section: &'static str,
        node: &Node,
        shared: &Arc<SharedResources>,
    ) -> Result<DynChecks, Vec<Diagnostic>> {
        let (kind, node, shared) = (self.subject.kind, node.clone(), shared.clone());
        let built =
            self.on_a_plain_thread("building", move || kind.checks(section, &node, &shared)).await;
        for diagnostic in built.as_ref().err().into_iter().flatten() {
            self.say(format!("{diagnostic} {diagnostic:?}"));
            if diagnostic.message.contains("makes nothing of this section") {
                self.broken("building answered nothing, and noted no mistake");
            }
        }
        built
    }

    /// Drops on a plain thread, without any runtime.
    pub(crate) async fn drop(&self, components: Vec<DynChecks>) {
        self.on_a_plain_thread("dropping", move || drop(components)).await;
    }

    /// The checks of `component`; a single one has the section's name.
    pub(crate) fn checks(&self, component: &DynChecks) -> Vec<(String, Arc<dyn DynCheck>)> {
        let mut checks = checks(component);
        if let [(name, _)] = checks.as_mut_slice()
            && name.is_empty()
        {
            self.subject.section.clone_into(name);
        }
        checks
    }

    /// Runs every check of `component` at once, each within `deadline`; what they say is remembered.
    pub(crate) async fn run(&self, component: &DynChecks, deadline: Duration) -> Vec<Run> {
        let begun: Vec<_> = self
            .checks(component)
            .into_iter()
            .map(|(name, check)| {
                let of_the_task = check.clone();
                let task = self.gateway.spawn(async move { run(&of_the_task, deadline).await });
                (name, check, task)
            })
            .collect();
        let mut runs = Vec::new();
        for (name, check, task) in begun {
            let outcome = match timeout(deadline + PATIENCE, task).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => self.broken(&format!("`{name}` panicked")),
                Err(_) => self.broken(&format!("`{name}` blocks its thread past its deadline")),
            };
            if let Outcome::Cut { step: "start", .. } = outcome {
                self.begin("every wait belongs to a step");
                self.broken(&format!("`{name}` was cut by its deadline before it began one"));
            }
            match &outcome {
                Outcome::Working => {}
                Outcome::Failed { failure, line } => self.note(failure, line, check.as_ref()),
                Outcome::Cut { line, .. } => self.say(line.clone()),
            }
            runs.push(Run { name, outcome });
        }
        runs
    }

    /// Runs every check; each must say that the backend works.
    pub(crate) async fn expect_working(&self, component: &DynChecks, when: &str) {
        for Run { name, outcome } in self.run(component, PATIENCE).await {
            if !outcome.is_working() {
                self.broken(&format!("{when}, `{name}` is not working but {outcome:?}"));
            }
        }
    }

    /// At rest there are no more connections through `proxy` than the subject keeps.
    pub(crate) async fn expect_rest(&self, proxy: &FaultProxy, when: &str) {
        let most = self.subject.connections;
        if !proxy.reaches(|counts| counts.open <= most).await {
            self.broken(&format!("{when}, more than {most} stay open: {:?}", proxy.counts()));
        }
    }

    /// Nothing has panicked, not even in the background.
    pub(crate) fn expect_no_panic(&self) {
        match self.panics.count() {
            0 => {}
            count => self.broken(&format!("{count} tasks of its own panicked meanwhile")),
        }
    }

    /// Remembers what left the probe.
    pub(crate) fn say(&self, text: String) {
        self.said.borrow_mut().push(text);
    }

    /// Everything that left the probe so far.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.borrow().clone()
    }

    /// Ends the checks' threads without waiting for one that is blocked.
    pub(crate) fn end(self) {
        self.gateway.shutdown_background();
    }

    fn note(&self, failure: &Failure, line: &str, check: &dyn DynCheck) {
        self.say(line.to_owned());
        self.say(format!("{failure:?}"));
        if let Err(fault) = line::judge(failure.step(), line, check.target()) {
            self.begin("a failure is one line: a step, a cause and the target");
            self.broken(&format!("{fault} in `{line}`"));
        }
    }

    async fn on_a_plain_thread<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let (done, result) = oneshot::channel();
        std::thread::spawn(move || {
            // The suite may have given up.
            let _nobody_waits = done.send(catch_unwind(AssertUnwindSafe(work)));
        });
        match timeout(PATIENCE, result).await {
            Ok(Ok(Ok(value))) => value,
            Ok(_) => self.broken(&format!("{what} panicked on a thread without a runtime")),
            Err(_) => self.broken(&format!("{what} does not end")),
        }
    }
}

/// One check's run.
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}
