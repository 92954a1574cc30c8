//! The messages in the reply queue that one caller waits for.

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::reply_queue::Waiting;
use crate::{Connection, Message};

/// The messages in the reply queue that match a filter. The connection stays open while this exists.
pub struct Deliveries {
    messages: mpsc::UnboundedReceiver<Waiting>,
    connection: Arc<Connection>,
}

impl Connection {
    /// Listens for the messages in the reply queue that match `filter`.
    pub fn listen(
        self: &Arc<Self>,
        filter: impl Fn(&Message) -> bool + Send + 'static,
    ) -> Deliveries {
        Deliveries { messages: self.dispatcher().add(filter), connection: self.clone() }
    }
}

impl Deliveries {
    /// Receives the next message, or `None` if the connection has ended.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await.map(|(message, _)| message)
    }

    /// Waits until another connection is needed, so that a caller that outlives its run drops this.
    pub fn release_requested(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut release = self.connection.release();
        async move { drop(release.wait_for(|requested| *requested).await) }
    }

    /// Marks `exchange` as bound to the reply queue because it delivered a reply. The next request does not bind it again.
    pub fn mark_bound(&self, exchange: &str) {
        self.connection.bound_exchanges().insert(exchange.to_owned());
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").finish_non_exhaustive()
    }
}
