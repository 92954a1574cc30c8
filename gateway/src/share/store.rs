//! The connections to the store of shared results, and whether it is available.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probe::{Failure, Grant, Steps};
use redis_client::{Command, Redis, Reply, Script, Subscription, literal_pattern};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::check::SharedCheck;
use super::record::as_micros;
use super::scripts::PROBE;
use crate::rate_limit::RateLimit;

/// The step of each script.
const STEP: &str = "share";

/// How long a run waits for the store. Tests of many replicas in one thread need longer.
const CALL_TIMEOUT: Duration = Duration::from_millis(if cfg!(test) { 2000 } else { 100 });

/// How long the task that restores the connections waits for the store.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest pause before the connections are restored: at first, and after many failures.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];

/// How many ignored records are logged each second.
const LINES_PER_SECOND: u32 = 1;

/// A Redis in which replicas share results.
pub struct Store {
    redis: Arc<Redis>,
    prefix: String,
    /// A random name of this process.
    process: String,
    state: watch::Sender<State>,
    /// The time of the store at a time of this process, from the last reply.
    clock: Mutex<Option<(i64, Instant)>>,
    /// The checks by their keys.
    checks: Mutex<HashMap<String, Weak<SharedCheck>>>,
    /// Notified when the store fails, and when there are new checks.
    changed: Arc<Notify>,
    is_followed: AtomicBool,
    ignored_lines: Mutex<RateLimit>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has not been used yet.
    Unknown,
    Up,
    Down,
}

