//! Replicas that share runs through a real Redis.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use probe::{Secret, SharedResources};
use probe_testkit::FaultProxy;
use stack::redis::Redis;

use super::*;
use crate::config::{Configuration, LoadContext, SecretCache};
use crate::share::{Acquired, LEASE, Listener, SharedRun};

const TOKEN: &str = "token-of-a-fleet-in-tests";

/// A replica of a fleet.
struct Replica {
    runner: Runner,
    check: Arc<FakeCheck>,
    store: Arc<Store>,
}

/// A replica that uses the store at this URL.
fn replica_of(url: &str, behavior: Behavior, change: impl FnOnce(&mut Component)) -> Replica {
    replica_with(url, TOKEN, behavior, change)
}

fn replica_with(
    url: &str,
    token: &str,
    behavior: Behavior,
    change: impl FnOnce(&mut Component),
) -> Replica {
    let text = format!("namespace = 'tests'\naccess_token = '{token}'\n[share]\nstore = '{url}'\n");
    let (env, vault, shared) = (|_: &str| None, SecretCache::new(), SharedResources::default());
    let context = LoadContext { env: &env, vault: &vault, shared: &shared };
    let configuration = Configuration::read(Path::new("tests.toml"), &text, context);
    let store = configuration.expect("a configuration").share.expect("a store");
    let check = FakeCheck::new(behavior);
    let mut component = component("it", &check, CheckLimits { timeout: SOON, ..LIMITS });
    let Checks::Single(configured) = &mut component.checks else { panic!("a single check") };
    configured.settings.share = ShareSetting { has_store: true, chosen: Some(true) };
    change(&mut component);
    let runner = Runner::new("tests", vec![component], &ConcurrencyLimit::default(), None);
    runner.share("tests", Some((&store, &Secret::new(token))));
    Replica { runner, check, store }
}

/// A replica that is connected to this store.
async fn replica(redis: &Redis, behavior: Behavior) -> Replica {
    let replica = replica_of(&url(redis), behavior, |_| {});
    replica.wait_until_store_is(true).await;
    replica
}

fn url(redis: &Redis) -> String {
    format!("redis://127.0.0.1:{}", redis.port())
}

/// A proxy in front of the store.
fn proxy(redis: &Redis) -> FaultProxy {
    FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, redis.port())))
}

impl Replica {
    async fn status(&self, options: RunOptions) -> String {
        timeout(SOON, status(&self.runner, options)).await.expect("a report")
    }

    fn sample(&self) -> CheckSample {
        self.runner.samples(SystemTime::now()).pop().expect("a check")
    }

    /// How many of its own runs are counted.
    fn counted(&self) -> u64 {
        let statistics = self.sample().statistics;
        RunResult::ALL.into_iter().map(|result| statistics.runs(result)).sum()
    }

    async fn wait_until_store_is(&self, up: bool) {
        let known = async {
            while self.store.is_up() != Some(up) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(SOON, known).await.expect("the state of the store");
    }
}

/// A listener of a check that only the test uses.
struct Nothing;

impl Listener for Nothing {
    fn receive(&self, _: SharedRun) {}

    fn run(self: Arc<Self>) {}

    fn wake(&self) {}
}

/// The check with this name, without a runner. It receives what is published in the place of a runner's own.
fn shared_check(replica: &Replica, check: &str) -> Arc<SharedCheck> {
    check_of_namespace(replica, "tests", check)
}

fn check_of_namespace(replica: &Replica, namespace: &str, check: &str) -> Arc<SharedCheck> {
    let about = Identity {
        namespace,
        check,
        target: "fake:1",
        settings: &[0; 32],
        max_age: LIMITS.max_age,
    };
    let listener: Weak<dyn Listener> = Weak::<Nothing>::new();
    SharedCheck::new(&replica.store, &Secret::new(TOKEN), &about, listener)
}

/// The only key of the store, except for that of the gateway's own test.
fn key(redis: &Redis) -> String {
    let keys = redis.command(&["KEYS", "health-gateway:tests:*"]).expect("the keys");
    assert_eq!(keys.lines().count(), 1, "{keys}");
    keys
}

/// Waits until the result of the only run has been published, which no caller waits for.
async fn published(redis: &Redis) {
    let is_published =
        || !redis.command(&["HGET", &key(redis), "published"]).expect("a number").is_empty();
    let published = async {
        while !is_published() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, published).await.expect("it is published");
}

fn own_failure(host: &str) -> String {
    format!("ask: wrong answer, seen by {host} (fake:1)")
}

fn host() -> &'static str {
    std::str::from_utf8(&HOST).expect("a name")
}

