//! Limits the log lines about requests without a valid token, and summarizes the others.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::rate_limit::RateLimit;

/// How many requests are logged each second.
const LINES_PER_SECOND: u32 = 10;
/// How long further ones are counted before their number is logged.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(10);
/// How many of their addresses are logged.
const MAX_PEERS: usize = 5;

/// The requests without a valid token, of one server. Clones share their state.
#[derive(Clone, Debug, Default)]
pub(super) struct RefusalLog(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    rate: Option<RateLimit>,
    refused: u64,
    peers: BTreeSet<IpAddr>,
}

impl RefusalLog {
    /// Whether a request may have a line of its own. Otherwise it is part of the next summary.
    pub(super) fn has_own_line(&self, peer: IpAddr) -> bool {
        let now = Instant::now();
        let mut state = self.0.lock();
        if state.rate.get_or_insert_with(|| RateLimit::new(now)).allow(LINES_PER_SECOND, now) {
            return true;
        }
        state.refused += 1;
        if state.peers.len() < MAX_PEERS {
            state.peers.insert(peer);
        }
        if state.refused == 1 {
            tokio::spawn(self.clone().log_summary());
        }
        false
    }

    async fn log_summary(self) {
        sleep(SUMMARY_INTERVAL).await;
        let (count, peers) = {
            let mut state = self.0.lock();
            (std::mem::take(&mut state.refused), std::mem::take(&mut state.peers))
        };
        let peers: Vec<_> = peers.iter().map(ToString::to_string).collect();
        let peers = peers.join(", ");
        tracing::info!(count, peers, "requests refused");
    }
}
