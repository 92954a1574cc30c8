//! The floor's `RabbitMQ`: a message to a queue of its own, confirmed and back; or just a passive declaration.

use std::io;
use std::net::SocketAddr;

use super::amqp::{ACK, Amqp, BODY, DECLARE_OK, passive, publish};
use super::{Line, Questions};
use crate::error::unexpected;

/// See the module.
pub(super) struct Rabbit {
    amqp: Amqp,
    question: Vec<u8>,
    questions: Questions,
}

impl Rabbit {
    pub(super) fn open(address: SocketAddr, questions: Questions) -> io::Result<Self> {
        let amqp = Amqp::open(address)?;
        let question = match questions {
            Questions::Same => publish("", amqp.queue(), &[0, 0], "\"health-gateway\""),
            Questions::Smallest => passive(amqp.queue()),
        };
        Ok(Self { amqp, question, questions })
    }
}

impl Line for Rabbit {
    fn put(&mut self) -> io::Result<()> {
        self.amqp.send(std::slice::from_ref(&self.question))
    }

    fn take(&mut self) -> io::Result<()> {
        let (mut confirmed, mut back) = (false, false);
        while !(confirmed && back) {
            let frame = self.amqp.next()?;
            match frame.method() {
                Some(ACK) => confirmed = true,
                Some(DECLARE_OK) if self.questions == Questions::Smallest => return Ok(()),
                // A delivery, which its header and its body follow.
                Some((60, 60)) => {}
                Some(other) => return Err(unexpected(format!("{other:?}"))),
                None => back |= frame.kind == BODY,
            }
        }
        Ok(())
    }
}