impl Store {
    /// A store in this Redis, with keys and channels that begin with `prefix`. Nothing is sent yet.
    pub(crate) fn new(redis: Redis, prefix: String) -> Self {
        let stop = CancellationToken::new();
        Self {
            redis: Arc::new(redis),
            prefix,
            process: format!("{:032x}", rand::random::<u128>()),
            state: watch::Sender::new(State::Unknown),
            clock: Mutex::default(),
            checks: Mutex::default(),
            changed: Arc::default(),
            is_followed: AtomicBool::default(),
            ignored_lines: Mutex::new(RateLimit::new(Instant::now())),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn process(&self) -> &str {
        &self.process
    }

    /// Whether the store is available, or `None` as long as it has not been used.
    pub(crate) fn is_up(&self) -> Option<bool> {
        let state = *self.state.borrow();
        (state != State::Unknown).then_some(state == State::Up)
    }

    fn is_down(&self) -> bool {
        *self.state.borrow() == State::Down
    }

    /// Waits until the store is unavailable.
    pub(super) async fn down(&self) {
        // The sender is `self`, so this returns only for that reason.
        drop(self.state.subscribe().wait_for(|state| *state == State::Down).await);
    }

    /// What the store must grant.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let names = ["EVALSHA", "EVAL", "TIME", "HMGET", "HSET", "HDEL", "PEXPIRE", "PUBLISH"];
        let names = names.into_iter().chain(["SUBSCRIBE"]);
        let commands: Vec<_> = names.map(|name| Command::new(STEP, name, [])).collect();
        let pattern = format!("{}:*", literal_pattern(&self.prefix));
        self.redis.grants(&commands, &[format!("~{pattern}"), format!("&{pattern}")])
    }

    /// Adds a check, which receives what is published under its key from then on.
    ///
    /// Within a runtime, the store is connected at once, so that its first run need not wait for that.
    pub(super) fn add(self: &Arc<Self>, check: &Arc<SharedCheck>) {
        let mut checks = self.checks.lock();
        checks.retain(|_, check| check.strong_count() > 0);
        checks.insert(check.key().to_owned(), Arc::downgrade(check));
        drop(checks);
        self.changed.notify_one();
        if Handle::try_current().is_ok() && !self.is_followed.swap(true, Ordering::Relaxed) {
            let follow = follow(Arc::downgrade(self), self.redis.clone(), self.changed.clone());
            let stop = self.stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(follow).await });
        }
    }

    /// Runs `script`, and returns its reply as a list and the time of the store. Returns `None` if the store is not available, and then it is known.
    pub(super) async fn call(
        self: &Arc<Self>,
        script: &Script,
        key: &str,
        arguments: &[&str],
    ) -> Option<(Vec<Reply>, i64)> {
        if self.is_down() { None } else { self.request(script, key, arguments).await }
    }

    /// The same, also while the store is not available.
    async fn request(
        &self,
        script: &Script,
        key: &str,
        arguments: &[&str],
    ) -> Option<(Vec<Reply>, i64)> {
        let steps = Steps::new();
        let (sent, run) =
            (Instant::now(), self.redis.run_script(&steps, STEP, script, key, arguments));
        let failure = match timeout(CALL_TIMEOUT, run).await {
            Ok(Ok(Reply::List(reply))) => {
                let now = self.read_clock(&reply, sent)?;
                return Some((reply, now));
            }
            Ok(Ok(reply)) => return Some((vec![reply], self.time()?.0)),
            Ok(Err(failure)) => failure,
            Err(_) => steps.timed_out(CALL_TIMEOUT),
        };
        self.set_down(&failure);
        None
    }

    /// Takes the time of the store from a reply.
    fn read_clock(&self, reply: &[Reply], sent: Instant) -> Option<i64> {
        let Some(Reply::Text(now)) = reply.get(1) else { return None };
        let now = now.parse().ok()?;
        // The time was read after the request was sent, so that an age is rather too high than too low.
        *self.clock.lock() = Some((now, sent));
        Some(now)
    }

    /// The time of the store, and the time of this process to which it belongs.
    pub(super) fn time(&self) -> Option<(i64, Instant)> {
        let (read, at) = (*self.clock.lock())?;
        let now = Instant::now();
        let passed = u64::try_from(now.duration_since(at).as_micros()).ok()?;
        Some((read.saturating_add_unsigned(passed), now))
    }

    /// Until when a reply to what is sent now is waited for, by the clock of the store, or 0 if that is not known.
    pub(super) fn latest_reply(&self) -> i64 {
        self.time().map_or(0, |(now, _)| now.saturating_add(as_micros(CALL_TIMEOUT)))
    }

    /// Logs that a record is ignored.
    pub(super) fn log_ignored(&self, key: &str, reason: &str) {
        if self.ignored_lines.lock().allow(LINES_PER_SECOND, Instant::now()) {
            tracing::warn!(key, reason, "shared result ignored");
        }
    }

    fn set_up(&self) {
        if self.state.send_replace(State::Up) != State::Up {
            tracing::info!(store = self.redis.target(), "share store available");
        }
    }

    fn set_down(&self, failure: &Failure) {
        if self.state.send_replace(State::Down) != State::Down {
            let error = failure.render(self.redis.target());
            tracing::warn!(store = self.redis.target(), error, "share store unavailable");
            self.changed.notify_one();
        }
    }

    /// The channels of all checks, and that of this process, in which only it is asked to run one.
    fn channels(&self) -> BTreeSet<String> {
        let checks = self.checks.lock();
        let checks = checks.values().filter_map(Weak::upgrade);
        let mut channels: BTreeSet<_> = checks.map(|check| check.channel().to_owned()).collect();
        if !channels.is_empty() {
            channels.insert(format!("{}:{}", self.prefix, self.process));
        }
        channels
    }

    fn receive(&self, message: &[u8]) {
        let Some(at) = message.iter().position(|byte| *byte == b'\n') else { return };
        let (key, record) = (&message[..at], &message[at + 1..]);
        let Ok(key) = std::str::from_utf8(key) else { return };
        let check = self.checks.lock().get(key).and_then(Weak::upgrade);
        if let Some(check) = check {
            check.receive(record);
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("redis", &self.redis)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Keeps a subscription to the channels of all checks, and restores it and the store's state after failures.
async fn follow(store: Weak<Store>, redis: Arc<Redis>, changed: Arc<Notify>) {
    let [shortest, longest] = PAUSES;
    let mut pause = shortest;
    loop {
        let began = Instant::now();
        if listen(&store, &redis, &changed).await.is_none() {
            return;
        }
        pause = if began.elapsed() > longest { shortest } else { (pause * 2).min(longest) };
        sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
    }
}

/// Replaces the connection for requests before it is too old, so that no run waits for that.
async fn renew(redis: &Redis) -> Infallible {
    let period = redis.reconnect().period().unwrap_or(CONNECT_TIMEOUT);
    loop {
        sleep(period / 8).await;
        // The connection is used until the next attempt. If it ends before, the next request fails.
        drop(timeout(CONNECT_TIMEOUT, redis.renew(&Steps::new())).await);
    }
}

/// Connects and receives messages until that fails. Returns `None` if the store is not used any more.
async fn listen(store: &Weak<Store>, redis: &Arc<Redis>, changed: &Notify) -> Option<()> {
    let mut channels = store.upgrade()?.channels();
    if channels.is_empty() {
        changed.notified().await;
        return Some(());
    }
    let steps = Steps::new();
    let (key, channel) = {
        let prefix = &store.upgrade()?.prefix;
        (format!("{prefix}:probe"), format!("{prefix}:probes"))
    };
    let connected = async {
        let subscription = redis.subscribe(&steps, &Vec::from_iter(channels.clone())).await?;
        redis.run_script(&steps, STEP, &PROBE, &key, &[&channel]).await?;
        Ok(subscription)
    };
    let connected = timeout(CONNECT_TIMEOUT, connected).await;
    let connected = connected.unwrap_or_else(|_| Err(steps.timed_out(CONNECT_TIMEOUT)));
    let mut subscription: Subscription = match connected {
        Ok(subscription) => subscription,
        Err(failure) => {
            store.upgrade()?.set_down(&failure);
            return Some(());
        }
    };
    // On the connection that is open now, it has to answer as fast as for a run.
    let probed = store.upgrade()?.request(&PROBE, &key, &[&channel]).await;
    if probed.is_none() {
        return Some(());
    }
    store.upgrade()?.set_up();
    let mut renewal = Box::pin(renew(redis));
    loop {
        tokio::select! {
            never = &mut renewal => match never {},
            message = subscription.next() => match message {
                Ok(message) => store.upgrade()?.receive(&message),
                Err(_) => return Some(()),
            },
            () = changed.notified() => {
                let current = {
                    let store = store.upgrade()?;
                    if store.is_down() {
                        return Some(());
                    }
                    store.channels()
                };
                for channel in current.difference(&channels) {
                    let added = timeout(CONNECT_TIMEOUT, subscription.add(channel)).await;
                    if !matches!(added, Ok(Ok(()))) {
                        return Some(());
                    }
                }
                channels = current;
            }
        }
    }
}
