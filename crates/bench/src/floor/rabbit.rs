//! The floor's `RabbitMQ` connection: publishes and consumes a message, or declares a queue passively.

use std::io;
use std::net::SocketAddr;

use super::amqp::{ACK, Amqp, BODY, DECLARE_OK, declare_passive, publish};
use super::{FloorConnection, Requests};
use crate::error::unexpected;

/// A connection with its frames.
pub(super) struct Rabbit {
    amqp: Amqp,
    frames: Vec<u8>,
    requests: Requests,
}

impl Rabbit {
    pub(super) fn open(address: SocketAddr, requests: Requests) -> io::Result<Self> {
        let amqp = Amqp::open(address)?;
        let frames = match requests {
            Requests::OfGateway => publish("", amqp.queue(), &[0, 0], "\"health-gateway\""),
            Requests::Smallest => declare_passive(amqp.queue()),
        };
        Ok(Self { amqp, frames, requests })
    }
}

impl FloorConnection for Rabbit {
    fn send_requests(&mut self) -> io::Result<()> {
        self.amqp.send(std::slice::from_ref(&self.frames))
    }

    fn read_responses(&mut self) -> io::Result<()> {
        let (mut confirmed, mut delivered) = (false, false);
        while !(confirmed && delivered) {
            let frame = self.amqp.next_frame()?;
            match frame.method() {
                Some(ACK) => confirmed = true,
                Some(DECLARE_OK) if self.requests == Requests::Smallest => return Ok(()),
                // `basic.deliver`; header and body follow.
                Some((60, 60)) => {}
                Some(other) => return Err(unexpected(format!("{other:?}"))),
                None => delivered |= frame.kind == BODY,
            }
        }
        Ok(())
    }
}
