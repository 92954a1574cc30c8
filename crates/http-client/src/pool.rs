//! The connections of a client, each with at most one request in flight.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;
use probe::{CachedConnection, Reconnect, Steps};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use crate::connection::Connector;

/// The largest number of requests in flight to one server.
const MAX_IN_FLIGHT: usize = 16;

/// The connections to one server.
///
/// At rest there is one. A request waits for the one in flight, and is sent on a further connection if that takes longer than a twentieth of its run's timeout.
#[derive(Debug)]
pub(crate) struct Pool {
    connector: Connector,
    state: Mutex<State>,
    /// Each connection has a permit.
    permits: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    idle: Option<Arc<Pooled>>,
    /// The requests that wait for a connection. A closed channel is that of one that waits no longer.
    waiting: VecDeque<oneshot::Sender<Arc<Pooled>>>,
}

#[derive(Debug)]
struct Pooled {
    connection: CachedConnection<Connector>,
    _permit: OwnedSemaphorePermit,
}

/// A connection with a request in flight. It is returned to the pool when this is dropped.
pub(crate) struct InFlight<'a> {
    pool: &'a Pool,
    pooled: Arc<Pooled>,
}

impl Pool {
    pub(crate) fn new(connector: Connector) -> Self {
        let permits = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
        let pool = Self { connector, state: Mutex::default(), permits };
        pool.state.lock().idle = pool.further();
        pool
    }

    /// Returns a connection for a request of the step `step`. It is opened when the request is sent.
    pub(crate) async fn acquire(&self, steps: &Steps, step: &'static str) -> InFlight<'_> {
        let in_flight = |pooled| InFlight { pool: self, pooled };
        let mut returned = {
            let mut state = self.state.lock();
            if let Some(pooled) = state.idle.take() {
                return in_flight(pooled);
            }
            // One that was passed on may have been dropped with its receiver.
            if self.permits.available_permits() == MAX_IN_FLIGHT
                && let Some(pooled) = self.further()
            {
                return in_flight(pooled);
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            receiver
        };
        // A wait for the request in flight is a wait for the server's response to it.
        steps.begin(step);
        let patience = steps.hedge_delay() / 5;
        loop {
            if let Ok(Ok(pooled)) = timeout(patience, &mut returned).await {
                return in_flight(pooled);
            }
            if let Some(pooled) = self.further() {
                return in_flight(pooled);
            }
        }
    }

    /// A further connection, unless there are too many.
    fn further(&self) -> Option<Arc<Pooled>> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let connection = CachedConnection::new(self.connector.clone(), Reconnect::default());
        Some(Arc::new(Pooled { connection, _permit: permit }))
    }
}

impl Deref for InFlight<'_> {
    type Target = CachedConnection<Connector>;

    fn deref(&self) -> &Self::Target {
        &self.pooled.connection
    }
}

impl Drop for InFlight<'_> {
    /// Passes the connection to the next request that waits. If none does, one connection is kept.
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        let mut pooled = self.pooled.clone();
        while let Some(waiting) = state.waiting.pop_front() {
            match waiting.send(pooled) {
                Ok(()) => return,
                Err(unsent) => pooled = unsent,
            }
        }
        state.idle.get_or_insert(pooled);
    }
}
