//! When a server last sent something on a connection.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

/// When a server last sent something. The reader of a connection and its users share it.
#[derive(Clone, Debug)]
pub struct LastReceived(Arc<Mutex<Instant>>);

impl LastReceived {
    /// For a connection that is being opened.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Records that something was received.
    pub fn update(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Whether something was received at `since` or later.
    pub fn is_after(&self, since: Instant) -> bool {
        *self.0.lock() >= since
    }
}

impl Default for LastReceived {
    fn default() -> Self {
        Self::new()
    }
}
