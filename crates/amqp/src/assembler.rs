//! Assembles messages from their frames: method, header, body.

use std::collections::HashMap;

use amq_protocol::frame::AMQPContentHeader;
use probe::Cause;

use crate::Message;
use crate::error::{too_large, unexpected};
use crate::message::properties_size;

/// The largest body of a message. A valid reply is far smaller.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// The largest size of all incomplete messages together.
const MAX_INCOMPLETE: usize = MAX_BODY + 1024 * 1024;

/// The incomplete message of each channel.
#[derive(Default)]
pub(crate) struct MessageAssembler {
    messages: HashMap<u16, PartialMessage>,
    /// The size of all of them.
    size: usize,
}

struct PartialMessage {
    /// Whether this is a `basic.deliver`. A `basic.return` is assembled and dropped.
    is_delivery: bool,
    /// The message with the body so far, and the size of the whole body.
    message: Option<(Message, usize)>,
}

impl MessageAssembler {
    /// Begins a delivered or returned message on this channel.
    pub(crate) fn begin(&mut self, channel: u16, is_delivery: bool) {
        self.remove(channel);
        self.messages.insert(channel, PartialMessage { is_delivery, message: None });
    }

    /// Adds the header. Returns the message if it is a delivery without a body.
    pub(crate) fn add_header(
        &mut self,
        channel: u16,
        header: AMQPContentHeader,
    ) -> Result<Option<Message>, Cause> {
        let partial = self.messages.get_mut(&channel).ok_or_else(|| unexpected("a header"))?;
        if partial.message.is_some() {
            return Err(unexpected("a header"));
        }
        let size = usize::try_from(header.body_size).ok().filter(|size| *size <= MAX_BODY);
        let size = size.ok_or_else(too_large)?;
        self.size += properties_size(&header.properties);
        if self.size > MAX_INCOMPLETE {
            return Err(too_large());
        }
        let message = Message { properties: header.properties, body: Vec::new() };
        partial.message = Some((message, size));
        Ok(self.take_complete(channel))
    }

    /// Adds a part of the body. Returns the message if it is a delivery and now complete.
    pub(crate) fn add_body(&mut self, channel: u16, part: &[u8]) -> Result<Option<Message>, Cause> {
        self.size += part.len();
        if self.size > MAX_INCOMPLETE {
            return Err(too_large());
        }
        let message = self.messages.get_mut(&channel).and_then(|partial| partial.message.as_mut());
        let (message, size) = message.ok_or_else(|| unexpected("a body"))?;
        if message.body.len() + part.len() > *size {
            return Err(unexpected("a body longer than announced"));
        }
        message.body.extend_from_slice(part);
        Ok(self.take_complete(channel))
    }

    /// Drops the incomplete message of a closed channel.
    pub(crate) fn remove(&mut self, channel: u16) {
        self.take(channel);
    }

    fn take(&mut self, channel: u16) -> Option<PartialMessage> {
        let partial = self.messages.remove(&channel)?;
        let size = partial.message.as_ref().map_or(0, |(message, _)| message.size());
        self.size = self.size.saturating_sub(size);
        Some(partial)
    }

    fn take_complete(&mut self, channel: u16) -> Option<Message> {
        let (message, size) = self.messages.get(&channel)?.message.as_ref()?;
        if message.body.len() < *size {
            return None;
        }
        let partial = self.take(channel)?;
        partial.message.filter(|_| partial.is_delivery).map(|(message, _)| message)
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::BasicProperties;

    use super::*;

    fn header(body_size: u64) -> AMQPContentHeader {
        AMQPContentHeader { class_id: 60, body_size, properties: BasicProperties::default() }
    }

    #[test]
    fn incomplete_messages_are_bounded_and_complete_ones_make_room() {
        let mut assembler = MessageAssembler::default();
        for _ in 0..100 {
            assembler.begin(1, true);
            assert!(assembler.add_header(1, header(MAX_BODY as u64)).expect("a header").is_none());
            let message = assembler.add_body(1, &vec![0; MAX_BODY]).expect("the largest body");
            assert_eq!(message.expect("a message").body.len(), MAX_BODY);
        }
        let header_of = |assembler: &mut MessageAssembler, channel| {
            assembler.begin(channel, true);
            assembler.add_header(channel, header(1))
        };
        let accepted =
            (1..u16::MAX).take_while(|channel| header_of(&mut assembler, *channel).is_ok());
        assert!(accepted.count() < 4_096, "headers without bodies are counted as well");
    }

    #[test]
    fn a_second_header_is_an_error() {
        let mut assembler = MessageAssembler::default();
        assembler.begin(1, true);
        assembler.add_header(1, header(1)).expect("a header");
        assert!(assembler.add_header(1, header(1)).is_err());
    }
}
