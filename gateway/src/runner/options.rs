//! The options of a report: what the caller requests, and when the report stops waiting.

use std::fmt;
use std::time::{Duration, Instant};

use probe::in_seconds;

/// What a caller requests for a report.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Run every check, even if its last result has not expired.
    pub fresh: bool,
    /// How long the caller waits. A check that has not completed by then reports this as its status.
    pub wait: Option<Duration>,
    /// When the report must be complete, and how long after the start of the answer that is.
    /// A check that has not completed by then reports this as its status.
    pub deadline: Option<(Instant, Duration)>,
}

impl RunOptions {
    /// The earlier of `wait`, which counts from now, and `deadline`.
    pub(super) fn wait_limit(&self) -> Option<WaitLimit> {
        let wait = self.wait.map(|wait| WaitLimit {
            at: Instant::now() + wait,
            reason: LimitReason::CallerWait(wait),
        });
        let deadline = self
            .deadline
            .map(|(at, timeout)| WaitLimit { at, reason: LimitReason::AnswerTimeout(timeout) });
        wait.into_iter().chain(deadline).min_by_key(|limit| limit.at)
    }
}

/// When a report stops waiting for its checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitLimit {
    pub(super) at: Instant,
    pub(super) reason: LimitReason,
}

/// Why a report does not wait longer, and how long that is.
#[derive(Clone, Copy, Debug)]
pub(super) enum LimitReason {
    /// `Prefer: wait`.
    CallerWait(Duration),
    /// The setting `answer_timeout`.
    AnswerTimeout(Duration),
}

impl fmt::Display for LimitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CallerWait(wait) => write!(f, "the {}s that the caller waits", wait.as_secs()),
            Self::AnswerTimeout(timeout) => {
                write!(f, "the {} that an answer may take", in_seconds(*timeout))
            }
        }
    }
}