#[tokio::test]
async fn one_replica_runs_and_the_others_serve_its_result_with_its_age() {
    let redis = Redis::start(&[]).expect("a store");
    let fleet = join_all((0..20).map(|_| replica(&redis, Behavior::Wait))).await;
    let begun = async {
        while fleet.iter().all(|replica| replica.check.runs() == 0) {
            yield_now().await;
        }
        for replica in &fleet {
            replica.check.behavior.send_replace(Behavior::Work);
        }
    };
    let reports = join_all(fleet.iter().map(|replica| replica.status(PLAIN)));
    let (statuses, ()) = tokio::join!(reports, begun);
    assert_eq!(statuses, vec!["working"; fleet.len()]);
    let runs = || fleet.iter().map(|replica| replica.check.runs()).sum::<usize>();
    assert_eq!(runs(), 1);
    for replica in &fleet {
        assert!(replica.runner.run(PLAIN).await.report.age.is_some());
        assert_eq!(replica.sample().last.map(|last| last.failed_step), Some(None));
        let is_own = replica.check.runs() == 1;
        assert_eq!(replica.sample().last.map(|last| last.is_shared), Some(!is_own));
        assert_eq!(replica.counted(), u64::from(is_own), "the others count no run");
    }
    // One that starts later takes the result from the store.
    let late = replica(&redis, Behavior::Work).await;
    assert!(timeout(SOON, late.runner.run(PLAIN)).await.unwrap().report.age.is_some());
    assert_eq!((runs(), late.check.runs()), (1, 0));
}

#[tokio::test]
async fn a_result_reaches_the_others_without_a_caller_and_names_the_replica_that_saw_it() {
    let redis = Redis::start(&[]).expect("a store");
    let (first, other) =
        (replica(&redis, Behavior::Work).await, replica(&redis, Behavior::Work).await);
    assert_eq!(first.status(PLAIN).await, "working");
    assert_eq!(other.status(PLAIN).await, "working");
    first.check.behavior.send_replace(Behavior::Fail);
    assert_eq!(first.status(FRESH).await, "ask: wrong answer (fake:1)");
    let received = async {
        while other.status(PLAIN).await != own_failure(host()) {
            yield_now().await;
        }
    };
    timeout(SOON, received).await.expect("it is published");
    assert_eq!((first.check.runs(), other.check.runs()), (2, 0));
    let overview = other.runner.overview(SystemTime::now()).pop().expect("a check");
    assert_eq!(overview.last.and_then(|last| last.seen_by).as_deref(), Some(host()));
    assert_eq!(overview.history.map(|history| history.changes().len()), Some(1));
}

#[tokio::test]
async fn a_fresh_report_runs_the_check_where_it_ran_before() {
    let redis = Redis::start(&[]).expect("a store");
    let (first, other) =
        (replica(&redis, Behavior::Work).await, replica(&redis, Behavior::Work).await);
    assert_eq!(first.status(PLAIN).await, "working");
    assert_eq!(other.status(FRESH).await, "working");
    assert_eq!((first.check.runs(), other.check.runs()), (2, 0));
}

#[tokio::test]
async fn a_rate_limited_check_is_not_run_for_a_message_before_its_result_expires() {
    let redis = Redis::start(&[]).expect("a store");
    let (limited, other) =
        (FakeCheck::rate_limited(Behavior::Work), FakeCheck::new(Behavior::Work));
    let group = |component: &mut Component| {
        let checks = [("limited", &limited), ("other", &other)].map(|(name, check)| {
            let mut configured = configured(check, CheckLimits { timeout: SOON, ..LIMITS });
            configured.settings.share = ShareSetting { has_store: true, chosen: Some(true) };
            (CheckName::new(name).expect("a name"), configured)
        });
        component.checks = Checks::Group(checks.into_iter().collect());
    };
    let replica = replica_of(&url(&redis), Behavior::Work, group);
    replica.wait_until_store_is(true).await;
    assert!(replica.runner.run(PLAIN).await.report.all_working());
    let keys = redis.command(&["KEYS", "health-gateway:tests:*"]).expect("the keys");
    let channels = redis.command(&["PUBSUB", "CHANNELS"]).expect("the channels");
    let of_process = channels.lines().find(|channel| *channel != "health-gateway:tests");
    let of_process = of_process.expect("a channel");
    // Messages are received in their order, so the check that is not rate-limited would react later.
    for round in 1..=3 {
        for name in ["it.limited", "it.other"] {
            let key = keys.lines().find(|key| key.contains(name)).expect("a key");
            redis.command(&["PUBLISH", of_process, &format!("{key}\n?")]).expect("it is sent");
        }
        let completed = async {
            while replica.counted() <= round {
                yield_now().await;
            }
        };
        timeout(SOON, completed).await.expect("the other one is run");
    }
    assert_eq!((limited.runs(), other.runs()), (1, 4));
}

#[tokio::test]
async fn another_replica_runs_the_check_if_the_last_one_does_not_react() {
    let redis = Redis::start(&[]).expect("a store");
    let first = replica(&redis, Behavior::Work).await;
    assert_eq!(first.status(PLAIN).await, "working");
    published(&redis).await;
    drop(first);
    let other = replica(&redis, Behavior::Work).await;
    assert_eq!(other.status(FRESH).await, "working");
    assert_eq!(other.check.runs(), 1);
}

