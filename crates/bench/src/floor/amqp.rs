//! A minimal AMQP 0-9-1 connection for the floor.

use std::io;

use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST};

use super::socket::{Endpoint, Socket, random_hex};
use crate::error::unexpected;

/// The channel of the consumer, and of the smallest requests.
pub(super) const CHANNEL: u16 = 1;
/// The largest number of a channel. As the gateway does, each run opens channels of its own.
const MAX_CHANNEL: u16 = 64;
/// The frame types.
pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;

/// A method, by class ID and method ID.
pub(super) type Method = (u16, u16);
pub(super) const DECLARE_OK: Method = (50, 11);
pub(super) const ACK: Method = (60, 80);
/// The methods that confirm that a channel is open, in confirm mode, or closed.
pub(super) const CHANNEL_METHODS: [Method; 3] = [(20, 11), (85, 11), (20, 41)];

/// A frame.
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// Returns the method of a method frame.
    pub(super) fn method(&self) -> Option<Method> {
        let [a, b, c, d] = *self.payload.first_chunk::<4>()?;
        let method = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        (self.kind == METHOD).then_some(method)
    }
}

/// An open connection with one channel in confirm mode, and a consumer on an exclusive queue.
pub(super) struct Amqp {
    socket: Socket,
    queue: String,
    last_channel: u16,
    /// The channels of the run in progress.
    open_channels: Vec<u16>,
}

impl Amqp {
    pub(super) fn open(server: &Endpoint) -> io::Result<Self> {
        let queue = format!("health-gateway.{}", random_hex()?);
        let socket = Socket::open(server)?;
        let mut amqp = Self { socket, queue, last_channel: CHANNEL, open_channels: Vec::new() };
        amqp.socket.send(b"AMQP\0\0\x09\x01")?;
        amqp.expect((10, 10))?;
        let login = format!("\0{HEALTH_USER}\0{HEALTH_PASSWORD}");
        let start_ok = [
            &[0; 4],
            &short_string("PLAIN")[..],
            &long_string(login.as_bytes()),
            &short_string("en_US"),
        ];
        amqp.send(&[method(0, (10, 11), &start_ok)])?;
        amqp.expect((10, 30))?;
        // A frame-max of 128 KiB, and no heartbeat.
        let [high, low] = MAX_CHANNEL.to_be_bytes();
        let tune_ok = method(0, (10, 31), &[&[high, low, 0, 2, 0, 0, 0, 0]]);
        amqp.send(&[tune_ok, method(0, (10, 40), &[&short_string(RABBIT_VHOST), &[0, 0]])])?;
        amqp.expect((10, 41))?;
        // The queue is exclusive and auto-delete.
        let declare =
            method(CHANNEL, (50, 10), &[&[0, 0], &short_string(&amqp.queue), &[0b1100], &[0; 4]]);
        // The flag is no-ack.
        let consume =
            method(CHANNEL, (60, 20), &[&[0, 0], &short_string(&amqp.queue), &[0, 0b10], &[0; 4]]);
        amqp.send(&[open_channel(CHANNEL), declare, consume])?;
        [(20, 11), (85, 11), DECLARE_OK, (60, 21)]
            .iter()
            .try_for_each(|method| amqp.expect(*method))?;
        Ok(amqp)
    }

    /// Returns the name of the exclusive queue.
    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// Returns the number of a new channel for the run in progress, and the frames that open it.
    pub(super) fn channel(&mut self) -> (u16, Vec<u8>) {
        self.last_channel = self.last_channel % MAX_CHANNEL + 1;
        if self.last_channel == CHANNEL {
            self.last_channel += 1;
        }
        self.open_channels.push(self.last_channel);
        (self.last_channel, open_channel(self.last_channel))
    }

    /// Closes the channels of the run.
    pub(super) fn close_channels(&mut self) -> io::Result<()> {
        // The reply code and text, and the method that failed, of which there is none.
        let close = |channel| method(channel, (20, 40), &[&[0, 200, 0, 0, 0, 0, 0]]);
        let frames: Vec<_> = self.open_channels.drain(..).map(close).collect();
        self.send(&frames)
    }

    /// Declares a direct exchange, and binds the queue to it.
    pub(super) fn bind(&mut self, exchange: &str) -> io::Result<()> {
        let declare =
            [&[0, 0], &short_string(exchange)[..], &short_string("direct"), &[0], &[0; 4]];
        let bind = [
            &[0, 0],
            &short_string(&self.queue)[..],
            &short_string(exchange),
            &short_string(&self.queue),
            &[0; 5],
        ];
        self.send(&[method(CHANNEL, (40, 10), &declare), method(CHANNEL, (50, 20), &bind)])?;
        self.expect((40, 11))?;
        self.expect((50, 21))
    }

    pub(super) fn send(&mut self, frames: &[Vec<u8>]) -> io::Result<()> {
        self.socket.send(&frames.concat())
    }

    pub(super) fn next_frame(&mut self) -> io::Result<Frame> {
        self.socket.read_message(|received| {
            let Some((&[kind, _, _, a, b, c, d], rest)) = received.split_first_chunk::<7>() else {
                return Ok(None);
            };
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            // The frame-end octet follows the payload.
            let payload_and_end = rest.get(..=length);
            Ok(payload_and_end
                .map(|bytes| (Frame { kind, payload: bytes[..length].to_vec() }, length + 8)))
        })
    }

    fn expect(&mut self, expected: Method) -> io::Result<()> {
        match self.next_frame()?.method() {
            Some(method) if method == expected => Ok(()),
            other => Err(unexpected(format!("{other:?} instead of {expected:?}"))),
        }
    }
}

/// Returns the frames of a `basic.publish`; `properties` start with their flags.
pub(super) fn publish(
    channel: u16,
    exchange: &str,
    key: &str,
    properties: &[u8],
    body: &str,
) -> Vec<u8> {
    // The flag is mandatory.
    let publish =
        method(channel, (60, 40), &[&[0, 0], &short_string(exchange), &short_string(key), &[1]]);
    let size = u64::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let header = [&[0, 60, 0, 0], &size[..], properties].concat();
    [publish, frame(HEADER, channel, &header), frame(BODY, channel, body.as_bytes())].concat()
}

/// Returns a passive `queue.declare`; its response contains the number of messages.
pub(super) fn declare_passive(channel: u16, queue: &str) -> Vec<u8> {
    method(channel, (50, 10), &[&[0, 0], &short_string(queue), &[1], &[0; 4]])
}

/// Returns the frames that open a channel in confirm mode.
fn open_channel(channel: u16) -> Vec<u8> {
    [method(channel, (20, 10), &[&[0]]), method(channel, (85, 10), &[&[0]])].concat()
}

fn method(channel: u16, (class, method): Method, arguments: &[&[u8]]) -> Vec<u8> {
    let id = [class.to_be_bytes(), method.to_be_bytes()].concat();
    frame(METHOD, channel, &[id, arguments.concat()].concat())
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&[kind], &channel.to_be_bytes()[..], &size, payload, &[0xce]].concat()
}

/// Encodes a short string, of at most 255 bytes.
pub(super) fn short_string(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    [&[length], &text.as_bytes()[..length.into()]].concat()
}

/// Encodes a long string.
pub(super) fn long_string(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap_or_default().to_be_bytes(), text].concat()
}
