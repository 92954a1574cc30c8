//! The floor's Celery connection: a remote control broadcast, and the lengths of the queues.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde_json::json;
use stack::CELERY_QUEUES;

use super::amqp::{
    ACK, Amqp, BODY, DECLARE_OK, declare_passive, long_string, publish, short_string,
};
use super::{FloorConnection, Requests};
use crate::error::unexpected;

/// The reply exchange of `pidbox`.
const REPLIES: &str = "reply.celery.pidbox";
/// How long workers may reply to a request.
const EXPIRES: Duration = Duration::from_mins(1);

/// A connection that broadcasts to all workers.
pub(super) struct Celery {
    amqp: Amqp,
    method: &'static str,
}

impl Celery {
    pub(super) fn open(address: SocketAddr, requests: Requests) -> io::Result<Self> {
        let mut amqp = Amqp::open(address)?;
        amqp.bind(REPLIES)?;
        let method = match requests {
            // A reply with its queues also shows that the worker is alive.
            Requests::OfGateway => "active_queues",
            Requests::Smallest => "ping",
        };
        Ok(Self { amqp, method })
    }
}

impl FloorConnection for Celery {
    fn send_requests(&mut self) -> io::Result<()> {
        let queue = self.amqp.queue();
        let body = json!({
            "method": self.method, "arguments": {}, "destination": null, "pattern": null,
            "matcher": null, "ticket": queue,
            "reply_to": {"exchange": REPLIES, "routing_key": queue},
        });
        let mut frames = vec![publish("celery.pidbox", "", &properties(), &body.to_string())];
        frames.extend(CELERY_QUEUES.map(declare_passive));
        self.amqp.send(&frames)
    }

    fn read_responses(&mut self) -> io::Result<()> {
        let (mut queues, mut confirmed, mut replied) = (0, false, false);
        while !(queues == CELERY_QUEUES.len() && confirmed && replied) {
            let frame = self.amqp.next_frame()?;
            match frame.method() {
                Some(ACK) => confirmed = true,
                Some(DECLARE_OK) => queues += 1,
                Some((60, 60)) => {}
                Some(other) => return Err(unexpected(format!("{other:?}"))),
                None => replied |= frame.kind == BODY,
            }
        }
        Ok(())
    }
}

/// Returns the content type, the content encoding and the headers, after their flags.
fn properties() -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let expires = (now + EXPIRES).as_secs_f64().to_be_bytes();
    let table = [
        [short_string("clock"), b"l".to_vec(), 1_i64.to_be_bytes().to_vec()].concat(),
        [short_string("expires"), b"d".to_vec(), expires.to_vec()].concat(),
    ];
    let flags = 0b1110_0000_0000_0000_u16.to_be_bytes().to_vec();
    [flags, short_string("application/json"), short_string("utf-8"), long_string(&table.concat())]
        .concat()
}
