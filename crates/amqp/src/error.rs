//! The errors of channels and connections, and their conversion into causes.

use probe::Cause;

/// The reply code `access-refused`: the credentials, or a missing permission.
pub(crate) const ACCESS_REFUSED: u16 = 403;

/// The reply code `not-found`: a queue or an exchange does not exist.
pub(crate) const NOT_FOUND: u16 = 404;

/// The reply code and the text of `channel.close` or `connection.close`.
#[derive(Debug)]
pub(crate) struct CloseReason {
    pub(crate) code: u16,
    pub(crate) text: String,
}

/// Why an operation on a channel failed.
#[derive(Debug)]
pub(crate) enum ChannelError {
    /// The broker closed the channel.
    Closed(CloseReason),
    /// The connection was lost, or the broker sent an unexpected method.
    Other(Cause),
}

impl From<Cause> for ChannelError {
    fn from(cause: Cause) -> Self {
        Self::Other(cause)
    }
}

impl From<ChannelError> for Cause {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Closed(reason) => reason.into(),
            ChannelError::Other(cause) => cause,
        }
    }
}

/// The cause is the broker's text, which names what was refused, and the user.
impl From<CloseReason> for Cause {
    fn from(reason: CloseReason) -> Self {
        match reason.text.trim().trim_end_matches('.') {
            "" => Self::msg(format!("the broker refused the operation with code {}", reason.code)),
            text => Self::msg(text),
        }
    }
}

/// The server uses another protocol.
pub(crate) fn not_amqp() -> Cause {
    Cause::msg("the server does not speak AMQP 0-9-1").connection_lost()
}

/// The broker sent more data than a valid answer has.
pub(crate) fn too_large() -> Cause {
    Cause::msg("the server's answer is too large").connection_lost()
}

/// The broker sent a frame or a method that the protocol does not allow here.
pub(crate) fn unexpected(what: &str) -> Cause {
    Cause::msg(format!("the broker sent {what}, which the protocol does not allow here"))
        .connection_lost()
}

pub(crate) fn connection_closed() -> Cause {
    Cause::msg("connection closed").connection_lost()
}

/// The broker blocks publishers: <https://www.rabbitmq.com/docs/alarms>.
pub(crate) fn resource_alarm(reason: &str) -> Cause {
    Cause::msg(format!("resource alarm: the broker blocks publishers: {reason}"))
}
