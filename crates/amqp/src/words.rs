//! What a broker refuses, in the words of somebody on call.

use probe::Cause;

/// The code of a reply that says that something does not exist.
pub(crate) const NOT_FOUND: u16 = 404;

/// Why the broker closed a channel or the connection.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) text: String,
}

/// What became of a question that was not answered as expected.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The broker closed the channel.
    Refused(Refusal),
    /// There is no answer at all, or none that makes sense.
    Otherwise(Cause),
}

impl From<Cause> for Broken {
    fn from(cause: Cause) -> Self {
        Self::Otherwise(cause)
    }
}

impl From<Broken> for Cause {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Refused(refusal) => refusal.into(),
            Broken::Otherwise(cause) => cause,
        }
    }
}

/// The broker's own words, which say what was refused to whom.
impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Self {
        match refusal.text.trim().trim_end_matches('.') {
            "" => Self::msg(format!("the broker refused it with code {}", refusal.code)),
            text => Self::msg(text),
        }
    }
}

/// Something answers, but it is no broker.
pub(crate) fn foreign() -> Cause {
    Cause::msg("the server does not speak AMQP 0-9-1").connection_lost()
}

/// An answer that does not belong here.
pub(crate) fn unexpected(what: &str) -> Cause {
    Cause::msg(format!("the broker sent {what}, which does not belong here")).connection_lost()
}

pub(crate) fn closed() -> Cause {
    Cause::msg("connection closed").connection_lost()
}

/// The broker takes no messages: <https://www.rabbitmq.com/docs/alarms>.
pub(crate) fn alarm(reason: &str) -> Cause {
    Cause::msg(format!("resource alarm: the broker blocks publishers: {reason}"))
}
