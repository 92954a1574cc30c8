//! The floor's `RabbitMQ` connection: publishes and consumes a message, or declares a queue passively.

use std::io;

use super::amqp::{
    ACK, Amqp, BODY, CHANNEL, CHANNEL_METHODS, DECLARE_OK, declare_passive, publish,
};
use super::socket::Endpoint;
use super::{FloorConnection, Requests};
use crate::error::unexpected;

pub(super) struct Rabbit {
    amqp: Amqp,
    requests: Requests,
}

impl Rabbit {
    pub(super) fn open(server: &Endpoint, requests: Requests) -> io::Result<Self> {
        Ok(Self { amqp: Amqp::open(server)?, requests })
    }
}

impl FloorConnection for Rabbit {
    fn send_requests(&mut self) -> io::Result<()> {
        let queue = self.amqp.queue().to_owned();
        if self.requests == Requests::Smallest {
            return self.amqp.send(&[declare_passive(CHANNEL, &queue)]);
        }
        let (channel, open) = self.amqp.channel();
        self.amqp.send(&[open, publish(channel, "", &queue, &[0, 0], "\"health-gateway\"")])
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
                Some(method) if CHANNEL_METHODS.contains(&method) => {}
                Some(other) => return Err(unexpected(format!("{other:?}"))),
                None => delivered |= frame.kind == BODY,
            }
        }
        self.amqp.close_channels()
    }
}
