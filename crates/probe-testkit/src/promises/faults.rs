//! Backends that are down, silent, restarted or cut short, and back again.

use std::time::Duration;

use probe::DynChecks;

use crate::suite::{PATIENCE, Run, Suite};
use crate::{FaultProxy, Outcome};

/// How long a silent backend is waited for.
const SILENCE: Duration = Duration::from_millis(500);

/// Every check fails while the port is closed, whether it was connected before or not, and works after.
pub(crate) async fn refused_then_healed(suite: &Suite) {
    let proxy = suite.proxy();
    let component = suite.component(&proxy).await;
    for when in ["never connected before", "connected before"] {
        proxy.refuse().await;
        for Run { name, outcome } in suite.run(&component, PATIENCE).await {
            if !matches!(outcome, Outcome::Failed { .. }) {
                suite.broken(&format!("refused and {when}, `{name}` did not fail but {outcome:?}"));
            }
        }
        proxy.heal();
        suite.expect_working(&component, "after the port was opened again").await;
    }
}

/// Every check is cut in a step of its own choosing, leaves no connection behind, and works as soon as answers arrive.
pub(crate) async fn silent_then_healed(suite: &Suite) {
    let proxy = suite.proxy();
    let component = suite.component(&proxy).await;
    for when in ["never connected before", "connected before"] {
        proxy.swallow();
        // Each run that is cut might leave a connection of its own.
        for _ in 0..suite.subject.connections + 2 {
            expect_cut(suite, &component, when).await;
        }
        suite.expect_rest(&proxy, "while the backend is silent").await;
        proxy.heal();
        suite.expect_working(&component, "after the silence").await;
        suite.expect_rest(&proxy, "after the silence").await;
    }
}

/// The very first run after a restart works, however the connections ended and whether that was noticed or not.
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
            // The client sees the end of its connection in its own time, which nothing tells us.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        suite.expect_working(&component, "right after a restart").await;
    }
    // Of a connection that the run has just opened, the loss does prove something.
    if suite.subject.connections > 0 {
        restarted_while_it_asks(suite, &proxy, &component).await;
    }
}

/// Every run ends by itself when its answer ends early, and the next one works.
pub(crate) async fn cut_short(suite: &Suite) {
    let proxy = suite.proxy();
    let component = suite.component(&proxy).await;
    suite.expect_working(&component, "before its first answer is cut").await;
    let all = proxy.counts().from_server;
    let spread = (1..=24).map(|part| all * part / 24);
    for bytes in (0..16).chain(spread) {
        let component = suite.component(&proxy).await;
        proxy.cut_after(bytes);
        for Run { name, outcome } in suite.run(&component, PATIENCE).await {
            if let Outcome::Cut { step, .. } = outcome {
                suite.broken(&format!(
                    "`{name}` waits on in `{step}` although its connection ended after {bytes} bytes"
                ));
            }
        }
        proxy.heal();
        suite.expect_working(&component, "after an answer that was cut short").await;
        suite.drop(vec![component]).await;
    }
}

/// The connection is lost between the question and its answer.
async fn restarted_while_it_asks(suite: &Suite, proxy: &FaultProxy, component: &DynChecks) {
    for _ in 0..5 {
        suite.expect_working(component, "before the restart").await;
        let before = proxy.counts().from_client;
        proxy.swallow();
        let restart = async {
            // A probe that asks nothing on its connection does not keep its other promises.
            let _asked = proxy.reaches(|counts| counts.from_client > before).await;
            proxy.reset().await;
            proxy.heal();
        };
        tokio::join!(suite.expect_working(component, "in a run during a restart"), restart);
    }
}

async fn expect_cut(suite: &Suite, component: &DynChecks, when: &str) {
    for Run { name, outcome } in suite.run(component, SILENCE).await {
        if !matches!(outcome, Outcome::Cut { .. }) {
            suite.broken(&format!("silent and {when}, `{name}` does not wait but {outcome:?}"));
        }
    }
}
