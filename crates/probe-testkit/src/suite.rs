//! Builds, runs and drops the subject as the gateway does, and records its output.

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
use crate::{FaultProxy, RunOutcome, Subject, checks, line, run};

/// A bound for what normally takes milliseconds, generous enough for a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The wrong secret that replaces a right one.
pub(crate) const WRONG_SECRET: &str = "wrong-credential-7391";

/// The subject under test and its output so far.
pub(crate) struct Suite {
    pub(crate) subject: Subject,
    promise: Cell<&'static str>,
    output: RefCell<Vec<String>>,
    panics: Panics,
    // The checks run on threads of their own, so that the suite notices a check that blocks its thread.
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
            .expect("a runtime can be created");
        Self {
            subject,
            promise: Cell::new("the suite starts"),
            output: RefCell::default(),
            panics,
            gateway,
        }
    }

    /// Starts testing a promise, which later failures name.
    pub(crate) fn begin(&self, promise: &'static str) {
        self.promise.set(promise);
    }

    /// Panics because the probe breaks the current promise.
    pub(crate) fn fail(&self, how: &str) -> ! {
        let (section, promise) = (self.subject.section, self.promise.get());
        panic!("`{section}` breaks the promise that {promise}: {how}")
    }

    /// A new proxy in front of the real server.
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

    /// A component through `proxy` that shares its connections through `shared`.
    pub(crate) async fn component_sharing(
        &self,
        proxy: &FaultProxy,
        shared: &Arc<SharedResources>,
    ) -> DynChecks {
        match self.build(self.subject.section, &self.config(proxy), shared).await {
            Ok(component) => {
                self.record(format!("{component:?}"));
                component
            }
            Err(diagnostics) => panic!("the subject's configuration is invalid: {diagnostics:?}"),
        }
    }

    /// Builds on a plain thread without a runtime, and records the errors.
    pub(crate) async fn build(
        &self,
        section: &'static str,
        node: &Node,
        shared: &Arc<SharedResources>,
    ) -> Result<DynChecks, Vec<Diagnostic>> {
        let (kind, node, shared) = (self.subject.kind, node.clone(), shared.clone());
        let built =
            self.on_plain_thread("building", move || kind.checks(section, &node, &shared)).await;
        for diagnostic in built.as_ref().err().into_iter().flatten() {
            self.record(format!("{diagnostic} {diagnostic:?}"));
            if diagnostic.message.contains("builds no check from this section") {
                self.fail("building returned nothing and reported no error");
            }
        }
        built
    }

    /// Drops on a plain thread without a runtime.
    pub(crate) async fn drop(&self, components: Vec<DynChecks>) {
        self.on_plain_thread("dropping", move || drop(components)).await;
    }

    /// The checks of `component`; a single check has the section's name.
    pub(crate) fn checks(&self, component: &DynChecks) -> Vec<(String, Arc<dyn DynCheck>)> {
        let mut checks = checks(component);
        if let [(name, _)] = checks.as_mut_slice()
            && name.is_empty()
        {
            self.subject.section.clone_into(name);
        }
        checks
    }

    /// Runs all checks of `component` concurrently, each within `limit`, and records their output.
    pub(crate) async fn run(&self, component: &DynChecks, limit: Duration) -> Vec<Run> {
        let tasks: Vec<_> = self
            .checks(component)
            .into_iter()
            .map(|(name, check)| {
                let check_of_task = check.clone();
                let task = self.gateway.spawn(async move { run(&check_of_task, limit).await });
                (name, check, task)
            })
            .collect();
        let mut runs = Vec::new();
        for (name, check, task) in tasks {
            let outcome = match timeout(limit + TIMEOUT, task).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => self.fail(&format!("`{name}` panicked")),
                Err(_) => self.fail(&format!("`{name}` blocks its thread past its timeout")),
            };
            if let RunOutcome::TimedOut { step: "start", .. } = outcome {
                self.begin("a check waits only within a step");
                self.fail(&format!("`{name}` timed out before its first step"));
            }
            match &outcome {
                RunOutcome::Working => {}
                RunOutcome::Failed { failure, line } => {
                    self.record_failure(failure, line, check.as_ref());
                }
                RunOutcome::TimedOut { line, .. } => self.record(line.clone()),
            }
            runs.push(Run { name, outcome });
        }
        runs
    }

    /// Runs every check; each must succeed.
    pub(crate) async fn expect_working(&self, component: &DynChecks, when: &str) {
        for Run { name, outcome } in self.run(component, TIMEOUT).await {
            if !outcome.is_working() {
                self.fail(&format!("{when}, `{name}` is not working but {outcome:?}"));
            }
        }
    }

    /// Waits until no more connections are open than the subject holds at rest.
    pub(crate) async fn expect_at_rest(&self, proxy: &FaultProxy, when: &str) {
        let most = self.subject.connections;
        if !proxy.reaches(|counts| counts.open <= most).await {
            self.fail(&format!("{when}, more than {most} stay open: {:?}", proxy.counts()));
        }
    }

    /// Fails if a task has panicked, even in the background.
    pub(crate) fn expect_no_panic(&self) {
        match self.panics.count() {
            0 => {}
            count => self.fail(&format!("{count} of its background tasks panicked")),
        }
    }

    /// Records output of the probe.
    pub(crate) fn record(&self, text: String) {
        self.output.borrow_mut().push(text);
    }

    /// All output of the probe so far.
    pub(crate) fn output(&self) -> Vec<String> {
        self.output.borrow().clone()
    }

    /// Shuts the checks' runtime down without waiting for a blocked thread.
    pub(crate) fn end(self) {
        self.gateway.shutdown_background();
    }

    fn record_failure(&self, failure: &Failure, line: &str, check: &dyn DynCheck) {
        self.record(line.to_owned());
        self.record(format!("{failure:?}"));
        if let Err(fault) = line::validate(failure.step(), line, check.target()) {
            self.begin("a failure is one line: a step, a cause and the target");
            self.fail(&format!("{fault} in `{line}`"));
        }
    }

    async fn on_plain_thread<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let (done, result) = oneshot::channel();
        std::thread::spawn(move || {
            // The receiver is gone if the suite has timed out.
            let _dropped = done.send(catch_unwind(AssertUnwindSafe(work)));
        });
        match timeout(TIMEOUT, result).await {
            Ok(Ok(Ok(value))) => value,
            Ok(_) => self.fail(&format!("{what} panicked on a thread without a runtime")),
            Err(_) => self.fail(&format!("{what} does not return")),
        }
    }
}

/// One check's run.
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) outcome: RunOutcome,
}
