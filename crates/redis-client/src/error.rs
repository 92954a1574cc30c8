//! Converts error replies and lost connections into readable failures.

use probe::step::AUTHENTICATE;
use probe::{Cause, Failure};
use redis::{ServerError, Value};

use crate::Command;
use crate::deployment::HANDSHAKE;

/// The reply to `command`, or a failure if the reply is an error that the command does not accept.
pub(crate) fn check_reply_to(command: &Command, value: Value) -> Result<Value, Failure> {
    match value {
        Value::ServerError(error) if command.accepted == Some(error.code()) => Ok(Value::Nil),
        value => check_reply(command.step, value),
    }
}

/// The reply, or the failure of `step` if the reply is an error.
pub(crate) fn check_reply(step: &'static str, value: Value) -> Result<Value, Failure> {
    match value {
        Value::ServerError(error) => Err(reply_failure(step, &text(&error))),
        value => Ok(value),
    }
}

/// The text of an error reply, such as `OOM command not allowed`.
pub(crate) fn text(error: &ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}

/// The failure for a server's error reply.
fn reply_failure(step: &'static str, reply: &str) -> Failure {
    let cause = Cause::msg(reply.trim().trim_end_matches('.'));
    match reply.split(' ').next() {
        Some("NOAUTH") => Failure::new(AUTHENTICATE, cause),
        Some("WRONGPASS") => Failure::new(AUTHENTICATE, cause.login_refused()),
        // Before version 6.
        Some("ERR") if reply == "ERR invalid password" => {
            Failure::new(AUTHENTICATE, cause.login_refused())
        }
        // The server of a cached connection may have been demoted to a replica, or a slot of the cluster may have moved.
        // A new connection finds the new primary, or which node or slots the cluster lacks.
        Some("READONLY" | "MOVED" | "CLUSTERDOWN") => Failure::new(step, cause.connection_lost()),
        _ if refuses_clients(reply) => Failure::new(HANDSHAKE, cause),
        _ => Failure::new(step, cause),
    }
}

/// Whether the server sends this reply to any client and closes the connection, whatever the first command.
pub(crate) fn refuses_clients(reply: &str) -> bool {
    reply.starts_with("ERR max number of clients") || reply.starts_with("DENIED")
}

/// The cause when the server closed the connection.
pub(crate) fn closed() -> Cause {
    Cause::msg("connection closed").connection_lost()
}

/// The cause when the server is not a Redis server.
pub(crate) fn not_redis() -> Cause {
    Cause::msg("the server does not speak the Redis protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: &str, expected: &str, lost: bool) {
        let failure = reply_failure("write", reply);
        assert_eq!(failure.render("h:1"), expected);
        assert_eq!(failure.cause().is_connection_lost(), lost);
    }

    #[test]
    fn an_error_reply_is_quoted() {
        check("OOM command not allowed.", "write: OOM command not allowed (h:1)", false);
    }

    #[test]
    fn a_refusal_of_credentials_has_a_step_of_its_own() {
        check(
            "NOAUTH Authentication required.",
            "authenticate: NOAUTH Authentication required (h:1)",
            false,
        );
        check(
            "ERR max number of clients reached",
            "handshake: ERR max number of clients reached (h:1)",
            false,
        );
    }

    #[test]
    fn a_server_that_is_no_longer_the_primary_counts_as_a_lost_connection() {
        check("READONLY You can't write", "write: READONLY You can't write (h:1)", true);
        check("MOVED 1 h:2", "write: MOVED 1 h:2 (h:1)", true);
    }
}
