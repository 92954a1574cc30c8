//! Frames from and to the bytes of the connection; the codec itself is a library's.

use amq_protocol::frame::{AMQPFrame, gen_frame, parse_frame};
use bytes::{Buf, BytesMut};
use probe::Cause;

use crate::words::foreign;

/// The largest frame that we take and send; we ask the broker for no larger ones.
pub(crate) const MAX_FRAME: u32 = 128 * 1024;

/// Type, channel and size come before a frame's payload.
const HEAD: usize = 7;

/// What has arrived and not been read yet.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) bytes: BytesMut,
}

impl Inbox {
    /// The next frame, if it is there as a whole.
    pub(crate) fn next(&mut self) -> Result<Option<AMQPFrame>, Cause> {
        if self.bytes.first().is_some_and(|kind| *kind != b'A') && self.size() > Some(MAX_FRAME) {
            return Err(foreign());
        }
        let (frame, used) = match parse_frame(&self.bytes[..]) {
            Ok((rest, frame)) => (frame, self.bytes.len() - rest.len()),
            Err(error) if error.is_incomplete() => return Ok(None),
            Err(_) => return Err(foreign()),
        };
        self.bytes.advance(used);
        Ok(Some(frame))
    }

    fn size(&self) -> Option<u32> {
        let size = self.bytes.get(HEAD - 4..HEAD)?;
        size.try_into().ok().map(u32::from_be_bytes)
    }
}

/// Adds `frame` to what is to be sent.
pub(crate) fn write(frame: &AMQPFrame, out: &mut BytesMut) -> Result<(), Cause> {
    let (bytes, _) = gen_frame(frame)(Vec::new().into())
        .map_err(|_| Cause::msg("the protocol cannot express this"))?
        .into_inner();
    out.extend_from_slice(&bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<AMQPFrame>, Cause> {
        Inbox { bytes: bytes.into() }.next()
    }

    #[test]
    fn a_frame_is_read_once_it_is_whole() {
        let mut bytes = BytesMut::new();
        write(&AMQPFrame::Heartbeat, &mut bytes).expect("a heartbeat can be written");
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]).expect("the beginning of a frame"), None);
        }
        assert_eq!(read(&bytes).expect("a frame"), Some(AMQPFrame::Heartbeat));
    }

    #[test]
    fn what_is_no_frame_is_told() {
        for text in
            ["HTTP/1.1 400 Bad Request\r\n", "-ERR unknown command\r\n", "\x01\0\0\x7f\0\0\0"]
        {
            let cause = read(text.as_bytes()).expect_err("no AMQP");
            assert_eq!(cause.text(), "the server does not speak AMQP 0-9-1");
        }
    }
}
