//! Runs statements that may wait for long, and cancels them if their run ends first.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use probe::{CachedConnection, Cause, Cleanups};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::SimpleQueryRow;

use crate::server::Server;
use crate::session::Session;

/// How long a cancel request may take, and how long the statement may take to end after it.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(500);
/// The number of cancel requests. One may be lost on its way through a pooler.
const CANCEL_ATTEMPTS: usize = 2;

/// Runs a statement and returns its rows with `guard`.
///
/// If this is dropped first, a task cancels the statement, since a server does not notice that the client of a waiting session has disconnected. `guard` is then dropped when the statement has ended.
pub(crate) async fn query_or_cancel<G: Send + 'static>(
    server: &Arc<CachedConnection<Server>>,
    session: Arc<Session>,
    statement: String,
    cleanups: &Cleanups,
    guard: G,
) -> Result<(Vec<SimpleQueryRow>, G), Cause> {
    // It is dropped when the run ends.
    let (_running, run_ended) = oneshot::channel();
    let task = cleanups.spawn(query(server.clone(), session, statement, run_ended, guard));
    task.await.unwrap_or_else(|_| Err(Cause::msg("the query was aborted")))
}

async fn query<G>(
    server: Arc<CachedConnection<Server>>,
    session: Arc<Session>,
    statement: String,
    run_ended: oneshot::Receiver<Infallible>,
    guard: G,
) -> Result<(Vec<SimpleQueryRow>, G), Cause> {
    let mut query = pin!(session.query(&statement));
    tokio::select! {
        biased;
        result = &mut query => return result.map(|rows| (rows, guard)),
        _ = run_ended => {}
    }
    for _ in 0..CANCEL_ATTEMPTS {
        // The statement may end without it, and an error proves nothing: the request may have arrived.
        drop(timeout(CANCEL_TIMEOUT, server.connector().cancel(&session)).await);
        if timeout(CANCEL_TIMEOUT, &mut query).await.is_ok() {
            break;
        }
    }
    // A cancelled wait for a standby reports success, which proves nothing.
    Err(Cause::msg("the run ended before the query"))
}
