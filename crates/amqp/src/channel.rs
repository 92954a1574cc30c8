//! A channel of a connection, for one conversation at a time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, channel, confirm};
use probe::Cause;
use tokio::sync::{mpsc, watch};

use crate::task::{Order, State};
use crate::words::{Broken, Refusal, closed, unexpected};

/// The numbers of the channels in use, shared by the connection's handle and its task.
#[derive(Clone, Default)]
pub(crate) struct Numbers(Arc<Mutex<BTreeSet<u16>>>);

impl Numbers {
    /// The lowest free number.
    pub(crate) fn take(&self) -> Option<u16> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (1..=u16::MAX).find(|number| !used.contains(number))?;
        used.insert(free);
        Some(free)
    }

    pub(crate) fn give_back(&self, number: u16) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }
}

/// An open channel; the broker confirms what is published on it. Dropped, it is closed.
pub(crate) struct Channel {
    pub(crate) number: u16,
    /// How many messages were published on it: the broker counts as well, and confirms by number.
    pub(crate) published: u64,
    events: mpsc::UnboundedReceiver<AMQPClass>,
    orders: mpsc::UnboundedSender<Order>,
    state: watch::Receiver<State>,
    closed: bool,
}

impl Channel {
    pub(crate) async fn open(
        numbers: &Numbers,
        orders: &mpsc::UnboundedSender<Order>,
        state: &watch::Receiver<State>,
    ) -> Result<Self, Broken> {
        let full = || Broken::Otherwise(Cause::msg("the connection has no channel left"));
        let number = numbers.take().ok_or_else(full)?;
        let (sender, events) = mpsc::unbounded_channel();
        let mut opened = Self {
            number,
            published: 0,
            events,
            orders: orders.clone(),
            state: state.clone(),
            closed: false,
        };
        let frames = [
            AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})),
            AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false })),
        ];
        let frames = frames.map(|method| AMQPFrame::Method(number, method)).into();
        opened.order(Order::Begin { channel: number, events: sender, frames });
        opened
            .expect("an answer", |method| {
                matches!(method, AMQPClass::Channel(channel::AMQPMethod::OpenOk(_))).then_some(())
            })
            .await?;
        opened
            .expect("an answer", |method| {
                matches!(method, AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_))).then_some(())
            })
            .await?;
        Ok(opened)
    }

    /// Sends methods together.
    pub(crate) fn send(&self, methods: impl IntoIterator<Item = AMQPClass>) {
        let frames = methods.into_iter().map(|method| AMQPFrame::Method(self.number, method));
        self.send_frames(frames.collect());
    }

    pub(crate) fn send_frames(&self, frames: Vec<AMQPFrame>) {
        self.order(Order::Send(frames));
    }

    /// The next method of the broker on this channel.
    pub(crate) async fn next(&mut self) -> Result<AMQPClass, Broken> {
        match self.events.recv().await {
            Some(AMQPClass::Channel(channel::AMQPMethod::Close(close))) => {
                self.closed = true;
                let text = close.reply_text.to_string();
                Err(Broken::Refused(Refusal { code: close.reply_code, text }))
            }
            Some(method) => Ok(method),
            None => {
                let ended = self.state.borrow().ended.clone();
                Err(Broken::Otherwise(ended.unwrap_or_else(closed)))
            }
        }
    }

    /// What `read` makes of the next method, which is not anything else.
    pub(crate) async fn expect<T>(
        &mut self,
        what: &str,
        read: impl FnOnce(AMQPClass) -> Option<T>,
    ) -> Result<T, Broken> {
        let method = self.next().await?;
        read(method).ok_or_else(|| Broken::Otherwise(unexpected(what)))
    }

    /// Whether nothing will come on it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.closed || self.events.is_closed()
    }

    fn order(&self, order: Order) {
        // Without a task the connection is over, which the next wait for an answer tells.
        let _over = self.orders.send(order);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if !self.is_over() {
            self.order(Order::Close(self.number));
        }
    }
}