#[tokio::test]
async fn a_caller_that_stops_waiting_gets_the_step_of_the_wait_for_another_replica() {
    let redis = Redis::start(&[]).expect("a store");
    let (first, other) =
        (replica(&redis, Behavior::Wait).await, replica(&redis, Behavior::Work).await);
    let no_wait = RunOptions { fresh: false, wait: Some(Duration::ZERO), deadline: None };
    assert!(first.status(no_wait).await.contains("not finished"));
    first.check.wait_for_run().await;
    let expected = "wait for the run of another replica: not finished within the 0s that the caller waits (fake:1)";
    let reported = async {
        while other.status(no_wait).await != expected {
            yield_now().await;
        }
    };
    timeout(SOON, reported).await.expect("it waits");
    first.check.behavior.send_replace(Behavior::Work);
    assert_eq!(other.status(PLAIN).await, "working");
    assert_eq!(other.check.runs(), 0);
}

#[tokio::test]
async fn replicas_with_other_settings_or_another_token_do_not_share() {
    let redis = Redis::start(&[]).expect("a store");
    let changed = |component: &mut Component| component.identity = [1; 32];
    let fleet = [
        replica(&redis, Behavior::Work).await,
        replica_of(&url(&redis), Behavior::Work, changed),
        replica_with(&url(&redis), "another-token-of-a-fleet", Behavior::Work, |_| {}),
    ];
    for replica in &fleet {
        assert_eq!(replica.status(PLAIN).await, "working");
        assert_eq!(replica.check.runs(), 1);
    }
}

#[tokio::test]
async fn a_silent_store_delays_one_run_and_those_after_it_not_at_all() {
    let redis = Redis::start(&[]).expect("a store");
    let (first, other) =
        (replica(&redis, Behavior::Work).await, replica(&redis, Behavior::Work).await);
    assert_eq!(first.status(PLAIN).await, "working");
    redis.server.pause();
    assert_eq!(first.status(FRESH).await, "working");
    assert_eq!(first.store.is_up(), Some(false));
    let acquired = shared_check(&first, "other").acquire(Duration::ZERO, 0).now_or_never();
    assert!(matches!(acquired, Some(Acquired::Unavailable)), "nothing waits any more");
    assert_eq!(first.status(FRESH).await, "working");
    assert_eq!(first.check.runs(), 3);
    redis.server.resume();
    first.wait_until_store_is(true).await;
    assert_eq!(first.status(FRESH).await, "working");
    assert_eq!(other.status(PLAIN).await, "working");
    assert_eq!((first.check.runs(), other.check.runs()), (4, 0));
}

#[tokio::test]
async fn a_store_that_was_silent_gives_no_lease_to_a_replica_that_has_stopped_waiting() {
    let redis = Redis::start(&[]).expect("a store");
    let first = replica(&redis, Behavior::Work).await;
    assert_eq!(first.status(PLAIN).await, "working");
    published(&redis).await;
    redis.server.pause();
    assert_eq!(first.status(FRESH).await, "working");
    redis.server.resume();
    first.wait_until_store_is(true).await;
    let acquired = shared_check(&first, "it").acquire(Duration::ZERO, 0).await;
    assert!(matches!(acquired, Acquired::Lease(_)), "nothing holds it");
}

#[tokio::test]
async fn a_store_that_refuses_is_unavailable_until_it_accepts() {
    let redis = Redis::start(&[]).expect("a store");
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).expect("it is full");
    let replica = replica_of(&url(&redis), Behavior::Work, |_| {});
    assert_eq!(replica.status(PLAIN).await, "working");
    assert_eq!((replica.store.is_up(), replica.counted()), (Some(false), 1));
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).expect("it is not");
    replica.wait_until_store_is(true).await;
}

#[tokio::test]
async fn an_age_does_not_include_the_time_in_which_the_store_is_connected() {
    let redis = Redis::start(&[]).expect("a store");
    let first = replica(&redis, Behavior::Work).await;
    let proxy = proxy(&redis);
    let opening = Duration::from_millis(700);
    proxy.delay_opening(opening);
    let other = replica_of(&format!("redis://{}", proxy.address()), Behavior::Work, |_| {});
    other.wait_until_store_is(true).await;
    assert_eq!(first.status(PLAIN).await, "working");
    let received = async {
        loop {
            if let Some(last) = other.sample().last {
                return last.age;
            }
            yield_now().await;
        }
    };
    let age = timeout(SOON, received).await.expect("it is published");
    assert!(age < opening, "{age:?}");
    assert_eq!(other.check.runs(), 0);
}

#[tokio::test]
async fn a_check_that_is_added_while_the_subscription_is_silent_gets_a_new_one() {
    let redis = Redis::start(&[]).expect("a store");
    let proxy = proxy(&redis);
    let replica = replica_of(&format!("redis://{}", proxy.address()), Behavior::Work, |_| {});
    replica.wait_until_store_is(true).await;
    // As if the host of the server had failed without closing its connections.
    proxy.swallow_open();
    let _check = check_of_namespace(&replica, "another", "it");
    let channel = "health-gateway:another";
    let subscribed = async {
        while !redis.command(&["PUBSUB", "CHANNELS"]).expect("a list").contains(channel) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, subscribed).await.expect("a new subscription");
}

#[tokio::test]
async fn a_store_without_a_permission_is_unavailable_until_that_is_granted() {
    let redis = Redis::start(&["user me on >my-password ~* &* +@all -publish"]).expect("a store");
    let url = format!("redis://me:my-password@127.0.0.1:{}", redis.port());
    let replica = replica_of(&url, Behavior::Work, |_| {});
    assert_eq!(replica.status(PLAIN).await, "working");
    replica.wait_until_store_is(false).await;
    redis.command(&["ACL", "SETUSER", "me", "+publish"]).expect("it is granted");
    replica.wait_until_store_is(true).await;
}

