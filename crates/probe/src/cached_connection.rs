//! One kept connection to one server, and the rule for when it may be trusted.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Failure, Steps};
use parking_lot::{Mutex, MutexGuard};

/// How a connection is opened, and how one sees that it is over.
pub trait Connect: Send + Sync + 'static {
    /// What is kept.
    type Connection: Send + Sync + 'static;

    /// Opens a connection, each wait in a step of its own.
    fn connect(
        &self,
        steps: &Steps,
    ) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Whether this connection is known to be over, without asking the server.
    fn is_closed(connection: &Self::Connection) -> bool;
}

/// A connection that is opened when it is first needed and used again by every run.
///
/// * A kept connection that turns out lost proves nothing: one fresh attempt decides.
/// * A run that was cut off halfway leaves its connection to nobody: the next run opens its own.
/// * Runs at the same time share one connection, and one attempt to open it.
pub struct CachedConnection<C: Connect> {
    connector: C,
    current: Mutex<Option<Arc<C::Connection>>>,
    // Whoever opens a connection holds this; the others wait and then find it in `current`, or here why there is none.
    opening: tokio::sync::Mutex<Option<FailedAttempt>>,
    attempts: AtomicU64,
}

/// Why the attempt of this number came to nothing.
struct FailedAttempt {
    number: u64,
    failure: Failure,
}

impl<C: Connect> CachedConnection<C> {
    /// Keeps connections of `connector`; opens none yet.
    pub fn new(connector: C) -> Self {
        Self {
            connector,
            current: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            attempts: AtomicU64::new(0),
        }
    }

    /// How connections are opened.
    pub fn connector(&self) -> &C {
        &self.connector
    }

    /// Does `work` on the kept connection, or on a fresh one if there is none or it turns out lost.
    pub async fn run<T, W, F>(&self, steps: &Steps, work: W) -> Result<T, Failure>
    where
        W: Fn(Arc<C::Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let (connection, fresh) = self.open(steps).await?;
        match self.use_once(connection, &work).await {
            Err(failure) if failure.cause().is_connection_lost() && !fresh => {
                let (connection, _) = self.open(steps).await?;
                self.use_once(connection, &work).await
            }
            decided => decided,
        }
    }

    /// Does `work` on a connection of its own, opened and dropped for this run alone.
    pub async fn run_fresh<T, W, F>(&self, steps: &Steps, work: W) -> Result<T, Failure>
    where
        W: Fn(Arc<C::Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        work(Arc::new(self.connector.connect(steps).await?)).await
    }

    async fn use_once<T, W, F>(
        &self,
        connection: Arc<C::Connection>,
        work: &W,
    ) -> Result<T, Failure>
    where
        W: Fn(Arc<C::Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let mut lease = Lease { cached: self, connection: connection.clone(), trusted: false };
        let result = work(connection).await;
        lease.trusted = match &result {
            Ok(_) => true,
            Err(failure) => !failure.cause().is_connection_lost(),
        };
        result
    }

    /// The kept connection, or a new one; the flag says whether this very run opened it.
    async fn open(&self, steps: &Steps) -> Result<(Arc<C::Connection>, bool), Failure> {
        if let Some(connection) = self.current() {
            return Ok((connection, false));
        }
        // Waiting for somebody else's attempt is waiting for the connection.
        steps.begin("connect");
        let asked = self.attempts.load(Ordering::SeqCst);
        let mut failed = self.opening.lock().await;
        if let Some(connection) = self.current() {
            return Ok((connection, false));
        }
        // An attempt that began after this run asked speaks for it too; an older one may be out of date.
        if let Some(attempt) = failed.as_ref().filter(|attempt| attempt.number > asked) {
            return Err(attempt.failure.clone());
        }
        let number = self.attempts.fetch_add(1, Ordering::SeqCst) + 1;
        match self.connector.connect(steps).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *self.slot() = Some(connection.clone());
                Ok((connection, true))
            }
            Err(failure) => {
                *failed = Some(FailedAttempt { number, failure: failure.clone() });
                Err(failure)
            }
        }
    }

    fn current(&self) -> Option<Arc<C::Connection>> {
        let mut slot = self.slot();
        if slot.as_deref().is_some_and(C::is_closed) {
            *slot = None;
        }
        slot.clone()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<C::Connection>>> {
        self.current.lock()
    }
}

impl<C: Connect + fmt::Debug> fmt::Debug for CachedConnection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedConnection")
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}

/// One run's use of the connection: dropped without trust, it takes the connection from those who come next.
struct Lease<'a, C: Connect> {
    cached: &'a CachedConnection<C>,
    connection: Arc<C::Connection>,
    trusted: bool,
}

impl<C: Connect> Drop for Lease<'_, C> {
    fn drop(&mut self) {
        if self.trusted {
            return;
        }
        let mut slot = self.cached.slot();
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, &self.connection)) {
            *slot = None;
        }
    }
}

#[cfg(test)]
mod tests;
