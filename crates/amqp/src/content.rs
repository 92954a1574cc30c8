//! A message comes in several frames: its method, its header and its body; here they are put together.

use std::collections::HashMap;

use amq_protocol::frame::AMQPContentHeader;
use probe::Cause;

use crate::Message;
use crate::words::unexpected;

/// Nothing that is meant for us is nearly as long.
const MAX_BODY: u64 = 4 * 1024 * 1024;

/// The messages that have begun to arrive, each on its channel.
#[derive(Default)]
pub(crate) struct Contents(HashMap<u16, Partial>);

struct Partial {
    /// Whether it is a delivery, and not a message that came back because nobody wants it.
    delivered: bool,
    /// What is known of it, and how long it will be.
    message: Option<(Message, usize)>,
}

impl Contents {
    /// A delivery, or else a returned message, begins on this channel.
    pub(crate) fn begin(&mut self, channel: u16, delivered: bool) {
        self.0.insert(channel, Partial { delivered, message: None });
    }

    /// Its header; the message, if it is a delivery and has no body.
    pub(crate) fn header(
        &mut self,
        channel: u16,
        header: AMQPContentHeader,
    ) -> Result<Option<Message>, Cause> {
        let partial = self.0.get_mut(&channel).ok_or_else(|| unexpected("a header"))?;
        if header.body_size > MAX_BODY {
            return Err(unexpected("a message of more than 4 MiB"));
        }
        let size = usize::try_from(header.body_size).unwrap_or(usize::MAX);
        let message = Message { properties: header.properties, body: Vec::new() };
        partial.message = Some((message, size));
        Ok(self.complete(channel))
    }

    /// A part of its body; the message, if it is a delivery and this was its end.
    pub(crate) fn body(&mut self, channel: u16, part: &[u8]) -> Result<Option<Message>, Cause> {
        let message = self.0.get_mut(&channel).and_then(|partial| partial.message.as_mut());
        let (message, size) = message.ok_or_else(|| unexpected("a body"))?;
        if message.body.len() + part.len() > *size {
            return Err(unexpected("a body longer than announced"));
        }
        message.body.extend_from_slice(part);
        Ok(self.complete(channel))
    }

    /// The channel is closed, and its next one begins anew.
    pub(crate) fn forget(&mut self, channel: u16) {
        self.0.remove(&channel);
    }

    fn complete(&mut self, channel: u16) -> Option<Message> {
        let (message, size) = self.0.get(&channel)?.message.as_ref()?;
        if message.body.len() < *size {
            return None;
        }
        let partial = self.0.remove(&channel)?;
        partial.message.filter(|_| partial.delivered).map(|(message, _)| message)
    }
}
