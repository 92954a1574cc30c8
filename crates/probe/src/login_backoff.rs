//! Pauses after a refused login, so that wrong credentials lock no account.

use std::future::Future;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use crate::{Failure, Fingerprint, Secret, in_short};

/// The pauses after the first refusals. The last one also follows each further refusal.
///
/// A lockout policy counts failures until it has seen none for a while, which is 15 minutes in Vault, `OpenBao` and most directories.
/// Therefore, the last pause is longer than that, and four attempts precede it at most.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(16),
];

/// How long an attempt waits for another one with the same credentials, while no login with them has succeeded.
const TURN: Duration = Duration::from_secs(1);

/// The refused logins with one set of credentials at one server.
///
/// After a refusal, attempts are suppressed for a growing pause. Until then they fail with the first refusal and its age.
/// Other failures cause no pause, and a successful login ends it. Changed credentials need a new value, or [`LoginBackoff::use_credentials`].
#[derive(Debug, Default)]
pub struct LoginBackoff {
    state: Mutex<State>,
    /// Held during an attempt while no login has succeeded, so that concurrent attempts do not repeat a refusal.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    proven: bool,
    refusal: Option<Refusal>,
    credentials: Option<Fingerprint>,
}

#[derive(Debug)]
struct Refusal {
    first: Failure,
    first_at: Instant,
    last_at: Instant,
    count: usize,
    next_attempt: Instant,
}

/// An attempt to log in that has begun.
#[derive(Clone, Copy, Debug)]
pub struct LoginAttempt {
    began: Instant,
}

impl LoginBackoff {
    /// Awaits `login`, unless its credentials were refused and the pause has not ended.
    pub async fn attempt<T>(
        &self,
        login: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let proven = self.state.lock().proven;
        let _turn = if proven { None } else { timeout(TURN, self.turn.lock()).await.ok() };
        let attempt = self.begin()?;
        match login.await {
            Ok(value) => {
                self.succeed();
                Ok(value)
            }
            Err(failure) => Err(self.fail(attempt, failure)),
        }
    }

    /// Begins an attempt, or returns the refusal while the pause lasts.
    pub fn begin(&self) -> Result<LoginAttempt, Failure> {
        let began = Instant::now();
        if let Some(refusal) = &mut self.state.lock().refusal {
            if began < refusal.next_attempt {
                return Err(refusal.report(began));
            }
            // No other attempt begins before this one has ended. If it is cancelled, the server may have refused it.
            refusal.next_attempt = began + refusal.pause();
        }
        Ok(LoginAttempt { began })
    }

    /// Records that a login succeeded.
    pub fn succeed(&self) {
        let mut state = self.state.lock();
        (state.proven, state.refusal) = (true, None);
    }

    /// Records the failure of an attempt. If it is a refusal, the first one is returned in its place.
    pub fn fail(&self, attempt: LoginAttempt, failure: Failure) -> Failure {
        let mut state = self.state.lock();
        if failure.cause().is_login_refused() {
            return state.refuse(attempt, failure);
        }
        if let Some(refusal) = &mut state.refusal {
            refusal.next_attempt = Instant::now();
        }
        failure
    }

    /// Forgets refusals of other credentials than these, for credentials that change during the lifetime of this value.
    pub fn use_credentials(&self, credentials: &Secret) {
        let credentials = Some(Fingerprint::of(credentials));
        let mut state = self.state.lock();
        if state.credentials != credentials {
            *state = State { credentials, ..State::default() };
        }
    }
}

impl State {
    fn refuse(&mut self, attempt: LoginAttempt, failure: Failure) -> Failure {
        let now = Instant::now();
        self.proven = false;
        let Some(refusal) = &mut self.refusal else {
            let first = failure.clone();
            let next_attempt = now + PAUSES[0];
            self.refusal =
                Some(Refusal { first, first_at: now, last_at: now, count: 1, next_attempt });
            return failure;
        };
        // Attempts that were in flight together count as one.
        if attempt.began >= refusal.last_at {
            refusal.count += 1;
            refusal.last_at = now;
            refusal.next_attempt = now + refusal.pause();
        }
        refusal.report(now)
    }
}

impl Refusal {
    fn pause(&self) -> Duration {
        PAUSES[self.count.min(PAUSES.len()) - 1]
    }

