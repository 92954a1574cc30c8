//! A connection that is reused by several runs, and replaced when it is lost.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::{Failure, LoginBackoff, Steps, step};

/// Opens connections of one kind to one server.
pub trait Connect: Send + Sync + 'static {
    /// The connection.
    type Connection: Send + Sync + 'static;

    /// Opens a connection. Each wait has a step of its own.
    fn connect(
        &self,
        steps: &Steps,
    ) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Whether this connection is known to be closed, without any I/O.
    fn is_closed(connection: &Self::Connection) -> bool;
}

/// A connection that is opened when it is first needed and reused by later runs.
///
/// * If a reused connection turns out to be lost, the run retries once on a new one: the server may be working.
/// * The connection of a run that was cancelled is not reused: its state is unknown.
/// * Concurrent runs share one connection, and one attempt to open it.
/// * Credentials that the server refused are not tried again before a pause, see [`LoginBackoff`].
pub struct CachedConnection<C: Connect> {
    connector: C,
    logins: Arc<LoginBackoff>,
    current: Mutex<Option<Arc<C::Connection>>>,
    // Held while a connection is opened. Runs that waited for it find the connection in `current`, or the failure here.
    opening: tokio::sync::Mutex<Option<FailedAttempt>>,
    attempts: AtomicU64,
}

/// The failure of the attempt with this number.
struct FailedAttempt {
    number: u64,
    failure: Failure,
}

impl<C: Connect> CachedConnection<C> {
    /// A cache for a connection of `connector`. Nothing is opened yet.
    pub fn new(connector: C) -> Self {
        Self::with_logins(connector, Arc::default())
    }

    /// The same, if other connections use the same credentials.
    pub fn with_logins(connector: C, logins: Arc<LoginBackoff>) -> Self {
        Self {
            connector,
            logins,
            current: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            attempts: AtomicU64::new(0),
        }
    }

    /// The connector.
    pub fn connector(&self) -> &C {
        &self.connector
    }

    /// The refused logins with the credentials of this connection.
    pub fn logins(&self) -> &Arc<LoginBackoff> {
        &self.logins
    }

    /// Does `work` on the cached connection, or on a new one if there is none or it turns out to be lost.
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

    /// Does `work` on a new connection that is closed afterwards. The cached one is not touched.
    pub async fn run_fresh<T, W, F>(&self, steps: &Steps, work: W) -> Result<T, Failure>
    where
        W: Fn(Arc<C::Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        work(Arc::new(self.connect(steps).await?)).await
    }

    async fn connect(&self, steps: &Steps) -> Result<C::Connection, Failure> {
        // It is boxed because it is large, and rare.
        Box::pin(self.logins.attempt(self.connector.connect(steps))).await
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
        let mut lease = Lease { cached: self, connection: connection.clone(), intact: false };
        let result = work(connection).await;
        lease.intact = match &result {
            Ok(_) => true,
            Err(failure) => !failure.cause().is_connection_lost(),
        };
        result
    }

    /// The cached connection, or a new one. The flag is `true` if this run opened it.
    async fn open(&self, steps: &Steps) -> Result<(Arc<C::Connection>, bool), Failure> {
        if let Some(connection) = self.current() {
            return Ok((connection, false));
        }
        // Waiting for another run's attempt counts as connecting.
        steps.begin(step::CONNECT);
        let attempts_before = self.attempts.load(Ordering::SeqCst);
        let mut failed = self.opening.lock().await;
        if let Some(connection) = self.current() {
            return Ok((connection, false));
        }
        // The failure of an attempt that began after this run did is current; an older one may be outdated.
        if let Some(attempt) = failed.as_ref().filter(|attempt| attempt.number > attempts_before) {
            return Err(attempt.failure.clone());
        }
        let number = self.attempts.fetch_add(1, Ordering::SeqCst) + 1;
        match self.connect(steps).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *self.current.lock() = Some(connection.clone());
                Ok((connection, true))
            }
            Err(failure) => {
                *failed = Some(FailedAttempt { number, failure: failure.clone() });
                Err(failure)
            }
        }
    }

    fn current(&self) -> Option<Arc<C::Connection>> {
        let mut current = self.current.lock();
        if current.as_deref().is_some_and(C::is_closed) {
            *current = None;
        }
        current.clone()
    }
}

impl<C: Connect + fmt::Debug> fmt::Debug for CachedConnection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedConnection")
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}

/// One run's use of the connection. Unless it is marked as intact, the connection is removed from the cache when this is dropped.
struct Lease<'a, C: Connect> {
    cached: &'a CachedConnection<C>,
    connection: Arc<C::Connection>,
    intact: bool,
}

impl<C: Connect> Drop for Lease<'_, C> {
    fn drop(&mut self) {
        if self.intact {
            return;
        }
        let mut current = self.cached.current.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &self.connection)) {
            *current = None;
        }
    }
}

#[cfg(test)]
mod tests;
