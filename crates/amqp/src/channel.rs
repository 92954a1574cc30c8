//! A channel of a connection, for one operation at a time.

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, channel, confirm};
use probe::Cause;
use tokio::sync::{mpsc, watch};

use crate::channel_ids::ChannelIds;
use crate::command::{Command, ConnectionState};
use crate::error::{ChannelError, CloseReason, connection_closed, unexpected};

/// The largest number of methods that are buffered for the receiver. An operation requests at most [`MAX_PIPELINED`].
pub(crate) const MAX_EVENTS: usize = 4096;

/// The largest number of requests in one batch.
pub(crate) const MAX_PIPELINED: usize = 1024;

/// A channel in confirm mode, which the broker may not have confirmed yet. It is closed when it is dropped.
pub(crate) struct Channel {
    pub(crate) id: u16,
    /// The number of messages published on this channel. It is also the delivery tag of the last message, by which the broker confirms it.
    pub(crate) published: u64,
    events: mpsc::Receiver<AMQPClass>,
    commands: mpsc::UnboundedSender<Command>,
    state: watch::Receiver<ConnectionState>,
    opening: Opening,
    closed_by_broker: bool,
}

/// What the broker has confirmed of the methods that open a channel.
#[derive(Clone, Copy)]
enum Opening {
    Requested,
    Open,
    InConfirmMode,
}

impl Channel {
    /// Opens a channel in confirm mode.
    ///
    /// The next methods may be sent before the broker has confirmed this: it handles the methods of a channel in their order, and ignores those after one that fails.
    pub(crate) fn open(
        ids: &ChannelIds,
        commands: &mpsc::UnboundedSender<Command>,
        state: &watch::Receiver<ConnectionState>,
    ) -> Result<Self, ChannelError> {
        let none_left = || Cause::msg("the connection has no channel left");
        let id = ids.allocate().ok_or_else(none_left)?;
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let opened = Self {
            id,
            published: 0,
            events,
            commands: commands.clone(),
            state: state.clone(),
            opening: Opening::Requested,
            closed_by_broker: false,
        };
        let methods = [
            AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})),
            AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false })),
        ];
        let frames = methods.map(|method| AMQPFrame::Method(id, method)).into();
        opened.command(Command::OpenChannel { channel: id, events: sender, frames });
        Ok(opened)
    }

    /// Sends methods in one batch.
    pub(crate) fn send(&self, methods: impl IntoIterator<Item = AMQPClass>) {
        let frames = methods.into_iter().map(|method| AMQPFrame::Method(self.id, method));
        self.send_frames(frames.collect());
    }

    pub(crate) fn send_frames(&self, frames: Vec<AMQPFrame>) {
        self.command(Command::Send(frames));
    }

    /// Receives the next method on this channel, after those that confirm its opening.
    pub(crate) async fn next(&mut self) -> Result<AMQPClass, ChannelError> {
        loop {
            let method = self.receive().await?;
            self.opening = match (self.opening, &method) {
                (Opening::Requested, AMQPClass::Channel(channel::AMQPMethod::OpenOk(_))) => {
                    Opening::Open
                }
                (Opening::Open, AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_))) => {
                    Opening::InConfirmMode
                }
                (Opening::InConfirmMode, _) => return Ok(method),
                (Opening::Requested | Opening::Open, _) => {
                    return Err(unexpected("an answer").into());
                }
            };
        }
    }

    async fn receive(&mut self) -> Result<AMQPClass, ChannelError> {
        let event = tokio::select! {
            biased;
            event = self.events.recv() => event,
            // A command that is sent while the I/O loop ends stays in the queue, with the sender of these events.
            _ = self.state.wait_for(|state| state.ended.is_some()) => self.events.try_recv().ok(),
        };
        match event {
            Some(AMQPClass::Channel(channel::AMQPMethod::Close(close))) => {
                self.closed_by_broker = true;
                let text = close.reply_text.to_string();
                Err(ChannelError::Closed(CloseReason { code: close.reply_code, text }))
            }
            Some(method) => Ok(method),
            None => {
                let ended = self.state.borrow().ended.clone();
                Err(ended.unwrap_or_else(connection_closed).into())
            }
        }
    }

    /// Receives the next method, which is an error unless `read` returns a value for it.
    pub(crate) async fn expect<T>(
        &mut self,
        read: impl FnOnce(AMQPClass) -> Option<T>,
    ) -> Result<T, ChannelError> {
        let method = self.next().await?;
        read(method).ok_or_else(|| unexpected("an answer").into())
    }

    /// Whether no more methods will be received.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed_by_broker || self.events.is_closed()
    }

    fn command(&self, command: Command) {
        // This fails if the I/O loop has ended, which `next` reports.
        let _ended = self.commands.send(command);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if !self.is_closed() {
            self.command(Command::CloseChannel(self.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_channel_whose_opening_is_never_sent_ends_with_the_connection() {
        let (commands, _queue) = mpsc::unbounded_channel();
        let (sender, state) = watch::channel(ConnectionState::default());
        let mut channel = Channel::open(&ChannelIds::new(0), &commands, &state).expect("an id");
        sender.send_modify(|state| state.ended = Some(Cause::msg("closed by the broker")));
        let Err(ChannelError::Other(cause)) = channel.next().await else {
            panic!("the connection has ended");
        };
        assert_eq!(cause.text(), "closed by the broker");
    }
}