#[tokio::test]
async fn without_the_store_runs_without_a_caller_are_spread_until_callers_join() {
    let interval = Duration::from_mins(10);
    let scheduled = |component: &mut Component| {
        let Checks::Single(configured) = &mut component.checks else { panic!("a single check") };
        configured.settings.interval = interval;
    };
    let fleet: Vec<_> =
        (0..20).map(|_| replica_of("redis://127.0.0.1:1", Behavior::Work, scheduled)).collect();
    let mut due = Vec::new();
    for replica in &fleet {
        replica.wait_until_store_is(false).await;
        due.extend(replica.runner.start_due(Instant::now() + interval).0);
    }
    assert_eq!(due.len(), fleet.len());
    // Their delays are up to 10 seconds; without one, all would begin now.
    let together = async {
        while runs(&fleet) < fleet.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_millis(100), together).await.expect_err("they are delayed");
    let began = Instant::now();
    let statuses = join_all(fleet.iter().map(|replica| replica.status(PLAIN))).await;
    assert_eq!(statuses, vec!["working"; fleet.len()]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(runs(&fleet), fleet.len(), "the callers have joined");
}

#[tokio::test]
async fn a_replica_that_waits_for_longer_than_a_run_may_take_runs_the_check_by_itself() {
    let redis = Redis::start(&[]).expect("a store");
    let short = |component: &mut Component| {
        let Checks::Single(configured) = &mut component.checks else { panic!("a single check") };
        configured.settings.limits.timeout = Duration::from_millis(200);
    };
    let replica = replica_of(&url(&redis), Behavior::Work, short);
    replica.wait_until_store_is(true).await;
    let Acquired::Lease(lease) = shared_check(&replica, "it").acquire(Duration::ZERO, 0).await
    else {
        panic!("a lease")
    };
    // Something renews the lease for ever.
    let (status, ()) = tokio::join!(replica.status(PLAIN), async {
        timeout(LEASE + SOON / 10, lease.renew()).await.expect_err("it is renewed");
    });
    assert_eq!((&*status, replica.check.runs()), ("working", 1));
    assert!(redis.command(&["HGET", &key(&redis), "published"]).expect("a reply").is_empty());
}

#[tokio::test]
async fn a_forged_result_is_ignored_and_replaced() {
    let redis = Redis::start(&[]).expect("a store");
    let first = replica(&redis, Behavior::Work).await;
    assert_eq!(first.status(PLAIN).await, "working");
    published(&redis).await;
    let key = key(&redis);
    let record = redis.command(&["HGET", &key, "record"]).expect("the record");
    let forged = record.replace("\"failure\":null", "\"failure\":\"all is lost\"");
    assert_ne!(forged, record);
    redis.command(&["HSET", &key, "record", &forged]).expect("it is written");
    let other = replica(&redis, Behavior::Work).await;
    assert_eq!(other.status(PLAIN).await, "working");
    assert_eq!(first.check.runs() + other.check.runs(), 2);
    let third = replica(&redis, Behavior::Work).await;
    assert_eq!(third.status(PLAIN).await, "working");
    assert_eq!(third.check.runs(), 0, "the record is authentic again");
}

#[tokio::test]
async fn a_result_from_the_future_of_the_store_is_not_served() {
    let redis = Redis::start(&[]).expect("a store");
    let first = replica(&redis, Behavior::Work).await;
    assert_eq!(first.status(PLAIN).await, "working");
    published(&redis).await;
    // As if its clock had been set back by a minute.
    redis.command(&["HINCRBY", &key(&redis), "completed", "60000000"]).expect("it is changed");
    let other = replica(&redis, Behavior::Work).await;
    assert_eq!(other.status(PLAIN).await, "working");
    assert_eq!(first.check.runs() + other.check.runs(), 2);
}

#[tokio::test]
async fn replicas_share_again_whatever_was_written_into_the_store_once() {
    const NEVER: &str = "9000000000000000";
    for poison in [
        // A lease that never ends.
        &["HSET", "KEY", "owner", "x", "until", NEVER][..],
        // A lease that is always older than the last one.
        &["HSET", "KEY", "fence", "1e300", "published", "1e300"],
        &["HSET", "KEY", "fence", "9000000000000000000", "published", "9000000000000000000"],
        &["HSET", "KEY", "fence", "nan"],
        &["HSET", "KEY", "fence", "x", "until", "x", "owner", "", "home", "", "asked", "x"],
        // A process that does not exist was asked just now, for ever.
        &["HSET", "KEY", "completed", NEVER, "home", "x", "asked", NEVER],
        // A record that is larger than a reply may be, and one that is no record.
        &["EVAL", "redis.call('HSET', KEYS[1], 'record', string.rep('x', 2097152))", "1", "KEY"],
        &["HSET", "KEY", "record", "[[[[[[[["],
        // A key that is no hash, here and where the gateway tests the store.
        &["EVAL", "redis.call('SET', KEYS[1], 'x')", "1", "KEY"],
        &["RPUSH", "health-gateway:probe", "x"],
    ] {
        let redis = Redis::start(&[]).expect("a store");
        let first = replica(&redis, Behavior::Work).await;
        assert_eq!(first.status(PLAIN).await, "working");
        published(&redis).await;
        let key = key(&redis);
        redis.command(&["PERSIST", &key]).expect("it does not expire");
        let words: Vec<_> =
            poison.iter().map(|word| if *word == "KEY" { &key } else { *word }).collect();
        redis.command(&words).expect("it is written");
        drop(first);
        let other = replica(&redis, Behavior::Fail).await;
        assert_eq!(other.status(FRESH).await, "ask: wrong answer (fake:1)", "{poison:?}");
        let is_shared = async {
            let third = replica(&redis, Behavior::Work).await;
            while third.status(PLAIN).await != own_failure(host()) {
                yield_now().await;
            }
            assert_eq!(third.check.runs(), 0, "{poison:?}");
        };
        timeout(SOON, is_shared).await.expect("the result is shared");
        assert_eq!(other.store.is_up(), Some(true), "{poison:?}");
    }
}

#[tokio::test]
async fn a_lease_from_before_the_clock_was_set_back_has_ended() {
    let redis = Redis::start(&[]).expect("a store");
    let replica = replica(&redis, Behavior::Work).await;
    let held = shared_check(&replica, "it").acquire(Duration::ZERO, 0).await;
    assert!(matches!(held, Acquired::Lease(_)));
    // As if the clock of the store had been set back by an hour.
    redis.command(&["HINCRBY", &key(&redis), "until", "3600000000"]).expect("it is changed");
    assert_eq!(replica.status(PLAIN).await, "working");
    published(&redis).await;
}

#[tokio::test]
async fn a_process_that_was_asked_before_the_clock_was_set_back_is_asked_again() {
    let redis = Redis::start(&[]).expect("a store");
    let (first, other) =
        (replica(&redis, Behavior::Work).await, replica(&redis, Behavior::Work).await);
    assert_eq!(first.status(PLAIN).await, "working");
    published(&redis).await;
    // As if it had been asked, and the clock of the store set back by an hour.
    let now = redis.command(&["TIME"]).expect("the time");
    let now: u64 = now.lines().next().expect("the seconds").parse().expect("a number");
    let later = format!("{}000000", now + 3600);
    redis.command(&["HSET", &key(&redis), "asked", &later]).expect("it is changed");
    assert_eq!(other.status(FRESH).await, "working");
    assert_eq!((first.check.runs(), other.check.runs()), (2, 0));
}

#[tokio::test]
async fn results_are_received_from_a_server_that_has_lost_the_key_and_whose_clock_is_behind() {
    let redis = Redis::start(&[]).expect("a store");
    let fleet = [replica(&redis, Behavior::Work).await, replica(&redis, Behavior::Work).await];
    assert_eq!(fleet[0].status(PLAIN).await, "working");
    published(&redis).await;
    // As if the clock of the server had been an hour ahead.
    redis.command(&["HINCRBY", &key(&redis), "fence", "3600000000"]).expect("it is changed");
    assert_one_run_for_all(&fleet, Behavior::Fail).await;
    redis.command(&["DEL", &key(&redis)]).expect("it is lost");
    assert_one_run_for_all(&fleet, Behavior::Work).await;
}

#[tokio::test]
async fn results_are_shared_with_a_new_replica_that_has_run_the_check_on_such_a_server() {
    let redis = Redis::start(&[]).expect("a store");
    let mut fleet =
        vec![replica(&redis, Behavior::Work).await, replica(&redis, Behavior::Work).await];
    assert_eq!(fleet[0].status(PLAIN).await, "working");
    published(&redis).await;
    redis.command(&["HINCRBY", &key(&redis), "fence", "3600000000"]).expect("it is changed");
    assert_one_run_for_all(&fleet, Behavior::Fail).await;
    redis.command(&["DEL", &key(&redis)]).expect("it is lost");
    // The number of its lease is lower than the one that the others know.
    let new = replica(&redis, Behavior::Work).await;
    assert_eq!(new.status(PLAIN).await, "working");
    published(&redis).await;
    assert_eq!(new.check.runs(), 1);
    fleet.push(new);
    assert_one_run_for_all(&fleet, Behavior::Work).await;
    assert_one_run_for_all(&fleet, Behavior::Fail).await;
}

#[tokio::test]
async fn the_number_of_a_lease_is_greater_than_a_known_one_that_is_days_ahead_of_the_store() {
    let redis = Redis::start(&[]).expect("a store");
    let replica = replica(&redis, Behavior::Work).await;
    let now = redis.command(&["TIME"]).expect("the time");
    let seconds: u64 = now.lines().next().expect("the seconds").parse().expect("a number");
    let known = (seconds + 2 * 24 * 3600) * 1_000_000;
    let Acquired::Lease(lease) = shared_check(&replica, "it").acquire(Duration::ZERO, known).await
    else {
        panic!("a lease")
    };
    assert_eq!(lease.fence(), known + 1);
}

#[tokio::test]
async fn the_store_may_be_valkey() {
    let valkey = Redis::start_valkey(&[]).expect("a store");
    assert!(valkey.command(&["INFO", "server"]).expect("a text").contains("server_name:valkey"));
    let url = format!("valkey://127.0.0.1:{}", valkey.port());
    assert_shared(&url).await;
}

#[tokio::test]
async fn the_store_may_be_a_cluster() {
    let settings = ["cluster-enabled yes", "cluster-announce-ip 127.0.0.1"];
    let node = Redis::start(&settings).expect("a node");
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).expect("all slots");
    node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").expect("a cluster");
    let url = format!("redis-cluster://127.0.0.1:{}", node.port());
    assert_shared(&url).await;
}

