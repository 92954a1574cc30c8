//! Runs each check at its `interval`, without a caller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::namespaces::Namespaces;

/// The shortest time between two passes over all checks, so that the passes over thousands of checks cost little.
const MIN_PAUSE: Duration = Duration::from_millis(50);

/// The longest time between two passes. A new configuration is noticed within it.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Runs what is due in the current configurations of all `namespaces` until `stop` is cancelled, which also cancels its runs in progress.
pub async fn run(namespaces: Arc<Namespaces>, stop: CancellationToken) {
    let mut runs = JoinSet::new();
    let scheduling = async {
        loop {
            let now = Instant::now();
            let mut next = now + MAX_PAUSE;
            for namespace in namespaces.all() {
                next = namespace.start_due(now, &mut runs).map_or(next, |due| due.min(next));
            }
            while runs.try_join_next().is_some() {}
            sleep_until(next.max(now + MIN_PAUSE).into()).await;
        }
    };
    stop.run_until_cancelled(scheduling).await;
}
