//! The floor's AMQP 0-9-1: frames as bytes, and a login.

use std::io;
use std::net::SocketAddr;

use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST};

use super::socket::{Socket, unique};
use crate::error::unexpected;

/// The only channel that is used.
const CHANNEL: u16 = 1;
/// The kinds of frames.
pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;

/// Class and method.
pub(super) type Method = (u16, u16);
pub(super) const DECLARE_OK: Method = (50, 11);
pub(super) const ACK: Method = (60, 80);

/// A frame as it came.
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// Which method it is, if it is one.
    pub(super) fn method(&self) -> Option<Method> {
        let [a, b, c, d] = *self.payload.first_chunk::<4>()?;
        let method = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        (self.kind == METHOD).then_some(method)
    }
}

/// An open connection with one channel, on which the broker confirms, and one exclusive queue that is consumed.
pub(super) struct Amqp {
    socket: Socket,
    queue: String,
}

impl Amqp {
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let queue = format!("health-gateway.{}", unique()?);
        let mut amqp = Self { socket: Socket::open(address)?, queue };
        amqp.socket.send(b"AMQP\0\0\x09\x01")?;
        amqp.expect((10, 10))?;
        let login = format!("\0{HEALTH_USER}\0{HEALTH_PASSWORD}");
        let start_ok = [&[0; 4], &short("PLAIN")[..], &long(login.as_bytes()), &short("en_US")];
        amqp.send(&[method(0, (10, 11), &start_ok)])?;
        amqp.expect((10, 30))?;
        // One channel, frames of 128 KiB at most, and no heartbeat.
        let tune_ok = method(0, (10, 31), &[&[0, 1, 0, 2, 0, 0, 0, 0]]);
        amqp.send(&[tune_ok, method(0, (10, 40), &[&short(RABBIT_VHOST), &[0, 0]])])?;
        amqp.expect((10, 41))?;
        let (channel, confirm) = (on_channel((20, 10), &[&[0]]), on_channel((85, 10), &[&[0]]));
        // Exclusive, and gone with its last consumer.
        let declare = on_channel((50, 10), &[&[0, 0], &short(&amqp.queue), &[0b1100], &[0; 4]]);
        // Without acknowledgements.
        let consume = on_channel((60, 20), &[&[0, 0], &short(&amqp.queue), &[0, 0b10], &[0; 4]]);
        amqp.send(&[channel, confirm, declare, consume])?;
        [(20, 11), (85, 11), DECLARE_OK, (60, 21)].iter().try_for_each(|it| amqp.expect(*it))?;
        Ok(amqp)
    }

    /// The exclusive queue.
    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// Makes a direct exchange and lets it lead to the queue.
    pub(super) fn bind(&mut self, exchange: &str) -> io::Result<()> {
        let declare = [&[0, 0], &short(exchange)[..], &short("direct"), &[0], &[0; 4]];
        let bind =
            [&[0, 0], &short(&self.queue)[..], &short(exchange), &short(&self.queue), &[0; 5]];
        self.send(&[on_channel((40, 10), &declare), on_channel((50, 20), &bind)])?;
        self.expect((40, 11))?;
        self.expect((50, 21))
    }

    pub(super) fn send(&mut self, frames: &[Vec<u8>]) -> io::Result<()> {
        self.socket.send(&frames.concat())
    }

    pub(super) fn next(&mut self) -> io::Result<Frame> {
        self.socket.take(|received| {
            let Some((&[kind, _, _, a, b, c, d], rest)) = received.split_first_chunk::<7>() else {
                return Ok(None);
            };
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            // One byte more ends the frame.
            let whole = rest.get(..=length);
            Ok(whole.map(|whole| (Frame { kind, payload: whole[..length].to_vec() }, length + 8)))
        })
    }

    fn expect(&mut self, wanted: Method) -> io::Result<()> {
        match self.next()?.method() {
            Some(method) if method == wanted => Ok(()),
            other => Err(unexpected(format!("{other:?} in place of {wanted:?}"))),
        }
    }
}

/// A message to an exchange; `properties` begin with their flags.
pub(super) fn publish(exchange: &str, key: &str, properties: &[u8], body: &str) -> Vec<u8> {
    // Mandatory.
    let publish = on_channel((60, 40), &[&[0, 0], &short(exchange), &short(key), &[1]]);
    let size = u64::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let header = [&[0, 60, 0, 0], &size[..], properties].concat();
    [publish, frame(HEADER, CHANNEL, &header), frame(BODY, CHANNEL, body.as_bytes())].concat()
}

/// Asks how full a queue is.
pub(super) fn passive(queue: &str) -> Vec<u8> {
    on_channel((50, 10), &[&[0, 0], &short(queue), &[1], &[0; 4]])
}

fn on_channel(of: Method, arguments: &[&[u8]]) -> Vec<u8> {
    method(CHANNEL, of, arguments)
}

fn method(channel: u16, (class, method): Method, arguments: &[&[u8]]) -> Vec<u8> {
    let name = [class.to_be_bytes(), method.to_be_bytes()].concat();
    frame(METHOD, channel, &[name, arguments.concat()].concat())
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&[kind], &channel.to_be_bytes()[..], &size, payload, &[0xce]].concat()
}

/// A text of at most 255 bytes.
pub(super) fn short(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    [&[length], &text.as_bytes()[..length.into()]].concat()
}

/// A text of any length.
pub(super) fn long(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap_or_default().to_be_bytes(), text].concat()
}
