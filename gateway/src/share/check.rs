//! A check with results that replicas share, and the lease of one run.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use probe::{Observation, Secret};
use redis_client::Reply;
use tokio::time::sleep;

use super::record::{MAX_SIZE, Record, as_micros, micros};
use super::scripts::{ACQUIRE, PUBLISH, RENEW};
use super::store::Store;
use crate::runner::{HOST, Outcome};

/// How long a lease lasts: how late another replica takes over the run of one that was killed.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// How often the lease of a run is renewed.
const RENEWAL: Duration = Duration::from_millis(500);

/// How long after a result the process that ran the check is asked to run it again.
const AT_HOME: Duration = Duration::from_mins(1);

/// How long that process has to react.
const REACTION: Duration = Duration::from_millis(100);

/// How long a key is kept beyond the time for which its result is used.
const KEPT: Duration = Duration::from_mins(1);

/// What is done with a result of another replica.
pub(crate) trait Listener: Send + Sync + 'static {
    /// Takes over a result.
    fn receive(&self, run: SharedRun);

    /// Runs the check for another replica.
    fn run(self: Arc<Self>);

    /// Wakes a run that waits for another replica, since there is a result that is not received.
    fn wake(&self);
}

/// A check with results that replicas share.
pub(crate) struct SharedCheck {
    store: Arc<Store>,
    key: String,
    channel: String,
    mac: hmac::Key,
    target: String,
    /// How long the key is kept.
    expiry: Duration,
    listener: Weak<dyn Listener>,
}

/// A result of another replica.
pub(crate) struct SharedRun {
    pub(crate) outcome: Outcome,
    pub(crate) durations: Vec<(&'static str, Duration)>,
    pub(crate) observations: Vec<Observation>,
    /// The number of its lease.
    pub(crate) fence: u64,
}

/// What the store says about the next run.
pub(crate) enum Acquired {
    /// This replica runs the check, and publishes the result.
    Lease(Lease),
    /// Another replica has run it.
    Run(SharedRun),
    /// Another replica runs it, for at most this long.
    Held(Duration),
    /// There is a record that is not authentic or makes no sense.
    Ignored,
    /// The store has answered too late.
    Late,
    /// The store is not available.
    Unavailable,
}

/// The right to publish the result of a run.
pub(crate) struct Lease {
    check: Arc<SharedCheck>,
    owner: String,
    fence: u64,
    /// The time of the store when the lease was given, and when that was received.
    given: (i64, Instant),
}

/// What distinguishes a check from others.
pub(crate) struct Identity<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) check: &'a str,
    pub(crate) target: &'a str,
    /// A digest of everything that its probe reads.
    pub(crate) settings: &'a [u8; 32],
    /// For how long its results are used.
    pub(crate) max_age: Duration,
}

