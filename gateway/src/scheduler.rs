//! Runs each check at its `interval`, without a caller.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::namespaces::Namespaces;

/// The shortest time between two passes over all checks, so that the passes over thousands of checks cost little.
const MIN_PAUSE: Duration = Duration::from_millis(50);

/// The longest time between two passes while a check has an interval, since a run that ends without a result makes its check due again.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Runs what is due in the current configurations of all `namespaces` until `stop` is cancelled, which also cancels its runs in progress.
pub async fn run(namespaces: Arc<Namespaces>, stop: CancellationToken) {
    let mut runs = JoinSet::new();
    let scheduling = async {
        loop {
            let now = Instant::now();
            let all = namespaces.all();
            let due = all.iter().filter_map(|namespace| namespace.start_due(now, &mut runs)).min();
            drop(all);
            while runs.try_join_next().is_some() {}
            sleep(MIN_PAUSE).await;
            let pause = async {
                match due {
                    Some(due) => sleep_until(due.min(now + MAX_PAUSE).into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = pause => {}
                () = namespaces.schedules_changed() => {}
            }
        }
    };
    stop.run_until_cancelled(scheduling).await;
}
