//! The rule for trusting a connection, with connections that are only numbers.

use std::sync::atomic::AtomicBool;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;
use crate::Cause;

/// Opens numbered connections.
#[derive(Default)]
struct Numbers {
    opened: AtomicU64,
    refuses: AtomicBool,
    /// Whether opening waits until the test lets it go on.
    waits: AtomicBool,
    go_on: Notify,
}

struct Number {
    number: u64,
    closed: AtomicBool,
}

impl Connect for Numbers {
    type Connection = Number;

    async fn connect(&self, steps: &Steps) -> Result<Number, Failure> {
        steps.begin("connect");
        let number = self.opened.fetch_add(1, Ordering::SeqCst) + 1;
        if self.waits.load(Ordering::SeqCst) {
            self.go_on.notified().await;
        }
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Failure::msg("connect", format!("refused {number}")));
        }
        Ok(Number { number, closed: AtomicBool::new(false) })
    }

    fn is_closed(connection: &Number) -> bool {
        connection.closed.load(Ordering::SeqCst)
    }
}

fn lost() -> Failure {
    Failure::new("ask", Cause::msg("connection reset").connection_lost())
}

/// One run that does `work`.
async fn run<T, W, F>(kept: &CachedConnection<Numbers>, work: W) -> Result<T, Failure>
where
    W: Fn(Arc<Number>) -> F + Send + Sync,
    F: Future<Output = Result<T, Failure>> + Send,
{
    kept.run(&Steps::new(), work).await
}

/// The number of the connection that a run used.
async fn used(kept: &CachedConnection<Numbers>) -> u64 {
    run(kept, |connection| async move { Ok(connection.number) }).await.expect("a connection")
}

#[tokio::test]
async fn one_connection_serves_every_run() {
    let kept = CachedConnection::new(Numbers::default());
    assert_eq!((used(&kept).await, used(&kept).await), (1, 1));
}

#[tokio::test]
async fn a_kept_connection_that_turns_out_lost_is_replaced_within_the_run() {
    let kept = CachedConnection::new(Numbers::default());
    used(&kept).await;
    let lost_once = |connection: Arc<Number>| async move {
        if connection.number == 1 { Err(lost()) } else { Ok(connection.number) }
    };
    assert_eq!(run(&kept, lost_once).await.expect("the second one"), 2);
    assert_eq!(used(&kept).await, 2);
}

#[tokio::test]
async fn a_fresh_connection_that_is_lost_decides() {
    let kept = CachedConnection::new(Numbers::default());
    let lose = |_| async { Err::<(), _>(lost()) };
    assert_eq!(run(&kept, lose).await.expect_err("lost").render(""), "ask: connection reset");
    assert_eq!(kept.connector().opened.load(Ordering::SeqCst), 1);
    used(&kept).await;
    assert!(run(&kept, lose).await.is_err(), "the one fresh attempt was lost as well");
    assert_eq!(kept.connector().opened.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_bad_answer_is_no_reason_for_another_connection() {
    let kept = CachedConnection::new(Numbers::default());
    let bad = || async { Err::<(), _>(Failure::msg("ask", "read-only")) };
    assert!(run(&kept, |_| bad()).await.is_err());
    assert_eq!(used(&kept).await, 1);
}

#[tokio::test]
async fn a_connection_known_to_be_closed_is_not_tried() {
    let kept = CachedConnection::new(Numbers::default());
    let close = |connection: Arc<Number>| async move {
        connection.closed.store(true, Ordering::SeqCst);
        Ok(())
    };
    run(&kept, close).await.expect("closed");
    assert_eq!(used(&kept).await, 2);
}

#[tokio::test]
async fn a_run_that_is_cut_off_leaves_its_connection_to_nobody() {
    let kept = CachedConnection::new(Numbers::default());
    used(&kept).await;
    tokio::select! {
        biased;
        _ = run(&kept, |_| std::future::pending::<Result<(), Failure>>()) => panic!("it never ends"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(used(&kept).await, 2);
}

/// Twenty runs, of which the first is opening a connection when the others ask; then the attempt goes on.
async fn twenty_runs(kept: &Arc<CachedConnection<Numbers>>) -> Vec<Result<u64, String>> {
    kept.connector().waits.store(true, Ordering::SeqCst);
    let mut runs = JoinSet::new();
    for _ in 0..20 {
        let kept = kept.clone();
        runs.spawn(async move { run(&kept, |it| async move { Ok(it.number) }).await });
    }
    while kept.connector().opened.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    kept.connector().waits.store(false, Ordering::SeqCst);
    kept.connector().go_on.notify_one();
    let results = runs.join_all().await.into_iter();
    results.map(|result| result.map_err(|failure| failure.render(""))).collect()
}

#[tokio::test]
async fn runs_at_the_same_time_share_one_connection() {
    let kept = Arc::new(CachedConnection::new(Numbers::default()));
    assert_eq!(twenty_runs(&kept).await, vec![Ok(1); 20]);
    assert_eq!(kept.connector().opened.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn runs_at_the_same_time_share_a_failure_that_is_not_older_than_their_question() {
    let kept = Arc::new(CachedConnection::new(Numbers::default()));
    kept.connector().refuses.store(true, Ordering::SeqCst);
    let refused: Vec<_> = twenty_runs(&kept).await.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 20);
    // Those who asked while the first attempt was under way share a second one.
    let attempts = kept.connector().opened.load(Ordering::SeqCst);
    assert!(attempts <= 2, "{attempts}: {refused:?}");
}

#[tokio::test]
async fn a_later_run_makes_an_attempt_of_its_own_after_a_failure() {
    let kept = CachedConnection::new(Numbers::default());
    kept.connector().refuses.store(true, Ordering::SeqCst);
    assert!(run(&kept, |_| async { Ok(()) }).await.is_err());
    kept.connector().refuses.store(false, Ordering::SeqCst);
    assert_eq!(used(&kept).await, 2);
}

#[tokio::test]
async fn a_run_on_a_fresh_connection_leaves_the_kept_one_alone() {
    let kept = CachedConnection::new(Numbers::default());
    used(&kept).await;
    let steps = Steps::new();
    let number = |connection: Arc<Number>| async move { Ok(connection.number) };
    assert_eq!(kept.run_fresh(&steps, number).await.expect("a connection"), 2);
    assert_eq!(used(&kept).await, 1);
}
