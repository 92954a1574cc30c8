//! Passes the requests of a namespace to refresh its secrets to its reloader.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Notify, watch};

/// A handle to the refreshes of one namespace's secrets. The namespace and its reloader have one each.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefreshHandle(Arc<State>);

#[derive(Debug, Default)]
struct State {
    requested: Notify,
    /// Notified when something waits for the first refresh.
    awaited: Notify,
    /// When the last complete refresh began.
    completed: watch::Sender<Option<Instant>>,
}

impl RefreshHandle {
    /// Requests a refresh.
    pub(crate) fn request(&self) {
        self.0.requested.notify_one();
    }

    /// Waits for a request.
    pub(crate) async fn requested(&self) {
        self.0.requested.notified().await;
    }

    /// Reports the end of a refresh that began at `began`, whether it succeeded or not.
    pub(crate) fn complete(&self, began: Instant) {
        self.0.completed.send_replace(Some(began));
    }

    /// Requests a refresh and waits for the end of one that began at `since` or later.
    pub(crate) async fn refresh(&self, since: Instant) {
        let mut completed = self.0.completed.subscribe();
        self.request();
        let is_recent = |began: &Option<Instant>| began.is_some_and(|began| began >= since);
        drop(completed.wait_for(is_recent).await);
    }

    /// Whether a refresh has ended.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.completed.borrow().is_some()
    }

    /// Waits until something waits for the first refresh.
    pub(crate) async fn awaited(&self) {
        self.0.awaited.notified().await;
    }

    /// Waits for the end of the first refresh, which is not delayed any longer.
    pub(crate) async fn first(&self) {
        self.0.awaited.notify_one();
        drop(self.0.completed.subscribe().wait_for(Option::is_some).await);
    }
}