impl SharedCheck {
    /// A check of a namespace with this access token, and what is done with results of other replicas.
    pub(crate) fn new(
        store: &Arc<Store>,
        token: &Secret,
        identity: &Identity<'_>,
        listener: Weak<dyn Listener>,
    ) -> Arc<Self> {
        let Identity { namespace, check, target, settings, max_age } = identity;
        let root = hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes());
        let mut context = hmac::Context::with_key(&root);
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        for part in [b"shared run", version, namespace.as_bytes(), check.as_bytes(), *settings] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let derived = hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref());
        let digest = HEXLOWER.encode(&hmac::sign(&derived, b"key").as_ref()[..16]);
        let prefix = store.prefix();
        let shared = Arc::new(Self {
            store: store.clone(),
            key: format!("{prefix}:{namespace}:{check}:{digest}"),
            channel: format!("{prefix}:{namespace}"),
            mac: hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&derived, b"record").as_ref()),
            target: (*target).to_owned(),
            expiry: max_age.saturating_add(LEASE).saturating_add(KEPT),
            listener,
        });
        store.add(&shared);
        shared
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// Waits until the store is unavailable.
    pub(crate) async fn alone(&self) {
        self.store.down().await;
    }

    /// A result that is younger than `max_age`, or the lease for a run, with a number greater than `fence`.
    pub(crate) async fn acquire(self: &Arc<Self>, max_age: Duration, fence: u64) -> Acquired {
        match self.request(max_age, fence).await {
            // The clock of the store may have been set, which is known now.
            Acquired::Late => self.request(max_age, fence).await,
            acquired => acquired,
        }
    }

    async fn request(self: &Arc<Self>, max_age: Duration, fence: u64) -> Acquired {
        let owner = format!("{:032x}", rand::random::<u128>());
        let (lease, age, expiry) = (as_micros(LEASE), as_micros(max_age), self.expiry.as_millis());
        let lease_age_expiry = [lease.to_string(), age.to_string(), expiry.to_string()];
        let [lease, age, expiry] = &lease_age_expiry;
        let home = [as_micros(AT_HOME).to_string(), as_micros(REACTION).to_string()];
        let (process, prefix) = (self.store.process(), self.store.prefix());
        let counts =
            [self.store.latest_reply().to_string(), MAX_SIZE.to_string(), fence.to_string()];
        let ([at_home, reaction], [latest, size, known]) = (&home, &counts);
        let arguments =
            [&*owner, lease, age, expiry, process, at_home, reaction, prefix, latest, size, known];
        let Some((reply, now)) = self.store.call(&ACQUIRE, &self.key, &arguments).await else {
            return Acquired::Unavailable;
        };
        match reply.as_slice() {
            [Reply::Text(kind), _, Reply::Text(record)] if kind == "record" => {
                self.read(record.as_bytes()).map_or(Acquired::Ignored, Acquired::Run)
            }
            [Reply::Text(kind), _, Reply::Text(left)] if kind == "held" => {
                let left = left.parse().map_or(LEASE, Duration::from_micros);
                Acquired::Held(left.min(LEASE))
            }
            [Reply::Text(kind), _, Reply::Text(fence)] if kind == "lease" => {
                let Ok(fence) = fence.parse() else { return Acquired::Ignored };
                let given = (now, Instant::now());
                Acquired::Lease(Lease { check: self.clone(), owner, fence, given })
            }
            [Reply::Text(kind), ..] if kind == "late" => Acquired::Late,
            _ => Acquired::Ignored,
        }
    }

    /// Receives a record that was published, or what another replica asks for.
    pub(super) fn receive(&self, record: &[u8]) {
        let Some(listener) = self.listener.upgrade() else { return };
        if record == b"?" {
            return listener.run();
        }
        match self.read(record) {
            Some(run) => listener.receive(run),
            None => listener.wake(),
        }
    }

    /// Reads a record, or logs why it is ignored.
    fn read(&self, record: &[u8]) -> Option<SharedRun> {
        let (now, at) = self.store.time()?;
        let record = Record::open(record, &self.mac, now, self.expiry);
        let record = record.map_err(|reason| self.store.log_ignored(&self.key, reason)).ok()?;
        let age = u64::try_from(now.saturating_sub(record.completed)).unwrap_or_default();
        let completed = at.checked_sub(Duration::from_micros(age))?;
        Some(SharedRun {
            outcome: record.outcome(&self.target, completed),
            durations: record.durations(),
            fence: record.fence,
            observations: record.observations(),
        })
    }
}

impl Lease {
    /// Its number.
    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }

    /// Renews the lease until it has ended. A store that is unavailable for a moment may still have it.
    pub(crate) async fn renew(&self) {
        let check = &*self.check;
        let (fence, lease) = (self.fence.to_string(), as_micros(LEASE).to_string());
        let expiry = check.expiry.as_millis().to_string();
        loop {
            sleep(RENEWAL).await;
            let arguments = [&*self.owner, &fence, &lease, &expiry];
            let reply = check.store.call(&RENEW, &check.key, &arguments).await;
            if reply.is_some_and(|(reply, _)| reply != [Reply::Number(1)]) {
                return;
            }
        }
    }

    /// Publishes the result of the run, and ends the lease. A result is refused if the lease has ended before.
    pub(crate) async fn publish(
        &self,
        outcome: &Outcome,
        durations: &[(&'static str, Duration)],
        observations: &[Observation],
    ) {
        let check = &*self.check;
        let (given, received) = self.given;
        let since = outcome.completed.saturating_duration_since(received);
        let completed = given.saturating_add_unsigned(micros(since));
        let about = (self.fence, completed, replica());
        let Some(record) = Record::new(outcome, durations, observations, about).seal(&check.mac)
        else {
            return;
        };
        let (fence, completed) = (self.fence.to_string(), completed.to_string());
        let expiry = check.expiry.as_millis().to_string();
        let arguments = [&*self.owner, &fence, &completed, &record, &expiry, &check.channel];
        let reply = check.store.call(&PUBLISH, &check.key, &arguments).await;
        if reply.is_some_and(|(reply, _)| reply == [Reply::Number(0)]) {
            tracing::info!(key = check.key, "shared result refused, its lease had ended");
        }
    }
}

/// The name of this replica.
fn replica() -> &'static str {
    std::str::from_utf8(&HOST).unwrap_or("a replica")
}

impl fmt::Debug for SharedCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}
