//! Backends that are down, silent, restarted or disconnected, and then healthy again.

use std::time::Duration;

use probe::DynChecks;

use crate::suite::{Run, Suite, TIMEOUT};
use crate::{FaultProxy, RunOutcome};

/// The timeout of a run while the backend is silent.
const SILENCE: Duration = Duration::from_millis(500);

/// The timeout of a run while only its reused connection is silent.
const FORGOTTEN: Duration = Duration::from_secs(5);

/// Every check fails while the port is closed, connected before or not, and succeeds once it is open.
pub(crate) async fn refused_then_healed(suite: &Suite) {
    let proxy = suite.proxy();
    let component = suite.component(&proxy).await;
    for when in ["never connected before", "connected before"] {
        proxy.refuse().await;
        for Run { name, outcome } in suite.run(&component, TIMEOUT).await {
            if !matches!(outcome, RunOutcome::Failed { .. }) {
                suite.fail(&format!("refused and {when}, `{name}` did not fail but {outcome:?}"));
            }
        }
        proxy.heal();
        suite.expect_working(&component, "after the port was opened again").await;
    }
}

/// Every check waits within a step until its timeout, leaves no connection behind, and succeeds as soon as answers arrive.
pub(crate) async fn silent_then_healed(suite: &Suite) {
    let proxy = suite.proxy();
    let component = suite.component(&proxy).await;
    for when in ["never connected before", "connected before"] {
        proxy.swallow();
        // Every run that is cut could leave a connection.
        for _ in 0..suite.subject.connections + 2 {
            expect_cut(suite, &component, when).await;
        }
        suite.expect_at_rest(&proxy, "while the backend is silent").await;
        proxy.heal();
        suite.expect_working(&component, "after the silence").await;
        suite.expect_at_rest(&proxy, "after the silence").await;
    }
}

/// A run on a reused connection that is silent succeeds on a new one, which replaces it.
pub(crate) async fn forgotten(suite: &Suite) {
    let proxy = suite.proxy();
    let component = suite.component(&proxy).await;
    suite.expect_working(&component, "before its connections are forgotten").await;
    proxy.swallow_open();
    for Run { name, outcome } in suite.run(&component, FORGOTTEN).await {
        if !outcome.is_working() {
            suite.fail(&format!(
                "with a forgotten connection, `{name}` is not working but {outcome:?}"
            ));
        }
    }
    suite.expect_at_rest(&proxy, "after a connection was forgotten").await;
}

/// The first run after a restart succeeds, however the connections ended and whether or not the client noticed.
pub(crate) async fn restarted(suite: &Suite) {
    let proxy = suite.proxy();
    let component = suite.component(&proxy).await;
    for round in 0..20 {
        suite.expect_working(&component, "before the restart").await;
        match round % 4 {
            0 => proxy.reset().await,
            1 => proxy.close().await,
            _ => proxy.refuse().await,
        }
        proxy.heal();
        if round >= 10 {
            // The client may notice the end of its connection within this time; that cannot be observed from outside.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        suite.expect_working(&component, "right after a restart").await;
    }
    // The loss of a connection that the run itself has opened is a failure of the backend.
    if suite.subject.connections > 0 {
        restarted_during_run(suite, &proxy, &component).await;
    }
}

/// A run ends when the connection is closed in the middle of an answer, and the next one succeeds.
pub(crate) async fn cut_short(suite: &Suite) {
    let proxy = suite.proxy();
    let component = suite.component(&proxy).await;
    suite.expect_working(&component, "before its first answer is cut").await;
    let all = proxy.counts().from_server;
    let spread = (1..=24).map(|part| all * part / 24);
    for bytes in (0..16).chain(spread) {
        let component = suite.component(&proxy).await;
        proxy.cut_after(bytes);
        for Run { name, outcome } in suite.run(&component, TIMEOUT).await {
            if let RunOutcome::TimedOut { step, .. } = outcome {
                suite.fail(&format!(
                    "`{name}` still waits in `{step}` after its connection ended after {bytes} bytes"
                ));
            }
        }
        proxy.heal();
        suite.expect_working(&component, "after an answer that was cut short").await;
        suite.drop(vec![component]).await;
    }
}

/// The connection is lost between a request and its answer.
async fn restarted_during_run(suite: &Suite, proxy: &FaultProxy, component: &DynChecks) {
    for _ in 0..5 {
        suite.expect_working(component, "before the restart").await;
        let before = proxy.counts().from_client;
        proxy.swallow();
        let restart = async {
            // A probe that sends nothing breaks other promises.
            let _sent = proxy.reaches(|counts| counts.from_client > before).await;
            proxy.reset().await;
            proxy.heal();
        };
        tokio::join!(suite.expect_working(component, "in a run during a restart"), restart);
    }
}

async fn expect_cut(suite: &Suite, component: &DynChecks, when: &str) {
    for Run { name, outcome } in suite.run(component, SILENCE).await {
        if !matches!(outcome, RunOutcome::TimedOut { .. }) {
            suite.fail(&format!("silent and {when}, `{name}` does not wait but {outcome:?}"));
        }
    }
}
