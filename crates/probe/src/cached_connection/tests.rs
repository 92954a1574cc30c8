//! Tests of the cached connection, with numbered connections.

use std::sync::atomic::AtomicBool;

use futures_util::poll;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::advance;

use super::*;
use crate::Cause;

/// Opens numbered connections.
#[derive(Default)]
struct NumberedConnector {
    opened: AtomicU64,
    /// How many connections are open.
    open: Arc<AtomicU64>,
    /// How many were open at most.
    most_open: AtomicU64,
    refuses: AtomicBool,
    /// Whether `connect` waits for `go_on`.
    waits: AtomicBool,
    go_on: Notify,
}

struct NumberedConnection {
    number: u64,
    closed: AtomicBool,
    responded: AtomicBool,
    open: Arc<AtomicU64>,
    /// Whether a listener is asked to drop the connection.
    release: Notify,
}

impl Drop for NumberedConnection {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Connect for NumberedConnector {
    type Connection = NumberedConnection;

    fn connect<'a>(&'a self, steps: &'a Steps) -> Connecting<'a, NumberedConnection> {
        Box::pin(async move {
            steps.begin("connect");
            let number = self.opened.fetch_add(1, Ordering::SeqCst) + 1;
            if self.waits.load(Ordering::SeqCst) {
                if number == 1 {
                    steps.begin("authenticate");
                }
                self.go_on.notified().await;
            }
            if self.refuses.load(Ordering::SeqCst) {
                return Err(Failure::msg("connect", format!("refused {number}")));
            }
            let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_open.fetch_max(open, Ordering::SeqCst);
            steps.observe(observation(number));
            Ok(NumberedConnection {
                number,
                closed: AtomicBool::new(false),
                responded: AtomicBool::new(false),
                open: self.open.clone(),
                release: Notify::new(),
            })
        })
    }

    fn is_closed(connection: &NumberedConnection) -> bool {
        connection.closed.load(Ordering::SeqCst)
    }

    fn has_received_since(connection: &NumberedConnection, _since: Instant) -> bool {
        connection.responded.load(Ordering::SeqCst)
    }

