//! A connection that is reused by several runs, and replaced when it is lost.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::{Failure, LoginBackoff, Observation, Reconnect, Steps, step};

/// How long a run reports the step of the attempt that it waited for, after its own has begun.
const TAKEOVER: Duration = Duration::from_millis(100);

/// The number of connections to one server at a time.
const MAX_CONNECTIONS: usize = 2;

/// How often a run that needs a third connection checks whether one of the two has been closed.
const PLACE_INTERVAL: Duration = Duration::from_millis(20);

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

    /// Whether every server of this connection has sent something since then. If not, a second connection is opened beside it, see [`CachedConnection`].
    ///
    /// The default is for connections that have no server of their own.
    fn has_received_since(_connection: &Self::Connection, _since: Instant) -> bool {
        true
    }
}

/// A connection that is opened when it is first needed and reused by later runs.
///
/// * If a reused connection turns out to be lost, the run retries once on a new one: the server may be working.
/// * If the server sends nothing on a reused connection for [`Steps::hedge_delay`], the run opens a new one beside it, does its work there as well, and continues with the one on which the server sends something first.
/// * There are never more than two connections: a run that needs a third waits until one of them is closed.
/// * The connection of a run that was cancelled is not reused: its state is unknown.
/// * Concurrent runs share one connection, and one attempt to open it.
/// * A run that finds a connection older than [`Reconnect`] opens a new one beside it, and fails if it cannot. The old one is then closed.
/// * A connection that no run has used for the same time is closed, unless it is [renewed](Self::renew).
/// * What was observed while it was opened, such as the expiry of a certificate, is observed by every run that uses it.
/// * Credentials that the server refused are not tried again before a pause, see [`LoginBackoff`].
pub struct CachedConnection<C: Connect> {
    connector: C,
    logins: Arc<LoginBackoff>,
    reconnect: Reconnect,
    current: Arc<Current<C::Connection>>,
    /// The connections that were in `current` before, which runs may still use.
    retired: Mutex<Vec<Weak<C::Connection>>>,
    // Held while a connection is opened. Runs that waited for it find the connection in `current`, or the failure here.
    opening: tokio::sync::Mutex<Option<FailedAttempt>>,
    /// The step of the latest attempt. Runs that wait follow this and not one attempt: if that is cancelled, one of them makes the next.
    opening_steps: Arc<Steps>,
    attempts: AtomicU64,
}

type Current<T> = Mutex<Option<Cached<T>>>;

/// An open connection.
struct Cached<T> {
    connection: Arc<T>,
    /// What was observed while it was opened.
    observations: Vec<Observation>,
    /// The number of the attempt that opened it.
    number: u64,
    trusted_until: Option<Instant>,
    last_used: Instant,
    _timer: Option<Timer>,
}

