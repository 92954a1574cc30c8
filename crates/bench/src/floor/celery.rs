//! The floor's Celery connection: a remote control broadcast, and the lengths of the queues.

use std::io;
use std::time::{Duration, SystemTime};

use serde_json::json;
use stack::CELERY_QUEUES;

use super::amqp::{
    ACK, Amqp, BODY, CHANNEL, CHANNEL_METHODS, DECLARE_OK, declare_passive, long_string, publish,
    short_string,
};
use super::socket::Endpoint;
use super::{FloorConnection, Requests};
use crate::error::unexpected;

/// The reply exchange of `pidbox`.
const REPLIES: &str = "reply.celery.pidbox";
/// How long workers may reply to a request.
const EXPIRES: Duration = Duration::from_mins(1);

/// A connection that broadcasts to all workers.
pub(super) struct Celery {
    amqp: Amqp,
    requests: Requests,
}

impl Celery {
    pub(super) fn open(server: &Endpoint, requests: Requests) -> io::Result<Self> {
        let mut amqp = Amqp::open(server)?;
        amqp.bind(REPLIES)?;
        Ok(Self { amqp, requests })
    }
}

impl FloorConnection for Celery {
    fn send_requests(&mut self) -> io::Result<()> {
        let queue = self.amqp.queue().to_owned();
        let (method, opened) = match self.requests {
            // A reply with its queues also shows that the worker is alive.
            Requests::OfGateway | Requests::OfFirstRun => {
                ("active_queues", [self.amqp.channel(), self.amqp.channel()])
            }
            Requests::Smallest => ("ping", [(CHANNEL, Vec::new()), (CHANNEL, Vec::new())]),
        };
        let [(to_workers, open), (to_queues, open_other)] = opened;
        let body = json!({
            "method": method, "arguments": {}, "destination": null, "pattern": null,
            "matcher": null, "ticket": queue,
            "reply_to": {"exchange": REPLIES, "routing_key": queue},
        });
        let publish = publish(to_workers, "celery.pidbox", "", &properties(), &body.to_string());
        let mut frames = vec![open, publish, open_other];
        frames.extend(CELERY_QUEUES.map(|queue| declare_passive(to_queues, queue)));
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
                Some(method) if CHANNEL_METHODS.contains(&method) => {}
                Some(other) => return Err(unexpected(format!("{other:?}"))),
                None => replied |= frame.kind == BODY,
            }
        }
        self.amqp.close_channels()
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
