//! Publishes a message and waits for the broker's confirm.

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame};
use amq_protocol::protocol::{AMQPClass, basic, exchange, queue};
use amq_protocol::types::FieldTable;
use probe::Cause;

use crate::Publication;
use crate::channel::Channel;
use crate::error::{ChannelError, unexpected};
use crate::message::short_string;

/// The id of the class `basic`.
const BASIC: u16 = 60;

/// Publishes a message after the methods of `binding`, and returns whether it was routed to a queue.
pub(crate) async fn publish(
    channel: &mut Channel,
    publication: &Publication,
    binding: impl IntoIterator<Item = AMQPClass>,
) -> Result<bool, ChannelError> {
    let id = channel.id;
    let mut frames: Vec<_> =
        binding.into_iter().map(|method| AMQPFrame::Method(id, method)).collect();
    let publish = basic::Publish {
        exchange: short_string(&publication.exchange)?,
        routing_key: short_string(&publication.routing_key)?,
        mandatory: true,
        immediate: false,
    };
    let body = publication.body.clone();
    let header = AMQPContentHeader {
        class_id: BASIC,
        body_size: body.len() as u64,
        properties: publication.properties()?,
    };
    frames.push(AMQPFrame::Method(id, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))));
    frames.push(AMQPFrame::Header(id, header));
    // The checks' messages fit into the smallest frame that brokers may demand, which has 4 KiB.
    frames.push(AMQPFrame::Body(id, body));
    channel.published += 1;
    channel.send_frames(frames);
    wait_for_confirm(channel).await
}

/// Waits for the `basic.ack` of the last message. Before it, the broker sends a `basic.return` if the message was routed to no queue.
async fn wait_for_confirm(channel: &mut Channel) -> Result<bool, ChannelError> {
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
                return Err(Cause::msg("the broker could not process the message").into());
            }
            _ => return Err(unexpected("an answer").into()),
        }
    }
}

/// The methods that declare the direct exchange `exchange` and bind `reply_queue` to it, with the queue's name as routing key.
pub(crate) fn declare_and_bind(exchange: &str, reply_queue: &str) -> Result<[AMQPClass; 2], Cause> {
    let declare = exchange::Declare {
        exchange: short_string(exchange)?,
        kind: short_string("direct")?,
        passive: false,
        durable: false,
        auto_delete: false,
        internal: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    let bind = queue::Bind {
        queue: short_string(reply_queue)?,
        exchange: short_string(exchange)?,
        routing_key: short_string(reply_queue)?,
        nowait: false,
        arguments: FieldTable::default(),
    };
    Ok([
        AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)),
        AMQPClass::Queue(queue::AMQPMethod::Bind(bind)),
    ])
}