/// The task that closes an unused connection. It ends with the connection.
struct Timer(AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The failure of the attempt with this number.
struct FailedAttempt {
    number: u64,
    failure: Failure,
}

impl<C: Connect> CachedConnection<C> {
    /// A cache for a connection of `connector`. Nothing is opened yet.
    pub fn new(connector: C, reconnect: Reconnect) -> Self {
        Self::with_logins(connector, reconnect, Arc::default())
    }

    /// The same, if other connections use the same credentials.
    pub fn with_logins(connector: C, reconnect: Reconnect, logins: Arc<LoginBackoff>) -> Self {
        let opening_steps = Steps::new();
        opening_steps.begin(step::CONNECT);
        Self {
            connector,
            logins,
            reconnect,
            current: Arc::new(Mutex::new(None)),
            retired: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            opening_steps: Arc::new(opening_steps),
            attempts: AtomicU64::new(0),
        }
    }

    /// The connector.
    pub fn connector(&self) -> &C {
        &self.connector
    }

    /// How long a connection is trusted.
    pub fn reconnect(&self) -> Reconnect {
        self.reconnect
    }

    /// The refused logins with the credentials of this connection.
    pub fn logins(&self) -> &Arc<LoginBackoff> {
        &self.logins
    }

    /// Does `work` on the cached connection, or on a new one if there is none or it turns out to be lost.
    ///
    /// If the cached one is silent, `work` is done on two connections at a time.
    pub async fn run<T, W, F>(&self, steps: &Steps, work: W) -> Result<T, Failure>
    where
        W: Fn(Arc<C::Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.run_reusing(steps, work, true).await
    }

    /// The same for `work` that must not be done twice: a silent connection is waited for.
    pub async fn run_unhedged<T, W, F>(&self, steps: &Steps, work: W) -> Result<T, Failure>
    where
        W: Fn(Arc<C::Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.run_reusing(steps, work, false).await
    }

    async fn run_reusing<T, W, F>(&self, steps: &Steps, work: W, hedged: bool) -> Result<T, Failure>
    where
        W: Fn(Arc<C::Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let (connection, fresh) = self.open(steps, None).await?;
        // Parts that a hedged run on an open connection does not need are boxed, so that its future is small.
        let (result, fresh) = if hedged && !fresh {
            self.use_hedged(connection, steps, &work).await
        } else {
            (Box::pin(self.use_once(connection, &work)).await, fresh)
        };
        match result {
            Err(failure) if failure.cause().is_connection_lost() && !fresh => {
                let again = async {
                    let (connection, _) = self.open(steps, None).await?;
                    self.use_once(connection, &work).await
                };
                Box::pin(again).await
            }
            decided => decided,
        }
    }

    /// Does `work` on another connection than the `busy` one, which later runs reuse.
    pub async fn run_beside<T, W, F>(
        &self,
        busy: &Arc<C::Connection>,
        steps: &Steps,
        work: W,
    ) -> Result<T, Failure>
    where
        W: Fn(Arc<C::Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let (connection, _) = self.open(steps, Some(&Arc::downgrade(busy))).await?;
        self.use_once(connection, &work).await
    }

    /// Opens a connection in place of the cached one, which runs use until then, unless that is open and trusted for another third of the period.
    ///
    /// If this is called in each eighth of the period, runs find a trusted connection, and it stays open without being used.
    pub async fn renew(&self, steps: &Steps) -> Result<(), Failure> {
        let third = self.reconnect.period().unwrap_or_default() / 3;
        let old = match self.current.lock().as_ref() {
            Some(cached) if cached.is_trusted_for(third) && !C::is_closed(&cached.connection) => {
                return Ok(());
            }
            old => old.map(|cached| Arc::downgrade(&cached.connection)),
        };
        self.open_new(steps, old.as_ref()).await.map(drop)
    }

    /// Does `work` on a new connection that is closed afterwards. The cached one is not touched.
    pub async fn run_fresh<T, W, F>(&self, steps: &Steps, work: W) -> Result<T, Failure>
    where
        W: Fn(Arc<C::Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let connection = self.connect(steps).await?;
        work(Arc::new(connection)).await
    }

    async fn connect(&self, steps: &Steps) -> Result<C::Connection, Failure> {
        steps.begin(step::CONNECT);
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
        let mut guard =
            ConnectionGuard { cached: self, connection: connection.clone(), intact: false };
        let result = work(connection).await;
        guard.intact = match &result {
            Ok(_) => true,
            Err(failure) => !failure.cause().is_connection_lost(),
        };
        result
    }

    /// Does `work` on a reused connection. If the server is silent on it, a new one is opened beside it, and the result is that of the one on which the server sends something first.
    ///
    /// The flag is `true` if the result is that of the new connection.
    async fn use_hedged<T, W, F>(
        &self,
        kept: Arc<C::Connection>,
        steps: &Steps,
        work: &W,
    ) -> (Result<T, Failure>, bool)
    where
        W: Fn(Arc<C::Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let began = Instant::now();
        let silent = Arc::downgrade(&kept);
        let has_responded =
            || silent.upgrade().is_none_or(|kept| C::has_received_since(&kept, began));
        let mut first = pin!(Some(self.use_once(kept, work)));
        if let Ok(result) = timeout(steps.hedge_delay(), finish(first.as_mut())).await {
            return (result, false);
        }
        if has_responded() {
            return (finish(first).await, false);
        }
        let opened = OnceLock::new();
        let mut second = Some(Box::pin(async {
            // Until the server sends something on it, a timeout reports the step on the silent connection.
            let own = Steps::new();
            let (connection, _) = self.open(&own, Some(&silent)).await?;
            steps.observe_again(&own.observations());
            opened.get_or_init(|| (Arc::downgrade(&connection), Instant::now()));
            self.use_once(connection, work).await
        }));
        let has_second_responded = || {
            let connection =
                opened.get().and_then(|(opened, since)| Some((opened.upgrade()?, since)));
            connection.is_some_and(|(connection, since)| C::has_received_since(&connection, *since))
        };
        poll_fn(|context| {
            if let Some(kept) = first.as_mut().as_pin_mut() {
                match kept.poll(context) {
                    Poll::Ready(Err(failure))
                        if failure.cause().is_connection_lost() && second.is_some() =>
                    {
                        first.set(None);
                    }
                    Poll::Ready(result) => return Poll::Ready((result, false)),
                    Poll::Pending if has_responded() => second = None,
                    Poll::Pending => {}
                }
            }
            let Some(new) = &mut second else { return Poll::Pending };
            if let Poll::Ready(result) = new.as_mut().poll(context) {
                return Poll::Ready((result, true));
            }
            if has_second_responded() {
                first.set(None);
            }
            Poll::Pending
        })
        .await
    }

    /// The cached connection if it is trusted and not the `silent` one, or a new one. The flag is `true` if this run opened it.
    ///
    /// A silent connection stays in use until the new one is open.
    async fn open(
        &self,
        steps: &Steps,
        silent: Option<&Weak<C::Connection>>,
    ) -> Result<(Arc<C::Connection>, bool), Failure> {
        match self.usable(steps, silent) {
            Some(connection) => Ok((connection, false)),
            None => Box::pin(self.open_new(steps, silent)).await,
        }
    }

    fn usable(
        &self,
        steps: &Steps,
        silent: Option<&Weak<C::Connection>>,
    ) -> Option<Arc<C::Connection>> {
        self.current(steps).filter(|current| !is_same(current, silent))
    }

    /// A new connection, or the one that another run opens meanwhile.
    async fn open_new(
        &self,
        steps: &Steps,
        silent: Option<&Weak<C::Connection>>,
    ) -> Result<(Arc<C::Connection>, bool), Failure> {
        let attempts_before = self.attempts.load(Ordering::SeqCst);
        let free = self.opening.try_lock().ok();
        let waited = free.is_none();
        let mut failed = if let Some(free) = free {
            free
        } else {
            steps.follow(self.opening_steps.clone());
            self.opening.lock().await
        };
        if let Some(connection) = self.usable(steps, silent) {
            return Ok((connection, false));
        }
        // The failure of an attempt that began after this run did is current; an older one may be outdated.
        if let Some(attempt) = failed.as_ref().filter(|attempt| attempt.number > attempts_before) {
            return Err(attempt.failure.clone());
        }
        let number = self.attempts.fetch_add(1, Ordering::SeqCst) + 1;
        // The old connection is closed when this run ends its attempt, even if that is cancelled.
        let mut old = if silent.is_none() { self.take_current() } else { None };
        let is_replacement = old.is_some();
        match self.attempt(steps, waited, &mut old).await {
            Ok((connection, observations)) => {
                let is_replacement = self.take_current().is_some() || is_replacement;
                Ok((self.store(connection, observations, number, is_replacement), true))
            }
            Err(failure) => {
                *failed = Some(FailedAttempt { number, failure: failure.clone() });
                Err(failure)
            }
        }
    }

    /// Opens a connection in place of the `old` one, and also returns what was observed meanwhile.
    ///
    /// If the run `waited` for an attempt that was cancelled, it first stays in the step of that attempt, as do the other runs that wait: all of them may time out at the same time.
    async fn attempt(
        &self,
        steps: &Steps,
        waited: bool,
        old: &mut Option<Cached<C::Connection>>,
    ) -> Result<(C::Connection, Vec<Observation>), Failure> {
        let own = Arc::new(Steps::new());
        own.begin(step::CONNECT);
        let mut attempt = pin!(async {
            self.wait_for_place(&own, old).await;
            self.connect(&own).await
        });
        if waited && let Ok(result) = timeout(TAKEOVER, attempt.as_mut()).await {
            let observations = own.observations();
            steps.observe_again(&observations);
            return result.map(|connection| (connection, observations));
        }
        steps.follow(own.clone());
        self.opening_steps.follow_instead(own.clone());
        attempt.await.map(|connection| (connection, own.observations()))
    }

    fn store(
        &self,
        connection: C::Connection,
        observations: Vec<Observation>,
        number: u64,
        is_replacement: bool,
    ) -> Arc<C::Connection> {
        let connection = Arc::new(connection);
        let reconnect = self.reconnect;
        let period = if is_replacement { reconnect.period() } else { reconnect.first_period() };
        let now = Instant::now();
        let trusted_until = period.and_then(|period| now.checked_add(period));
        let timer = reconnect.period().map(|limit| {
            let task = close_when_unused(Arc::downgrade(&self.current), number, limit);
            Timer(tokio::spawn(task).abort_handle())
        });
        *self.current.lock() = Some(Cached {
            connection: connection.clone(),
            observations,
            number,
            trusted_until,
            last_used: now,
            _timer: timer,
        });
        connection
    }

    /// Removes the cached connection, which runs may still use.
    fn take_current(&self) -> Option<Cached<C::Connection>> {
        let taken = self.current.lock().take();
        if let Some(cached) = &taken {
            self.retire(&cached.connection);
        }
        taken
    }

    fn retire(&self, connection: &Arc<C::Connection>) {
        let mut retired = self.retired.lock();
        retired.retain(|connection| connection.strong_count() > 0);
        retired.push(Arc::downgrade(connection));
    }

    /// Waits until there is at most one connection. The `old` one is closed first, rather than beside a new one, if runs still use another.
    async fn wait_for_place(&self, steps: &Steps, old: &mut Option<Cached<C::Connection>>) {
        if self.count() < MAX_CONNECTIONS {
            return;
        }
        *old = None;
        while self.count() >= MAX_CONNECTIONS {
            steps.begin_with(step::CONNECT, "no answer", "two connections are in use already");
            sleep(PLACE_INTERVAL).await;
        }
    }

    /// The number of connections that are cached or still used.
    fn count(&self) -> usize {
        let is_open = |connection: &Weak<C::Connection>| {
            connection.upgrade().is_some_and(|connection| !C::is_closed(&connection))
        };
        let cached = usize::from(self.current.lock().is_some());
        cached + self.retired.lock().iter().filter(|connection| is_open(connection)).count()
    }

    /// The cached connection, if it is open and trusted. What was observed while it was opened is observed in `steps`.
    fn current(&self, steps: &Steps) -> Option<Arc<C::Connection>> {
        let mut current = self.current.lock();
        if current.as_ref().is_some_and(|cached| C::is_closed(&cached.connection)) {
            *current = None;
        }
        let trusted = current.as_ref().filter(|cached| cached.is_trusted())?;
        steps.observe_again(&trusted.observations);
        Some(trusted.connection.clone())
    }
}

impl<C: Connect + fmt::Debug> fmt::Debug for CachedConnection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedConnection")
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}

