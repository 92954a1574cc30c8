//! The client library's errors in the words of somebody on call.

use std::io;

use fred::error::{Error, ErrorKind};
use probe::{Cause, Failure};

/// The failure of `step`, whether the server refused or the connection broke.
pub(crate) fn failure(step: &'static str, error: &Error) -> Failure {
    match reply(error) {
        Some(reply) => refusal(step, reply),
        None => Failure::new(step, broken(error).connection_lost()),
    }
}

/// The failure that a server's own error reply stands for.
pub(crate) fn refusal(step: &'static str, reply: &str) -> Failure {
    let cause = Cause::msg(reply.trim().trim_end_matches('.'));
    match reply.split(' ').next() {
        Some("NOAUTH" | "WRONGPASS") => Failure::new("authenticate", cause),
        // A kept connection may still lead to a server that has been demoted since; a fresh one finds its successor.
        Some("READONLY") => Failure::new(step, cause.connection_lost()),
        _ => Failure::new(step, cause),
    }
}

/// The server's error reply, if that is what the error is: it begins with a word in capitals, such as `NOPERM`.
pub(crate) fn reply(error: &Error) -> Option<&str> {
    let code = error.details().split(' ').next().unwrap_or_default();
    let is_code = code.len() > 2 && code.chars().all(|c| c.is_ascii_uppercase());
    is_code.then(|| error.details())
}

/// Why there is no answer.
pub(crate) fn broken(error: &Error) -> Cause {
    match (error.kind(), error.details()) {
        (ErrorKind::Canceled, _) => Cause::msg("connection closed"),
        (ErrorKind::Timeout, _) => Cause::msg("no answer"),
        (ErrorKind::Protocol | ErrorKind::Parse, _) => foreign(),
        (ErrorKind::Sentinel, "Missing primary address in response from sentinel node.") => {
            Cause::msg("sentinel knows no primary of this name")
        }
        (ErrorKind::Sentinel, details) if details.starts_with("Invalid role") => {
            Cause::msg("the server that sentinel names is a replica")
        }
        (_, details) => input_output(details),
    }
}

/// Whether a connection broke or could not be made, rather than that somebody said no.
pub(crate) fn is_input_output(error: &Error) -> bool {
    *error.kind() == ErrorKind::IO || error.details().contains(" { ")
}

/// Something answers, but it is no Redis.
pub(crate) fn foreign() -> Cause {
    Cause::msg("the server does not speak the Redis protocol")
}

/// An I/O error, of which the library keeps only what `Debug` prints, for instance `Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }`.
fn input_output(debug: &str) -> Cause {
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
        assert_eq!(broken(&Error::from(error)).text(), expected);
    }

    #[test]
    fn an_operating_system_error_is_read_back() {
        check_io(io::Error::from_raw_os_error(111), "connection refused");
        check_io(io::Error::from_raw_os_error(104), "connection reset by peer");
    }

    #[test]
    fn a_name_that_does_not_resolve_says_so() {
        check_io(io::Error::other("failed to lookup address"), "failed to lookup address");
    }

    #[test]
    fn an_end_of_file_is_a_closed_connection() {
        check_io(io::Error::from(io::ErrorKind::UnexpectedEof), "connection closed");
    }

    #[test]
    fn a_reply_keeps_the_server_s_words() {
        let error = Error::new(ErrorKind::Unknown, "OOM command not allowed.");
        assert_eq!(failure("write", &error).render("h:1"), "write: OOM command not allowed (h:1)");
        assert!(!failure("write", &error).cause().is_connection_lost());
    }

    #[test]
    fn what_is_no_reply_is_a_lost_connection() {
        let error = Error::new(ErrorKind::IO, "Connection closed.");
        assert!(failure("ping", &error).cause().is_connection_lost());
    }
}