    /// The first refusal, with its age and the time until the next attempt.
    fn report(&self, now: Instant) -> Failure {
        let age = in_short((now - self.first_at).as_secs());
        let wait = self.next_attempt.saturating_duration_since(now).as_secs_f64().ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few minutes"
        )]
        let wait = in_short(wait as u64);
        let refused = match self.count {
            1 => format!("refused {age} ago"),
            count => format!("refused {count} times in {age}"),
        };
        self.first.clone().with_note(format!(", {refused}, next attempt in {wait}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::{join, join_all, pending};
    use tokio::time::advance;

    use super::*;
    use crate::{Cause, step};

    fn refused() -> Failure {
        let cause = Cause::msg("password authentication failed").login_refused();
        Failure::new(step::AUTHENTICATE, cause)
    }

    /// A server that counts the attempts.
    #[derive(Default)]
    struct Server(AtomicU64);

    impl Server {
        async fn refuse(&self) -> Result<(), Failure> {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Err(refused())
        }

        fn attempts(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    async fn line(backoff: &LoginBackoff, server: &Server) -> String {
        backoff.attempt(server.refuse()).await.expect_err("it refuses").render("db:5432")
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_are_not_tried_again_before_the_pause_ends() {
        let (backoff, server) = (LoginBackoff::default(), Server::default());
        let first = "authenticate: password authentication failed";
        assert_eq!(line(&backoff, &server).await, format!("{first} (db:5432)"));
        advance(Duration::from_secs(4)).await;
        let expected = format!("{first}, refused 4s ago, next attempt in 6s (db:5432)");
        assert_eq!(line(&backoff, &server).await, expected);
        assert_eq!(server.attempts(), 1);
        advance(Duration::from_secs(6)).await;
        let expected = format!("{first}, refused 2 times in 10s, next attempt in 60s (db:5432)");
        assert_eq!(line(&backoff, &server).await, expected);
        assert_eq!(server.attempts(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_four_attempts_precede_a_pause_longer_than_fifteen_minutes() {
        let (backoff, server) = (LoginBackoff::default(), Server::default());
        let (mut times, mut seen) = (Vec::new(), 0);
        for second in 0..2 * 3600_u64 {
            line(&backoff, &server).await;
            if server.attempts() > seen {
                seen = server.attempts();
                times.push(second);
            }
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(times[..6], [0, 10, 70, 370, 1330, 2290]);
        assert!(times.windows(5).all(|five| five[4] - five[0] > 900), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_refusal_remains_the_reason() {
        let backoff = LoginBackoff::default();
        backoff.attempt(async { Err::<(), _>(refused()) }).await.unwrap_err();
        advance(Duration::from_secs(10)).await;
        let locked =
            async { Err::<(), _>(Failure::new("login", Cause::msg("locked").login_refused())) };
        let line = backoff.attempt(locked).await.unwrap_err().render("");
        assert!(line.starts_with("authenticate: password authentication failed, "), "{line}");
    }

    #[tokio::test(start_paused = true)]
    async fn other_failures_cause_no_pause() {
        let backoff = LoginBackoff::default();
        let lose = || async { Err::<(), _>(Failure::msg(step::AUTHENTICATE, "connection closed")) };
        for _ in 0..3 {
            let line = backoff.attempt(lose()).await.unwrap_err().render("");
            assert_eq!(line, "authenticate: connection closed");
        }
        backoff.attempt(async { Err::<(), _>(refused()) }).await.unwrap_err();
        advance(PAUSES[0]).await;
        for _ in 0..2 {
            let line = backoff.attempt(lose()).await.unwrap_err().render("");
            assert_eq!(line, "authenticate: connection closed");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_successful_login_ends_the_pauses() {
        let (backoff, server) = (LoginBackoff::default(), Server::default());
        line(&backoff, &server).await;
        advance(PAUSES[0]).await;
        backoff.attempt(async { Ok(()) }).await.unwrap();
        let again = line(&backoff, &server).await;
        assert_eq!(again, "authenticate: password authentication failed (db:5432)");
    }

    #[tokio::test(start_paused = true)]
    async fn changed_credentials_are_tried_at_once() {
        let (backoff, server) = (LoginBackoff::default(), Server::default());
        for (credentials, attempts) in [("old", 1), ("old", 1), ("new", 2), ("new", 2)] {
            backoff.use_credentials(&Secret::new(credentials));
            line(&backoff, &server).await;
            assert_eq!(server.attempts(), attempts);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_attempts_share_the_first_refusal() {
        let (backoff, server) = (LoginBackoff::default(), Server::default());
        let lines = join_all((0..10).map(|_| line(&backoff, &server))).await;
        assert_eq!(server.attempts(), 1, "{lines:?}");
        advance(PAUSES[0]).await;
        join_all((0..10).map(|_| line(&backoff, &server))).await;
        assert_eq!(server.attempts(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_an_answer_does_not_delay_another_for_long() {
        let backoff = LoginBackoff::default();
        let silent = timeout(Duration::from_secs(5), backoff.attempt(pending::<Result<(), _>>()));
        let other = timeout(Duration::from_secs(2), backoff.attempt(async { Ok(()) }));
        let (silent, other) = join(silent, other).await;
        assert!(silent.is_err() && other.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_was_cancelled_counts_as_refused() {
        let (backoff, server) = (LoginBackoff::default(), Server::default());
        line(&backoff, &server).await;
        advance(PAUSES[0]).await;
        let cut = timeout(Duration::from_secs(2), backoff.attempt(pending::<Result<(), _>>()));
        cut.await.unwrap_err();
        line(&backoff, &server).await;
        assert_eq!(server.attempts(), 1);
    }
}
