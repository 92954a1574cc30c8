//! Runs that are dropped at many points.

use std::sync::Arc;
use std::time::{Duration, Instant};

use probe::{DynChecks, SharedResources};

use crate::suite::{Run, Suite};
use crate::{FaultProxy, RunOutcome};

/// The number of points between the start of a run and a little after its end.
const POINTS: u32 = 80;

/// Points later than this are left out, so that the suite stays short on a busy machine.
const LONGEST: Duration = Duration::from_millis(500);

/// After a run is dropped at any point, the next run succeeds, and so does a concurrent one that shares its connection.
pub(crate) async fn leaves_nothing(suite: &Suite) {
    let proxy = suite.proxy();
    // The delay makes each wait long enough that some point falls into it.
    proxy.delay(Duration::from_millis(1));
    let shared = Arc::<SharedResources>::default();
    let one = suite.component_sharing(&proxy, &shared).await;
    let other = suite.component_sharing(&proxy, &shared).await;
    let connecting = time(suite, &one).await;
    let asking = time(suite, &one).await;
    dropped_while_connecting(suite, &proxy, &one, connecting).await;
    dropped_while_querying(suite, &one, &other, asking).await;
    proxy.heal();
    suite.expect_working(&one, "after many runs were dropped").await;
    suite.expect_working(&other, "after many runs were dropped").await;
    suite.expect_at_rest(&proxy, "after many runs were dropped").await;
}

async fn dropped_while_connecting(
    suite: &Suite,
    proxy: &FaultProxy,
    component: &DynChecks,
    time: Duration,
) {
    for point in 0..POINTS {
        proxy.close().await;
        let timeout = time * point / (POINTS * 4 / 5);
        expect_no_failure(suite, component, timeout, "while connecting").await;
    }
}

async fn dropped_while_querying(suite: &Suite, one: &DynChecks, other: &DynChecks, time: Duration) {
    for point in 0..POINTS {
        suite.expect_working(one, "right after a run that was dropped").await;
        let timeout = time * point / (POINTS * 4 / 5);
        tokio::join!(
            expect_no_failure(suite, one, timeout, "while querying"),
            suite.expect_working(other, "beside a run that was dropped"),
        );
    }
}

/// A run must succeed or time out.
async fn expect_no_failure(suite: &Suite, component: &DynChecks, timeout: Duration, when: &str) {
    for Run { name, outcome } in suite.run(component, timeout).await {
        if matches!(outcome, RunOutcome::Failed { .. }) {
            suite.fail(&format!(
                "in a run with a short timeout {when}, `{name}` fails: {outcome:?}"
            ));
        }
    }
}

async fn time(suite: &Suite, component: &DynChecks) -> Duration {
    let started = Instant::now();
    suite.expect_working(component, "through a slow network").await;
    started.elapsed().min(LONGEST)
}