#[tokio::test]
async fn the_store_may_be_a_primary_that_sentinel_names() {
    let primary = Redis::start(&[]).expect("a primary");
    let monitor = format!("sentinel monitor app 127.0.0.1 {} 1", primary.port());
    let sentinel = Redis::start_sentinel(&[&monitor]).expect("a sentinel");
    let url = format!("redis-sentinel://127.0.0.1:{}/1?sentinelServiceName=app", sentinel.port());
    assert_shared(&url).await;
}

/// Asserts that replicas share runs through this store, and publish their results.
async fn assert_shared(url: &str) {
    let fleet: Vec<_> = (0..3).map(|_| replica_of(url, Behavior::Work, |_| {})).collect();
    for replica in &fleet {
        replica.wait_until_store_is(true).await;
    }
    assert_eq!(fleet[0].status(PLAIN).await, "working");
    let received = async {
        while fleet.iter().any(|replica| replica.sample().last.is_none()) {
            yield_now().await;
        }
    };
    timeout(SOON, received).await.expect("it is published");
    assert_eq!(fleet.iter().map(|replica| replica.check.runs()).sum::<usize>(), 1);
    assert_one_run_for_all(&fleet, Behavior::Fail).await;
}

fn runs(fleet: &[Replica]) -> usize {
    fleet.iter().map(|replica| replica.check.runs()).sum()
}

