//! Runs that are dropped halfway, at every point.

use std::sync::Arc;
use std::time::{Duration, Instant};

use probe::{DynChecks, SharedResources};

use crate::suite::{Run, Suite};
use crate::{FaultProxy, Outcome};

/// How many points between a run's beginning and a little after its end.
const POINTS: u32 = 80;

/// A longer run has its last part left out, so that a busy machine does not make the suite endless.
const LONGEST: Duration = Duration::from_millis(500);

/// Whatever point a run is dropped at, the next one works, and so does one beside it that shares its connection.
pub(crate) async fn leaves_nothing(suite: &Suite) {
    let proxy = suite.proxy();
    // Slow enough to hit every wait.
    proxy.delay(Duration::from_millis(1));
    let shared = Arc::<SharedResources>::default();
    let one = suite.component_sharing(&proxy, &shared).await;
    let other = suite.component_sharing(&proxy, &shared).await;
    let connecting = time(suite, &one).await;
    let asking = time(suite, &one).await;
    dropped_while_connecting(suite, &proxy, &one, connecting).await;
    dropped_while_asking(suite, &one, &other, asking).await;
    proxy.heal();
    suite.expect_working(&one, "after many runs were dropped").await;
    suite.expect_working(&other, "after many runs were dropped").await;
    suite.expect_rest(&proxy, "after many runs were dropped").await;
}

async fn dropped_while_connecting(
    suite: &Suite,
    proxy: &FaultProxy,
    component: &DynChecks,
    time: Duration,
) {
    for point in 0..POINTS {
        proxy.close().await;
        let deadline = time * point / (POINTS * 4 / 5);
        expect_no_failure(suite, component, deadline, "while connecting").await;
    }
}

async fn dropped_while_asking(suite: &Suite, one: &DynChecks, other: &DynChecks, time: Duration) {
    for point in 0..POINTS {
        suite.expect_working(one, "right after a run that was dropped").await;
        let deadline = time * point / (POINTS * 4 / 5);
        tokio::join!(
            expect_no_failure(suite, one, deadline, "while asking"),
            suite.expect_working(other, "beside a run that was dropped"),
        );
    }
}

/// A run either ends well or is cut.
async fn expect_no_failure(suite: &Suite, component: &DynChecks, deadline: Duration, when: &str) {
    for Run { name, outcome } in suite.run(component, deadline).await {
        if matches!(outcome, Outcome::Failed { .. }) {
            suite.broken(&format!("in a run to be dropped {when}, `{name}` fails: {outcome:?}"));
        }
    }
}

async fn time(suite: &Suite, component: &DynChecks) -> Duration {
    let begun = Instant::now();
    suite.expect_working(component, "through a slow network").await;
    begun.elapsed().min(LONGEST)
}
