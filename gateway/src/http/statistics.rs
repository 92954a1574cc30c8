//! What is counted of a server's connections and requests, for its metrics.

use std::array;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use http::StatusCode;

/// The first status code, and one more than the last that a server sends.
const CODES: (u16, u16) = (100, 600);

/// The counts of one server.
#[derive(Debug)]
pub struct ServerStatistics {
    /// The answers by their status code, from the first of [`CODES`] on.
    answers: [AtomicU64; (CODES.1 - CODES.0) as usize],
    connections: AtomicUsize,
    evicted: AtomicU64,
}

impl Default for ServerStatistics {
    fn default() -> Self {
        let answers = array::from_fn(|_| AtomicU64::new(0));
        Self { answers, connections: AtomicUsize::new(0), evicted: AtomicU64::new(0) }
    }
}

impl ServerStatistics {
    pub(super) fn count_answer(&self, status: StatusCode) {
        let index = status.as_u16().checked_sub(CODES.0).map(usize::from);
        if let Some(count) = index.and_then(|index| self.answers.get(index)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_eviction(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_connections(&self, open: usize) {
        self.connections.store(open, Ordering::Relaxed);
    }

    /// How many requests were answered with each status code that was sent.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = self.answers.iter().map(|count| count.load(Ordering::Relaxed));
        (CODES.0..).zip(counts).filter(|(_, count)| *count > 0)
    }

    /// How many connections are open now.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many connections had to make room for others.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}