/// Asserts that a run of any replica changes what all report. The checks behave otherwise from then on.
async fn assert_one_run_for_all(fleet: &[Replica], behavior: Behavior) {
    let before = runs(fleet);
    for replica in fleet {
        replica.check.behavior.send_replace(behavior);
    }
    let is_told = |status: String| (status == "working") == (behavior == Behavior::Work);
    assert!(is_told(fleet[0].status(FRESH).await));
    let heard = async {
        for replica in fleet {
            while !is_told(replica.status(PLAIN).await) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    timeout(SOON, heard).await.expect("all have heard of it");
    assert_eq!(runs(fleet) - before, 1);
}

#[tokio::test]
async fn the_run_of_a_replica_that_was_killed_is_taken_over_and_its_late_result_refused() {
    let redis = Redis::start(&[]).expect("a store");
    let other = replica(&redis, Behavior::Fail).await;
    let Acquired::Lease(lease) = shared_check(&other, "it").acquire(Duration::ZERO, 0).await else {
        panic!("a lease")
    };
    // Nothing renews the lease.
    assert_eq!(other.status(PLAIN).await, "ask: wrong answer (fake:1)");
    assert_eq!(other.check.runs(), 1);
    let outcome = outcome(None, Instant::now());
    lease.publish(&outcome, &[], &[]).await;
    let third = replica(&redis, Behavior::Work).await;
    assert_eq!(third.status(PLAIN).await, own_failure(host()));
}

#[tokio::test]
async fn a_run_that_ends_after_its_lease_leaves_the_result_of_a_later_lease() {
    let redis = Redis::start(&[]).expect("a store");
    let (first, other) =
        (replica(&redis, Behavior::Wait).await, replica(&redis, Behavior::Fail).await);
    let taken_over = async {
        first.check.wait_for_run().await;
        redis.command(&["HSET", &key(&redis), "until", "0"]).expect("the lease has ended");
        assert_eq!(other.status(PLAIN).await, "ask: wrong answer (fake:1)");
        while first.sample().last.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        first.check.behavior.send_replace(Behavior::Work);
    };
    let (status, ()) = tokio::join!(first.status(PLAIN), taken_over);
    assert_eq!(status, own_failure(host()));
    assert_eq!(first.status(PLAIN).await, own_failure(host()));
    assert_eq!((first.check.runs(), other.check.runs()), (1, 1));
}

#[tokio::test]
async fn the_result_of_a_later_lease_is_received_although_its_run_was_complete_before() {
    let redis = Redis::start(&[]).expect("a store");
    let replica = replica(&redis, Behavior::Work).await;
    assert_eq!(replica.status(PLAIN).await, "working");
    published(&redis).await;
    let fence = redis.command(&["HGET", &key(&redis), "fence"]).expect("the number");
    let fence: u64 = fence.parse().expect("a number");
    let check = replica.runner.checks().next().expect("a check").cached.clone();
    let before = Instant::now().checked_sub(Duration::from_secs(1)).expect("a time");
    for (line, fence, expected) in
        [("same", fence, "working"), ("later", fence + 1, "later"), ("earlier", fence - 1, "later")]
    {
        let outcome = outcome(Some(line), before);
        let (durations, observations) = (Vec::new(), Vec::new());
        check.receive(SharedRun { outcome, durations, observations, fence });
        assert_eq!(replica.status(PLAIN).await, expected);
    }
}

/// The outcome of a run of another replica, with this line if it has failed.
fn outcome(line: Option<&str>, completed: Instant) -> Outcome {
    Outcome {
        failure: line.map(Into::into),
        failed_step: line.map(|_| "ask"),
        cause: 0,
        response_time: Duration::ZERO,
        completed,
        result: if line.is_some() { RunResult::Failed } else { RunResult::Working },
        blocks: false,
        seen_by: Some("other".into()),
    }
}

#[tokio::test]
async fn a_lease_is_renewed_while_its_run_lasts() {
    let redis = Redis::start(&[]).expect("a store");
    let first = replica(&redis, Behavior::Wait).await;
    let other = shared_check(&first, "it");
    let no_wait = RunOptions { fresh: false, wait: Some(Duration::ZERO), deadline: None };
    assert!(first.status(no_wait).await.contains("not finished"));
    first.check.wait_for_run().await;
    let key = key(&redis);
    let until = || redis.command(&["HGET", &key, "until"]).expect("the end of the lease");
    let at_first = until();
    let renewed = async {
        while until() == at_first {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, renewed).await.expect("it is renewed");
    assert!(matches!(other.acquire(Duration::ZERO, 0).await, Acquired::Held(_)));
    first.check.behavior.send_replace(Behavior::Work);
    assert_eq!(first.status(PLAIN).await, "working");
}

#[tokio::test]
async fn a_lease_is_renewed_after_the_store_has_refused_for_a_moment() {
    let redis = Redis::start(&[]).expect("a store");
    let first = replica(&redis, Behavior::Wait).await;
    let no_wait = RunOptions { fresh: false, wait: Some(Duration::ZERO), deadline: None };
    assert!(first.status(no_wait).await.contains("not finished"));
    first.check.wait_for_run().await;
    redis.command(&["ACL", "SETUSER", "default", "-evalsha", "-eval"]).expect("it refuses");
    first.wait_until_store_is(false).await;
    // So that the lease does not end meanwhile, however long that takes.
    let key = key(&redis);
    let until = redis.command(&["HINCRBY", &key, "until", "60000000"]).expect("it is changed");
    redis.command(&["ACL", "SETUSER", "default", "+evalsha", "+eval"]).expect("it is granted");
    let renewed = async {
        while redis.command(&["HGET", &key, "until"]).expect("the end of the lease") == until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, renewed).await.expect("it is renewed");
    first.check.behavior.send_replace(Behavior::Work);
    assert_eq!(first.status(PLAIN).await, "working");
    published(&redis).await;
}

#[tokio::test]
async fn a_result_of_any_replica_postpones_the_next_run_of_all() {
    let redis = Redis::start(&[]).expect("a store");
    let interval = Duration::from_mins(10);
    let scheduled = |component: &mut Component| {
        let Checks::Single(configured) = &mut component.checks else { panic!("a single check") };
        configured.settings.interval = interval;
    };
    let fleet: Vec<_> =
        (0..2).map(|_| replica_of(&url(&redis), Behavior::Work, scheduled)).collect();
    assert_eq!(fleet[0].status(PLAIN).await, "working");
    assert_eq!(fleet[1].status(PLAIN).await, "working");
    for replica in &fleet {
        let next = replica.runner.start_due(Instant::now()).1.expect("it has an interval");
        let wait = next - Instant::now();
        assert!(wait + SOON > interval && wait < interval + interval / 10, "{wait:?}");
    }
    // A replica that does not know the result yet is due, and takes the result over.
    let late = replica_of(&url(&redis), Behavior::Work, scheduled);
    let (runs, _) = late.runner.start_due(Instant::now() + interval);
    assert_eq!(runs.len(), 1);
    for run in runs {
        assert!(timeout(SOON, run.result()).await.expect("a result").age.is_some());
    }
    assert_eq!((fleet[0].check.runs(), late.check.runs()), (1, 0));
}

/// Takes seconds, since the servers elect a new primary.
mod slow {
    use super::*;

    async fn fleet_at(url: &str) -> Vec<Replica> {
        let fleet: Vec<_> = (0..3).map(|_| replica_of(url, Behavior::Work, |_| {})).collect();
        wait_until_all_use_the_store(&fleet).await;
        assert_one_run_for_all(&fleet, Behavior::Work).await;
        fleet
    }

    async fn wait_until_all_use_the_store(fleet: &[Replica]) {
        for replica in fleet {
            replica.wait_until_store_is(true).await;
        }
    }

    /// Asserts that each replica runs the check by itself.
    async fn assert_alone(fleet: &[Replica]) {
        let before = runs(fleet);
        for replica in fleet {
            assert_eq!(replica.status(FRESH).await, "working");
            assert_eq!(replica.store.is_up(), Some(false));
        }
        assert_eq!(runs(fleet) - before, fleet.len());
    }

    #[tokio::test]
    async fn replicas_share_again_after_a_failover_of_sentinel() {
        let mut primary = Redis::start(&[]).expect("a primary");
        let of_primary = format!("replicaof 127.0.0.1 {}", primary.port());
        let standby = Redis::start(&[&of_primary]).expect("a standby");
        standby.wait_for(&["INFO", "replication"], "master_link_status:up").expect("it follows");
        let monitor = format!("sentinel monitor app 127.0.0.1 {} 1", primary.port());
        let down_after = "sentinel down-after-milliseconds app 500";
        let sentinel = Redis::start_sentinel(&[&monitor, down_after]).expect("a sentinel");
        sentinel.wait_for(&["SENTINEL", "MASTER", "app"], "num-slaves\n1").expect("it knows it");
        let port = sentinel.port();
        let fleet =
            fleet_at(&format!("redis-sentinel://127.0.0.1:{port}?sentinelServiceName=app")).await;

        primary.server.stop();
        assert_alone(&fleet).await;
        standby.wait_for(&["INFO", "replication"], "role:master").expect("a failover");
        wait_until_all_use_the_store(&fleet).await;
        assert_one_run_for_all(&fleet, Behavior::Fail).await;

        // The old primary returns as a replica.
        primary.server.restart().expect("it starts");
        primary.wait_for(&["INFO", "replication"], "role:slave").expect("it is demoted");
        assert_one_run_for_all(&fleet, Behavior::Work).await;
    }

    /// Three primaries of a cluster, in the order of their slots, and its URL.
    fn cluster() -> ([Redis; 3], String) {
        let nodes = [(); 3].map(|()| node());
        let addresses = nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port()));
        let [first, second, third] = &addresses;
        let create = ["--cluster", "create", first, second, third, "--cluster-yes"];
        nodes[0].command(&create).expect("a cluster");
        wait_until_complete(&nodes);
        let url = format!("redis-cluster://{first}?node={second}&node={third}");
        (nodes, url)
    }

    fn node() -> Redis {
        let settings =
            ["cluster-enabled yes", "cluster-node-timeout 500", "cluster-announce-ip 127.0.0.1"];
        Redis::start(&settings).expect("a node")
    }

    fn wait_until_complete<'a>(nodes: impl IntoIterator<Item = &'a Redis>) {
        for node in nodes {
            node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").expect("a cluster");
        }
    }

    /// The index of the node that has the key of the check, and the key.
    fn owner(nodes: &[Redis; 3]) -> (usize, String) {
        let keys = nodes.each_ref().map(|node| {
            node.command(&["KEYS", "health-gateway:tests:*"]).expect("the keys of a node")
        });
        let owner = keys.iter().position(|keys| !keys.is_empty()).expect("a key");
        (owner, keys[owner].clone())
    }

    #[tokio::test]
    async fn replicas_share_while_their_slot_moves_to_another_node() {
        let (nodes, url) = cluster();
        let fleet = fleet_at(&url).await;
        let (from, key) = owner(&nodes);
        let (source, target) = (&nodes[from], &nodes[(from + 1) % 3]);
        let id = |node: &Redis| node.command(&["CLUSTER", "MYID"]).expect("an id");
        let slot = source.command(&["CLUSTER", "KEYSLOT", &key]).expect("a slot");
        let set = |node: &Redis, state: &str, id: &str| {
            let reply = node.command(&["CLUSTER", "SETSLOT", &slot, state, id]);
            assert_eq!(reply.expect("a reply"), "OK");
        };
        set(target, "IMPORTING", &id(source));
        set(source, "MIGRATING", &id(target));
        let port = target.port().to_string();
        let moved = source.command(&["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]);
        assert_eq!(moved.expect("a reply"), "OK");
        assert_one_run_for_all(&fleet, Behavior::Fail).await;
        for node in [target, source, &nodes[(from + 2) % 3]] {
            set(node, "NODE", &id(target));
        }
        assert_one_run_for_all(&fleet, Behavior::Work).await;
        assert_eq!(owner(&nodes).1, key);
    }

    #[tokio::test]
    async fn replicas_share_again_after_a_failover_of_a_cluster() {
        let (mut nodes, url) = cluster();
        let fleet = fleet_at(&url).await;
        let (owner, key) = owner(&nodes);
        let standby = node();
        let own = format!("127.0.0.1:{}", standby.port());
        let known = format!("127.0.0.1:{}", nodes[0].port());
        let id = nodes[owner].command(&["CLUSTER", "MYID"]).expect("an id");
        let join = ["--cluster", "add-node", &own, &known, "--cluster-slave"];
        standby.command(&[&join[..], &["--cluster-master-id", &id]].concat()).expect("it joins");
        standby.wait_for(&["INFO", "replication"], "master_link_status:up").expect("it follows");

        nodes[owner].server.stop();
        assert_alone(&fleet).await;
        standby.wait_for(&["INFO", "replication"], "role:master").expect("a failover");
        let others = nodes.iter().enumerate().filter(|(at, _)| *at != owner);
        wait_until_complete(others.map(|(_, node)| node).chain([&standby]));
        wait_until_all_use_the_store(&fleet).await;
        assert_one_run_for_all(&fleet, Behavior::Fail).await;
        assert!(standby.command(&["KEYS", "health-gateway:tests:*"]).expect("keys").contains(&key));
    }
}