impl<T> Cached<T> {
    fn is_trusted(&self) -> bool {
        self.is_trusted_for(Duration::ZERO)
    }

    fn is_trusted_for(&self, time: Duration) -> bool {
        self.trusted_until.is_none_or(|until| Instant::now() + time < until)
    }

    /// How long the connection has been unused. A user that outlives its run, such as a listener, counts.
    fn unused_for(&self) -> Duration {
        if Arc::strong_count(&self.connection) > 1 {
            return Duration::ZERO;
        }
        self.last_used.elapsed()
    }
}

/// Whether this is the `silent` connection.
fn is_same<T>(connection: &Arc<T>, silent: Option<&Weak<T>>) -> bool {
    silent.is_some_and(|silent| Weak::as_ptr(silent) == Arc::as_ptr(connection))
}

/// Awaits a future that may be dropped meanwhile.
async fn finish<F: Future>(future: Pin<&mut Option<F>>) -> F::Output {
    match future.as_pin_mut() {
        Some(future) => future.await,
        None => pending().await,
    }
}

/// Closes the connection with this number once it has been unused for `limit`.
async fn close_when_unused<T>(current: Weak<Current<T>>, number: u64, limit: Duration) {
    let mut wait = limit;
    loop {
        sleep(wait).await;
        let Some(current) = current.upgrade() else { return };
        let mut current = current.lock();
        let Some(cached) = current.as_ref().filter(|cached| cached.number == number) else {
            return;
        };
        let unused = cached.unused_for();
        if unused >= limit {
            *current = None;
            return;
        }
        wait = limit.saturating_sub(unused);
    }
}

/// One run's use of the connection. Unless it is marked as intact, the connection is removed from the cache when this is dropped.
struct ConnectionGuard<'a, C: Connect> {
    cached: &'a CachedConnection<C>,
    connection: Arc<C::Connection>,
    intact: bool,
}

impl<C: Connect> Drop for ConnectionGuard<'_, C> {
    fn drop(&mut self) {
        let mut current = self.cached.current.lock();
        let own = |cached: &&mut Cached<_>| Arc::ptr_eq(&cached.connection, &self.connection);
        let Some(cached) = current.as_mut().filter(own) else { return };
        if self.intact {
            cached.last_used = Instant::now();
        } else {
            self.cached.retire(&self.connection);
            *current = None;
        }
    }
}

#[cfg(test)]
mod tests;