    fn request_release(connection: &NumberedConnection) {
        connection.release.notify_one();
    }
}

/// The time for which [`cached`] trusts a connection.
const PERIOD: Duration = Duration::from_secs(30);

fn cached() -> CachedConnection<NumberedConnector> {
    CachedConnection::new(NumberedConnector::default(), Reconnect::after(PERIOD))
}

fn lost() -> Failure {
    Failure::new("ask", Cause::msg("connection reset").connection_lost())
}

/// What is observed when the connection with this number is opened.
fn observation(number: u64) -> Observation {
    Observation::QueueConsumers("it".into(), number)
}

/// One run that does `work`.
async fn run<T, W, F>(cached: &CachedConnection<NumberedConnector>, work: W) -> Result<T, Failure>
where
    W: Fn(Arc<NumberedConnection>) -> F + Send + Sync,
    F: Future<Output = Result<T, Failure>> + Send,
{
    cached.run(&Steps::new(), work).await
}

/// The number of the connection that a run uses.
async fn connection_of_run(cached: &CachedConnection<NumberedConnector>) -> u64 {
    run(cached, |connection| async move { Ok(connection.number) }).await.expect("a connection")
}

#[tokio::test]
async fn one_connection_serves_every_run() {
    let cached = cached();
    assert_eq!((connection_of_run(&cached).await, connection_of_run(&cached).await), (1, 1));
}

#[tokio::test]
async fn work_that_is_done_at_most_once_is_not_repeated_after_a_loss() {
    let cached = cached();
    connection_of_run(&cached).await;
    let work = |_| async { Err::<(), _>(lost()) };
    assert!(cached.run_once(&Steps::new(), work).await.is_err());
    assert_eq!(cached.connector().opened.load(Ordering::SeqCst), 1);
    assert_eq!(connection_of_run(&cached).await, 2);
}

#[tokio::test]
async fn a_reused_connection_that_is_lost_is_replaced_within_the_run() {
    let cached = cached();
    connection_of_run(&cached).await;
    let lost_once = |connection: Arc<NumberedConnection>| async move {
        if connection.number == 1 { Err(lost()) } else { Ok(connection.number) }
    };
    assert_eq!(run(&cached, lost_once).await.expect("the second one"), 2);
    assert_eq!(connection_of_run(&cached).await, 2);
}

#[tokio::test]
async fn the_loss_of_a_new_connection_is_a_failure() {
    let cached = cached();
    let lose = |_| async { Err::<(), _>(lost()) };
    assert_eq!(run(&cached, lose).await.expect_err("lost").render(""), "ask: connection reset");
    assert_eq!(cached.connector().opened.load(Ordering::SeqCst), 1);
    connection_of_run(&cached).await;
    assert!(run(&cached, lose).await.is_err(), "the new connection was lost as well");
    assert_eq!(cached.connector().opened.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_failure_other_than_a_lost_connection_keeps_the_connection() {
    let cached = cached();
    let bad = || async { Err::<(), _>(Failure::msg("ask", "read-only")) };
    assert!(run(&cached, |_| bad()).await.is_err());
    assert_eq!(connection_of_run(&cached).await, 1);
}

#[tokio::test]
async fn a_connection_known_to_be_closed_is_replaced() {
    let cached = cached();
    let close = |connection: Arc<NumberedConnection>| async move {
        connection.closed.store(true, Ordering::SeqCst);
        Ok(())
    };
    run(&cached, close).await.expect("closed");
    assert_eq!(connection_of_run(&cached).await, 2);
}

#[tokio::test]
async fn the_connection_of_a_cancelled_run_is_not_reused() {
    let cached = cached();
    connection_of_run(&cached).await;
    tokio::select! {
        biased;
        _ = run(&cached, |_| pending::<Result<(), Failure>>()) => panic!("it never ends"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(connection_of_run(&cached).await, 2);
}

/// Twenty concurrent runs. The first one's attempt to connect completes after the others have started.
async fn twenty_runs(
    cached: &Arc<CachedConnection<NumberedConnector>>,
) -> Vec<Result<u64, String>> {
    cached.connector().waits.store(true, Ordering::SeqCst);
    let mut runs = JoinSet::new();
    for _ in 0..20 {
        let cached = cached.clone();
        runs.spawn(async move { run(&cached, |it| async move { Ok(it.number) }).await });
    }
    while cached.connector().opened.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    cached.connector().waits.store(false, Ordering::SeqCst);
    cached.connector().go_on.notify_one();
    let results = runs.join_all().await.into_iter();
    results.map(|result| result.map_err(|failure| failure.render(""))).collect()
}

#[tokio::test]
async fn concurrent_runs_share_one_connection() {
    let cached = Arc::new(cached());
    assert_eq!(twenty_runs(&cached).await, vec![Ok(1); 20]);
    assert_eq!(cached.connector().opened.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn concurrent_runs_share_a_failure_that_is_not_older_than_they_are() {
    let cached = Arc::new(cached());
    cached.connector().refuses.store(true, Ordering::SeqCst);
    let refused: Vec<_> = twenty_runs(&cached).await.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 20);
    // Runs that started while the first attempt was in progress share a second one.
    let attempts = cached.connector().opened.load(Ordering::SeqCst);
    assert!(attempts <= 2, "{attempts}: {refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_the_attempt_of_another_reports_its_step() {
    let cached = cached();
    cached.connector().waits.store(true, Ordering::SeqCst);
    let steps = [Steps::new(), Steps::new(), Steps::new()];
    let current = || steps.each_ref().map(Steps::current);
    let work = |_| async { Ok(()) };
    let [mut second, mut third] = [1, 2].map(|run| Box::pin(cached.run(&steps[run], work)));
    {
        let mut first = pin!(cached.run(&steps[0], work));
        let all = async { tokio::join!(first.as_mut(), second.as_mut(), third.as_mut()) };
        assert!(timeout(PERIOD, all).await.is_err());
        assert_eq!(current(), ["authenticate"; 3]);
    }
    // The first run is cancelled, and the second makes an attempt of its own, for which the third waits.
    let mut others = pin!(async { tokio::join!(second, third) });
    assert!(timeout(TAKEOVER / 2, others.as_mut()).await.is_err());
    assert_eq!(current(), ["authenticate"; 3]);
    assert!(timeout(TAKEOVER, others.as_mut()).await.is_err());
    assert_eq!(current()[1..], ["connect"; 2]);
    // The time that it waited counts for the step of the attempt that was cancelled.
    let durations = steps[1].durations();
    let longest = durations.iter().max_by_key(|(_, duration)| *duration);
    assert_eq!(longest.map(|(step, _)| *step), Some("authenticate"), "{durations:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_an_attempt_that_has_not_begun_reports_the_first_step() {
    let cached = cached();
    let _holder = cached.opening.try_lock().expect("no attempt is under way");
    let steps = Steps::new();
    assert!(timeout(PERIOD, cached.run(&steps, |_| async { Ok(()) })).await.is_err());
    assert_eq!(steps.current(), "connect");
}

#[tokio::test]
async fn a_run_after_a_failure_connects_again() {
    let cached = cached();
    cached.connector().refuses.store(true, Ordering::SeqCst);
    assert!(run(&cached, |_| async { Ok(()) }).await.is_err());
    cached.connector().refuses.store(false, Ordering::SeqCst);
    assert_eq!(connection_of_run(&cached).await, 2);
}

#[tokio::test]
async fn a_run_on_a_connection_of_its_own_leaves_the_cached_one_alone() {
    let cached = cached();
    connection_of_run(&cached).await;
    let steps = Steps::new();
    let number = |connection: Arc<NumberedConnection>| async move { Ok(connection.number) };
    assert_eq!(cached.run_fresh(&steps, number).await.expect("a connection"), 2);
    assert_eq!(connection_of_run(&cached).await, 1);
}

fn open_connections(cached: &CachedConnection<NumberedConnector>) -> u64 {
    cached.connector().open.load(Ordering::SeqCst)
}

/// Advances the clock in steps of a second, with a run in each.
async fn run_each_second(
    cached: &CachedConnection<NumberedConnector>,
    seconds: u64,
) -> Vec<Result<u64, String>> {
    let mut numbers = Vec::new();
    for _ in 0..seconds {
        advance(Duration::from_secs(1)).await;
        let number = run(cached, |connection| async move { Ok(connection.number) }).await;
        numbers.push(number.map_err(|failure| failure.render("")));
    }
    numbers
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_replaced_and_closed() {
    let cached = cached();
    connection_of_run(&cached).await;
    run_each_second(&cached, 30).await;
    assert_eq!((connection_of_run(&cached).await, open_connections(&cached)), (2, 1));
    run_each_second(&cached, 300).await;
    // The first one is replaced early, so that connections opened together are not replaced together.
    let opened = cached.connector().opened.load(Ordering::SeqCst);
    assert!((11..=12).contains(&opened), "{opened}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_new_connections_is_noticed_within_the_period() {
    let cached = cached();
    connection_of_run(&cached).await;
    cached.connector().refuses.store(true, Ordering::SeqCst);
    let results = run_each_second(&cached, 30).await;
    assert!(results[0].is_ok());
    assert!(results[29].as_ref().is_err_and(|line| line.starts_with("connect: refused")));
    assert_eq!(open_connections(&cached), 0);
    cached.connector().refuses.store(false, Ordering::SeqCst);
    connection_of_run(&cached).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_closed_if_the_attempt_to_replace_it_is_cancelled() {
    let cached = cached();
    connection_of_run(&cached).await;
    advance(PERIOD.saturating_sub(Duration::from_millis(1))).await;
    connection_of_run(&cached).await;
    advance(PERIOD).await;
    cached.connector().waits.store(true, Ordering::SeqCst);
    let silent = run(&cached, |_| async { Ok(()) });
    assert!(timeout(Duration::from_secs(2), silent).await.is_err());
    assert_eq!(open_connections(&cached), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_in_progress_keeps_its_connection_when_another_run_replaces_it() {
    let cached = Arc::new(cached());
    let (finish, wait) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let first = tokio::spawn({
        let (cached, finish, wait) = (cached.clone(), finish.clone(), wait.clone());
        async move {
            let work = |connection: Arc<NumberedConnection>| {
                let (finish, wait) = (finish.clone(), wait.clone());
                async move {
                    wait.notify_one();
                    finish.notified().await;
                    Ok(connection.number)
                }
            };
            run(&cached, work).await
        }
    });
    wait.notified().await;
    advance(PERIOD).await;
    assert_eq!((connection_of_run(&cached).await, open_connections(&cached)), (2, 2));
    finish.notify_one();
    assert_eq!(first.await.expect("no panic").expect("the first one"), 1);
    assert_eq!((connection_of_run(&cached).await, open_connections(&cached)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_is_closed() {
    let cached = cached();
    connection_of_run(&cached).await;
    sleep(PERIOD.saturating_sub(Duration::from_secs(1))).await;
    assert_eq!(open_connections(&cached), 1);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(open_connections(&cached), 0);
    assert_eq!(connection_of_run(&cached).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_renewed_stays_open_and_is_used_until_the_next_one_is_open() {
    let cached = cached();
    for _ in 0..80 {
        cached.renew(&Steps::new()).await.expect("a connection");
        assert_eq!(open_connections(&cached), 1);
        sleep(PERIOD / 8).await;
    }
    // Ten periods, of which each connection is used for three quarters.
    let opened = || cached.connector().opened.load(Ordering::SeqCst);
    let before = opened();
    assert!((13..=15).contains(&before), "{before}");
    // A new connection is due for renewal after two thirds of its period.
    while opened() == before {
        sleep(PERIOD / 8).await;
        cached.renew(&Steps::new()).await.expect("a connection");
    }
    let opened = opened();
    cached.connector().waits.store(true, Ordering::SeqCst);
    sleep(PERIOD * 3 / 4).await;
    let steps = Steps::new();
    let mut renewal = pin!(cached.renew(&steps));
    assert!(poll!(renewal.as_mut()).is_pending());
    assert_eq!(connection_of_run(&cached).await, opened);
    cached.connector().go_on.notify_one();
    renewal.await.expect("a connection");
    assert_eq!((connection_of_run(&cached).await, open_connections(&cached)), (opened + 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_period_is_kept() {
    let cached = CachedConnection::new(NumberedConnector::default(), Reconnect::NEVER);
    connection_of_run(&cached).await;
    sleep(PERIOD * 100).await;
    assert_eq!(connection_of_run(&cached).await, 1);
}

#[tokio::test]
async fn every_run_observes_what_was_observed_when_its_connection_was_opened() {
    let cached = cached();
    for _ in 0..2 {
        let steps = Steps::new();
        cached.run(&steps, |_| async { Ok(()) }).await.expect("a connection");
        assert_eq!(steps.observations(), [observation(1)]);
    }
    let steps = Steps::new();
    cached.run_fresh(&steps, |_| async { Ok(()) }).await.expect("a connection");
    assert_eq!(steps.observations(), [observation(2)]);
}

/// The timeout of a run that may be hedged.
const TIMEOUT: Duration = Duration::from_secs(2);

/// One run within [`TIMEOUT`].
async fn run_within<T, W, F>(
    cached: &CachedConnection<NumberedConnector>,
    work: W,
) -> Option<Result<T, String>>
where
    W: Fn(Arc<NumberedConnection>) -> F + Send + Sync,
    F: Future<Output = Result<T, Failure>> + Send,
{
    let steps = Steps::within(TIMEOUT);
    let result = timeout(TIMEOUT, cached.run(&steps, work)).await.ok()?;
    Some(result.map_err(|failure| failure.render("")))
}

/// Work that only the connections from this number on answer.
async fn answered_from(number: u64, connection: Arc<NumberedConnection>) -> Result<u64, Failure> {
    if connection.number < number { pending().await } else { Ok(connection.number) }
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_replaced_within_a_quarter_of_the_timeout() {
    let cached = cached();
    connection_of_run(&cached).await;
    let began = Instant::now();
    let result = run_within(&cached, |connection| answered_from(2, connection)).await;
    assert_eq!((result, began.elapsed().as_millis() / 10), (Some(Ok(2)), 50));
    assert_eq!((connection_of_run(&cached).await, open_connections(&cached)), (2, 1));
}

/// Twenty runs that begin one after the other in this interval, and which the connections from this number on answer.
async fn overlapping_runs(
    cached: &Arc<CachedConnection<NumberedConnector>>,
    interval: Duration,
    answering: u64,
) -> Vec<Option<Result<u64, String>>> {
    connection_of_run(cached).await;
    let mut runs = JoinSet::new();
    for number in 0..20 {
        let cached = cached.clone();
        runs.spawn(async move {
            sleep(interval * number).await;
            run_within(&cached, |connection| answered_from(answering, connection)).await
        });
    }
    runs.join_all().await
}

#[tokio::test(start_paused = true)]
async fn concurrent_runs_share_the_connection_beside_a_silent_one() {
    let cached = Arc::new(cached());
    let results = overlapping_runs(&cached, Duration::from_millis(10), 2).await;
    assert_eq!(results, vec![Some(Ok(2)); 20]);
    assert_eq!(cached.connector().opened.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn there_are_never_more_than_two_connections_to_a_silent_server() {
    // With the longer intervals, runs begin after the connections of the first ones have been given up.
    for interval in [10, 150, 400] {
        let cached = Arc::new(cached());
        let results = overlapping_runs(&cached, Duration::from_millis(interval), u64::MAX).await;
        assert_eq!(results, vec![None; 20]);
        assert_eq!(cached.connector().most_open.load(Ordering::SeqCst), 2, "{interval}");
        assert_eq!(open_connections(&cached), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_closed_first_while_a_run_uses_another() {
    let cached = cached();
    connection_of_run(&cached).await;
    let mut slow = pin!(run(&cached, |connection| async move {
        connection.responded.store(true, Ordering::SeqCst);
        sleep(PERIOD * 3).await;
        Ok(connection.number)
    }));
    assert!(timeout(PERIOD, slow.as_mut()).await.is_err());
    for expected in [2, 3] {
        assert_eq!((connection_of_run(&cached).await, open_connections(&cached)), (expected, 2));
        assert!(
            timeout(PERIOD.saturating_sub(Duration::from_secs(1)), slow.as_mut()).await.is_err()
        );
        connection_of_run(&cached).await;
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(cached.connector().most_open.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_until_one_of_two_connections_is_closed_reports_that() {
    let cached = cached();
    let silent = || run_within(&cached, |_| pending::<Result<(), Failure>>());
    connection_of_run(&cached).await;
    let (mut first, mut second) = (pin!(silent()), pin!(silent()));
    let both = async { tokio::join!(first.as_mut(), second.as_mut()) };
    assert!(timeout(TIMEOUT / 2, both).await.is_err());
    drop(cached.take_current());
    let steps = Steps::within(TIMEOUT);
    let third = cached.run(&steps, |_| async { Ok(()) });
    assert!(timeout(TIMEOUT / 4, third).await.is_err());
    assert_eq!(
        steps.timed_out(TIMEOUT).render(""),
        "connect: no answer within 2s (two connections are in use already)"
    );
}

#[tokio::test(start_paused = true)]
async fn listeners_give_up_an_old_connection_when_another_is_needed() {
    let cached = cached();
    let mut listeners = JoinSet::new();
    for number in 1..=5 {
        let connection = run(&cached, |connection| async move { Ok(connection) }).await;
        let connection = connection.expect("a connection");
        assert_eq!(connection.number, number);
        listeners.spawn(async move { connection.release.notified().await });
        advance(PERIOD).await;
    }
    assert_eq!(cached.connector().most_open.load(Ordering::SeqCst), 2);
    listeners.abort_all();
}

#[tokio::test(start_paused = true)]
async fn work_beside_a_busy_connection_is_done_on_the_next_one() {
    let cached = cached();
    let number = |connection: Arc<NumberedConnection>| async move { Ok(connection.number) };
    let busy = run(&cached, |connection| async move { Ok(connection) }).await.expect("the first");
    for _ in 0..2 {
        let beside = cached.run_beside(&busy, &Steps::new(), number).await;
        assert_eq!(beside.expect("a connection"), 2);
    }
    assert_eq!((connection_of_run(&cached).await, open_connections(&cached)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_on_a_silent_server_names_the_step_on_the_reused_connection() {
    let cached = cached();
    connection_of_run(&cached).await;
    cached.connector().waits.store(true, Ordering::SeqCst);
    let steps = Steps::within(TIMEOUT);
    let work = |_| async {
        steps.begin("query");
        pending::<Result<(), Failure>>().await
    };
    assert!(timeout(TIMEOUT, cached.run(&steps, work)).await.is_err());
    assert_eq!((steps.current(), cached.connector().opened.load(Ordering::SeqCst)), ("query", 2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_responds_is_waited_for() {
    let cached = cached();
    connection_of_run(&cached).await;
    let slow = |connection: Arc<NumberedConnection>| async move {
        connection.responded.store(true, Ordering::SeqCst);
        sleep(TIMEOUT / 2).await;
        Ok(connection.number)
    };
    assert_eq!(run_within(&cached, slow).await, Some(Ok(1)));
    assert_eq!(cached.connector().opened.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn the_connection_that_responds_first_is_the_only_one_left() {
    let cached = cached();
    connection_of_run(&cached).await;
    let (begin, open) = (Duration::from_millis(100), cached.connector().open.clone());
    let work = |connection: Arc<NumberedConnection>| {
        let open = open.clone();
        async move {
            // The first connection would answer in the second second.
            sleep(if connection.number == 1 { TIMEOUT / 2 } else { begin }).await;
            connection.responded.store(true, Ordering::SeqCst);
            sleep(begin).await;
            Ok((connection.number, open.load(Ordering::SeqCst)))
        }
    };
    assert_eq!(run_within(&cached, work).await, Some(Ok((2, 1))));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_cancels_the_attempt_beside_it() {
    let cached = cached();
    connection_of_run(&cached).await;
    cached.connector().waits.store(true, Ordering::SeqCst);
    let late = |connection: Arc<NumberedConnection>| async move {
        sleep(TIMEOUT / 2).await;
        Ok(connection.number)
    };
    assert_eq!(run_within(&cached, late).await, Some(Ok(1)));
    cached.connector().waits.store(false, Ordering::SeqCst);
    assert_eq!(connection_of_run(&cached).await, 1);
    assert_eq!(cached.connector().opened.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_beside_a_silent_one_is_the_failure() {
    let cached = cached();
    connection_of_run(&cached).await;
    cached.connector().refuses.store(true, Ordering::SeqCst);
    let result = run_within(&cached, |connection| answered_from(2, connection)).await;
    assert_eq!(result, Some(Err("connect: refused 2".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn work_that_must_not_be_done_twice_waits_for_a_silent_connection() {
    let cached = cached();
    connection_of_run(&cached).await;
    let steps = Steps::within(TIMEOUT);
    let silent = cached.run_unhedged(&steps, |connection| answered_from(2, connection));
    assert!(timeout(TIMEOUT, silent).await.is_err());
    assert_eq!(cached.connector().opened.load(Ordering::SeqCst), 1);
}
