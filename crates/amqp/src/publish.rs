//! Publishing a message, and what the broker says to it.

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame};
use amq_protocol::protocol::{AMQPClass, basic, exchange, queue};
use amq_protocol::types::FieldTable;
use probe::Cause;

use crate::Publication;
use crate::channel::Channel;
use crate::message::short;
use crate::words::{Broken, unexpected};

/// The class of messages in the protocol.
const BASIC: u16 = 60;

/// Publishes, and waits until the broker has taken the message; whether any queue got it.
///
/// `path` is what has to be done first, so that answers find the mailbox.
pub(crate) async fn publish(
    channel: &mut Channel,
    publication: &Publication,
    path: impl IntoIterator<Item = AMQPClass>,
) -> Result<bool, Broken> {
    let number = channel.number;
    let mut frames: Vec<_> =
        path.into_iter().map(|method| AMQPFrame::Method(number, method)).collect();
    let publish = basic::Publish {
        exchange: short(&publication.exchange)?,
        routing_key: short(&publication.routing_key)?,
        mandatory: true,
        immediate: false,
    };
    let body = publication.body.clone().into_bytes();
    let header = AMQPContentHeader {
        class_id: BASIC,
        body_size: body.len() as u64,
        properties: publication.properties()?,
    };
    frames.push(AMQPFrame::Method(number, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))));
    frames.push(AMQPFrame::Header(number, header));
    frames.push(AMQPFrame::Body(number, body));
    channel.published += 1;
    channel.send_frames(frames);
    confirmed(channel).await
}

/// Waits until the broker has taken the last message; it says before whether nobody wants it.
async fn confirmed(channel: &mut Channel) -> Result<bool, Broken> {
    let mut routed = true;
    loop {
        match channel.next().await? {
            AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_))
            | AMQPClass::Queue(queue::AMQPMethod::BindOk(_)) => {}
            AMQPClass::Basic(basic::AMQPMethod::Return(_)) => routed = false,
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => {
                if ack.delivery_tag == channel.published {
                    return Ok(routed);
                }
            }
            AMQPClass::Basic(basic::AMQPMethod::Nack(_)) => {
                return Err(Cause::msg("the broker could not take the message").into());
            }
            _ => return Err(unexpected("an answer").into()),
        }
    }
}

/// Makes `exchange`, as others do who use it, and lets it lead to the mailbox.
pub(crate) fn path_to(mailbox: &str, exchange: &str) -> Result<[AMQPClass; 2], Cause> {
    let declare = exchange::Declare {
        exchange: short(exchange)?,
        kind: short("direct")?,
        passive: false,
        durable: false,
        auto_delete: false,
        internal: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    let bind = queue::Bind {
        queue: short(mailbox)?,
        exchange: short(exchange)?,
        routing_key: short(mailbox)?,
        nowait: false,
        arguments: FieldTable::default(),
    };
    Ok([
        AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)),
        AMQPClass::Queue(queue::AMQPMethod::Bind(bind)),
    ])
}
