//! Entry points for the fuzzer: what workers, and other programs on a broker, send.

use crate::content::Serializer;
use crate::inspect::InspectReply;
use crate::transport::TransportOptions;
use crate::{kombu, redis_broker, reply_queue, result_backend};

/// The ticket that a reply must carry.
pub const TICKET: &str = "ticket";

/// Reads `bytes` as the body of a reply and as a result, in every serializer, and as a message of kombu.
pub fn reply(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let message = kombu::decode_message(&text)
        .map(|message| (message.content_type.len(), message.body.len()));
    let reply = redis_broker::reply(&text, TICKET);
    let contents = Serializer::ALL.map(|serializer| {
        let reply = InspectReply::parse(serializer.content_type(), bytes);
        let outcome = result_backend::outcome(Some(serializer), bytes);
        (reply, outcome.map(|outcome| outcome.map_err(|failure| failure.render(""))))
    });
    format!("{message:?} {reply:?} {contents:?}")
}

/// Reads the lines of `bytes` as the bindings of an exchange.
pub fn bindings(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let bindings: Vec<_> = text.lines().collect();
    let options = TransportOptions::default();
    let own = reply_queue::own_bindings(&options, &bindings);
    let separator = options.separator(&bindings);
    format!("{} {} {own:?}", separator.is_known(), separator.binding("", "").len())
}
