//! Entry points for the fuzzer: what workers, and other programs on a broker, send.

use crate::inspect::InspectReply;
use crate::transport::TransportOptions;
use crate::{kombu, redis_broker, reply_queue, result_backend};

/// The ticket that a reply must carry.
pub const TICKET: &str = "ticket";

/// Reads `bytes` as the body of a reply, as a message of kombu, and as a result.
pub fn reply(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let queues = |reply: InspectReply| (reply.worker.len(), reply.queues.len());
    let direct = InspectReply::parse(bytes).map(queues);
    let message =
        kombu::decode_message(&text).map(|(headers, body)| (headers.is_object(), body.len()));
    let reply = redis_broker::reply(&text, TICKET).map(queues);
    let outcome =
        result_backend::outcome(bytes).map(|outcome| outcome.map_err(|failure| failure.render("")));
    format!("{direct:?} {message:?} {reply:?} {outcome:?}")
}

/// Reads the lines of `bytes` as the bindings of an exchange.
pub fn bindings(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let bindings: Vec<_> = text.lines().collect();
    let options = TransportOptions::default();
    let own = reply_queue::own_bindings(&options, &bindings);
    match options.separator(&bindings) {
        Ok(separator) => {
            format!("{} {} {own:?}", separator.is_known(), separator.binding("", "").len())
        }
        Err(reason) => format!("{reason} {own:?}"),
    }
}
