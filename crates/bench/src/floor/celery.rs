//! The floor's Celery: one remote-control question to all workers, and how full the queues are.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde_json::json;
use stack::CELERY_QUEUES;

use super::amqp::{ACK, Amqp, BODY, DECLARE_OK, long, passive, publish, short};
use super::{Line, Questions};
use crate::error::unexpected;

/// The exchange of answers.
const REPLIES: &str = "reply.celery.pidbox";
/// How long a question is worth an answer.
const EXPIRES: Duration = Duration::from_mins(1);

/// See the module.
pub(super) struct Celery {
    amqp: Amqp,
    method: &'static str,
}

impl Celery {
    pub(super) fn open(address: SocketAddr, questions: Questions) -> io::Result<Self> {
        let mut amqp = Amqp::open(address)?;
        amqp.bind(REPLIES)?;
        let method = match questions {
            // What a worker takes from tells as well that it is there.
            Questions::Same => "active_queues",
            Questions::Smallest => "ping",
        };
        Ok(Self { amqp, method })
    }
}

impl Line for Celery {
    fn put(&mut self) -> io::Result<()> {
        let queue = self.amqp.queue();
        let body = json!({
            "method": self.method, "arguments": {}, "destination": null, "pattern": null,
            "matcher": null, "ticket": queue,
            "reply_to": {"exchange": REPLIES, "routing_key": queue},
        });
        let mut frames = vec![publish("celery.pidbox", "", &properties(), &body.to_string())];
        frames.extend(CELERY_QUEUES.map(passive));
        self.amqp.send(&frames)
    }

    fn take(&mut self) -> io::Result<()> {
        let (mut queues, mut confirmed, mut answered) = (0, false, false);
        while !(queues == CELERY_QUEUES.len() && confirmed && answered) {
            let frame = self.amqp.next()?;
            match frame.method() {
                Some(ACK) => confirmed = true,
                Some(DECLARE_OK) => queues += 1,
                Some((60, 60)) => {}
                Some(other) => return Err(unexpected(format!("{other:?}"))),
                None => answered |= frame.kind == BODY,
            }
        }
        Ok(())
    }
}

/// Content type, content encoding and headers, after the flags that say so.
fn properties() -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let expires = (now + EXPIRES).as_secs_f64().to_be_bytes();
    let table = [
        [short("clock"), b"l".to_vec(), 1_i64.to_be_bytes().to_vec()].concat(),
        [short("expires"), b"d".to_vec(), expires.to_vec()].concat(),
    ];
    let flags = 0b1110_0000_0000_0000_u16.to_be_bytes().to_vec();
    [flags, short("application/json"), short("utf-8"), long(&table.concat())].concat()
}
