//! Converts the client library's errors into readable failures.

use std::io;

use fred::error::{Error, ErrorKind};
use probe::step::AUTHENTICATE;
use probe::{Cause, Failure};

/// The failure of `step`: the server's error reply, or the loss of the connection.
pub(crate) fn failure(step: &'static str, error: &Error) -> Failure {
    match error_reply(error) {
        Some(reply) => reply_failure(step, reply),
        None => Failure::new(step, cause(error).connection_lost()),
    }
}

/// The failure for a server's error reply.
pub(crate) fn reply_failure(step: &'static str, reply: &str) -> Failure {
    let cause = Cause::msg(reply.trim().trim_end_matches('.'));
    match reply.split(' ').next() {
        Some("NOAUTH") => Failure::new(AUTHENTICATE, cause),
        Some("WRONGPASS") => Failure::new(AUTHENTICATE, cause.login_refused()),
        // Before version 6.
        Some("ERR") if reply == "ERR invalid password" => {
            Failure::new(AUTHENTICATE, cause.login_refused())
        }
        // The server of a cached connection may have been demoted to a replica. A fresh connection finds the new primary.
        Some("READONLY") => Failure::new(step, cause.connection_lost()),
        _ => Failure::new(step, cause),
    }
}

/// The server's error reply, if `error` is one. Such a reply begins with a code in capitals, such as `NOPERM`.
pub(crate) fn error_reply(error: &Error) -> Option<&str> {
    let code = error.details().split(' ').next().unwrap_or_default();
    let is_code = code.len() > 2 && code.chars().all(|c| c.is_ascii_uppercase());
    is_code.then(|| error.details())
}

/// The cause of an error that is not an error reply.
pub(crate) fn cause(error: &Error) -> Cause {
    match (error.kind(), error.details()) {
        (ErrorKind::Canceled, _) => Cause::msg("connection closed"),
        (ErrorKind::Timeout, _) => Cause::msg("no answer"),
        (ErrorKind::Protocol | ErrorKind::Parse, _) => not_redis(),
        (ErrorKind::Sentinel, "Missing primary address in response from sentinel node.") => {
            Cause::msg("sentinel has no primary with this name")
        }
        (ErrorKind::Sentinel, details) if details.starts_with("Invalid role") => {
            Cause::msg("the server that sentinel names is a replica")
        }
        (_, details) => io_cause(details),
    }
}

/// Whether a connection was lost or could not be opened, as opposed to a protocol error.
pub(crate) fn is_io(error: &Error) -> bool {
    *error.kind() == ErrorKind::IO || error.details().contains(" { ")
}

/// The cause when the server is not a Redis server.
pub(crate) fn not_redis() -> Cause {
    Cause::msg("the server does not speak the Redis protocol")
}

/// Parses an I/O error from its `Debug` text, which is all that the library keeps, such as `Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }`.
fn io_cause(debug: &str) -> Cause {
    let between = |start: &str, end: char| {
        debug.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map(|(text, _)| text)
    };
    if let Some(code) = between("code: ", ',').and_then(|code| code.parse().ok()) {
        return io::Error::from_raw_os_error(code).into();
    }
    if let Some(text) = between(": \"", '"') {
        return io::Error::other(text).into();
    }
    match debug {
        "Connection closed." | "Kind(UnexpectedEof)" => Cause::msg("connection closed"),
        other => io::Error::other(other).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_io(error: io::Error, expected: &str) {
        assert_eq!(cause(&Error::from(error)).text(), expected);
    }

    #[test]
    fn an_operating_system_error_is_parsed_from_its_debug_text() {
        check_io(io::Error::from_raw_os_error(111), "connection refused");
        check_io(io::Error::from_raw_os_error(104), "connection reset by peer");
    }

    #[test]
    fn a_name_that_does_not_resolve_is_reported() {
        check_io(io::Error::other("failed to lookup address"), "failed to lookup address");
    }

    #[test]
    fn an_unexpected_eof_is_a_closed_connection() {
        check_io(io::Error::from(io::ErrorKind::UnexpectedEof), "connection closed");
    }

    #[test]
    fn an_error_reply_is_quoted() {
        let error = Error::new(ErrorKind::Unknown, "OOM command not allowed.");
        assert_eq!(failure("write", &error).render("h:1"), "write: OOM command not allowed (h:1)");
        assert!(!failure("write", &error).cause().is_connection_lost());
    }

    #[test]
    fn an_error_without_a_reply_is_a_lost_connection() {
        let error = Error::new(ErrorKind::IO, "Connection closed.");
        assert!(failure("ping", &error).cause().is_connection_lost());
    }
}
