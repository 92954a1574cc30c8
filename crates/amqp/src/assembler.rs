//! Assembles messages from their frames: method, header, body.

use std::collections::HashMap;

use amq_protocol::frame::AMQPContentHeader;
use probe::Cause;

use crate::Message;
use crate::error::{too_large, unexpected};

/// The largest body of a message, and of all incomplete messages together. A valid reply is far smaller.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// The incomplete message of each channel.
#[derive(Default)]
pub(crate) struct MessageAssembler(HashMap<u16, PartialMessage>);

struct PartialMessage {
    /// Whether this is a `basic.deliver`. A `basic.return` is assembled and dropped.
    is_delivery: bool,
    /// The message with the body so far, and the size of the whole body.
    message: Option<(Message, usize)>,
}

impl MessageAssembler {
    /// Begins a delivered or returned message on this channel.
    pub(crate) fn begin(&mut self, channel: u16, is_delivery: bool) {
        self.0.insert(channel, PartialMessage { is_delivery, message: None });
    }

    /// Adds the header. Returns the message if it is a delivery without a body.
    pub(crate) fn add_header(
        &mut self,
        channel: u16,
        header: AMQPContentHeader,
    ) -> Result<Option<Message>, Cause> {
        let partial = self.0.get_mut(&channel).ok_or_else(|| unexpected("a header"))?;
        let size = usize::try_from(header.body_size).ok().filter(|size| *size <= MAX_BODY);
        let size = size.ok_or_else(too_large)?;
        let message = Message { properties: header.properties, body: Vec::new() };
        partial.message = Some((message, size));
        Ok(self.take_complete(channel))
    }

    /// Adds a part of the body. Returns the message if it is a delivery and now complete.
    pub(crate) fn add_body(&mut self, channel: u16, part: &[u8]) -> Result<Option<Message>, Cause> {
        let incomplete = self.0.values().filter_map(|partial| partial.message.as_ref());
        let buffered: usize = incomplete.map(|(message, _)| message.body.len()).sum();
        if buffered + part.len() > MAX_BODY {
            return Err(too_large());
        }
        let message = self.0.get_mut(&channel).and_then(|partial| partial.message.as_mut());
        let (message, size) = message.ok_or_else(|| unexpected("a body"))?;
        if message.body.len() + part.len() > *size {
            return Err(unexpected("a body longer than announced"));
        }
        message.body.extend_from_slice(part);
        Ok(self.take_complete(channel))
    }

    /// Drops the incomplete message of a closed channel.
    pub(crate) fn remove(&mut self, channel: u16) {
        self.0.remove(&channel);
    }

    fn take_complete(&mut self, channel: u16) -> Option<Message> {
        let (message, size) = self.0.get(&channel)?.message.as_ref()?;
        if message.body.len() < *size {
            return None;
        }
        let partial = self.0.remove(&channel)?;
        partial.message.filter(|_| partial.is_delivery).map(|(message, _)| message)
    }
}
