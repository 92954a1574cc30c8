//! Encodes and decodes frames with the codec of `amq_protocol`.

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, gen_frame, parse_frame};
use amq_protocol::protocol::BasicProperties;
use bytes::{Buf, BytesMut};
use probe::Cause;

use crate::error::{not_amqp, unexpected};
use crate::field_tables::{MAX_DEPTH, TableError, verify_header, verify_method};

/// The largest frame in both directions, as negotiated with the broker.
pub(crate) const MAX_FRAME: u32 = 128 * 1024;

/// The size of a frame's header: type, channel, payload size.
const HEADER: usize = 7;

/// The type of a method frame, which may have a field table.
const METHOD: u8 = 1;
/// The type of a header frame, which may have a field table.
const CONTENT_HEADER: u8 = 2;

/// Decodes frames from received bytes.
#[derive(Default)]
pub(crate) struct FrameDecoder {
    pub(crate) buffer: BytesMut,
}

impl FrameDecoder {
    /// Decodes the next frame, if it is complete.
    pub(crate) fn next(&mut self) -> Result<Option<AMQPFrame>, Cause> {
        if self.buffer.first().is_some_and(|kind| *kind != b'A')
            && self.payload_size() > Some(MAX_FRAME)
        {
            return Err(not_amqp());
        }
        if let Some(header) = self.verify_tables()? {
            return Ok(Some(header));
        }
        let (frame, used) = match parse_frame(&self.buffer[..]) {
            Ok((rest, frame)) => (frame, self.buffer.len() - rest.len()),
            Err(error) if error.is_incomplete() => return Ok(None),
            Err(_) => return Err(not_amqp()),
        };
        self.buffer.advance(used);
        Ok(Some(frame))
    }

    /// Verifies the field table of the next frame, if the frame is complete, before the parser recurses into it.
    ///
    /// Any client of the broker can send a message to the reply queue.
    /// If its headers are too deep, this takes the frame from the buffer and returns it without properties, so that the message has no receiver.
    fn verify_tables(&mut self) -> Result<Option<AMQPFrame>, Cause> {
        let size = self.payload_size().and_then(|size| usize::try_from(size).ok());
        let frame = size.and_then(|size| self.buffer.get(..HEADER + size + 1));
        let Some(frame) = frame else { return Ok(None) };
        let (used, payload) = (frame.len(), &frame[HEADER..frame.len() - 1]);
        let verified = match frame[0] {
            METHOD => verify_method(payload),
            CONTENT_HEADER => verify_header(payload),
            _ => Ok(()),
        };
        match verified {
            Ok(()) => Ok(None),
            Err(TableError::TooDeep) if frame[0] == CONTENT_HEADER => {
                let header = without_properties(frame);
                self.buffer.advance(used);
                Ok(Some(header))
            }
            Err(TableError::TooDeep) => {
                Err(unexpected(&format!("a table of more than {MAX_DEPTH} levels")))
            }
            Err(TableError::Malformed) => Err(not_amqp()),
        }
    }

    fn payload_size(&self) -> Option<u32> {
        let size = self.buffer.get(HEADER - 4..HEADER)?;
        size.try_into().ok().map(u32::from_be_bytes)
    }
}

/// Decodes the header frame `bytes` without its properties. `verify_header` has checked the length of the fields before them.
fn without_properties(mut bytes: &[u8]) -> AMQPFrame {
    let _type = bytes.get_u8();
    let channel = bytes.get_u16();
    let _size = bytes.get_u32();
    let class_id = bytes.get_u16();
    let _weight = bytes.get_u16();
    let body_size = bytes.get_u64();
    let properties = BasicProperties::default();
    AMQPFrame::Header(channel, AMQPContentHeader { class_id, body_size, properties })
}

/// Appends `frame` to `buffer`.
pub(crate) fn encode(frame: &AMQPFrame, buffer: &mut BytesMut) -> Result<(), Cause> {
    let (bytes, _) = gen_frame(frame)(Vec::new().into())
        .map_err(|_| Cause::msg("the frame cannot be encoded"))?
        .into_inner();
    buffer.extend_from_slice(&bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Option<AMQPFrame>, Cause> {
        FrameDecoder { buffer: bytes.into() }.next()
    }

    #[test]
    fn a_frame_is_decoded_when_it_is_complete() {
        let mut bytes = BytesMut::new();
        encode(&AMQPFrame::Heartbeat, &mut bytes).expect("a heartbeat can be encoded");
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]).expect("the beginning of a frame"), None);
        }
        assert_eq!(decode(&bytes).expect("a frame"), Some(AMQPFrame::Heartbeat));
    }

    #[test]
    fn another_protocol_is_reported() {
        for text in
            ["HTTP/1.1 400 Bad Request\r\n", "-ERR unknown command\r\n", "\x01\0\0\x7f\0\0\0"]
        {
            let cause = decode(text.as_bytes()).expect_err("no AMQP");
            assert_eq!(cause.text(), "the server does not speak AMQP 0-9-1");
        }
    }
}
