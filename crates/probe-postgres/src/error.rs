//! Converts the errors of the client library and of the server into causes.

use std::io;

use probe::{Cause, Failure, step};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// The cause of a failed request.
pub(crate) fn cause(error: Error) -> Cause {
    if let Some(error) = error.as_db_error() {
        return server_error(error);
    }
    if error.is_closed() {
        return Cause::msg("the server closed the connection").connection_lost();
    }
    // The library's text only names the function that failed. The source has the reason.
    let Some(source) = error.into_source() else {
        return Cause::msg("the server violates PostgreSQL's protocol");
    };
    match source.downcast::<io::Error>() {
        Ok(source) => net::cause(*source),
        Err(source) => Cause::msg(source.to_string()),
    }
}

/// The cause if a query has another result than PostgreSQL's.
pub(crate) fn unexpected_answer() -> Cause {
    Cause::msg("the answer is not PostgreSQL's")
}

/// The failure of a login. Its step is `connect` if the server gave a reason other than the credentials, otherwise `authenticate`.
pub(crate) fn login_failure(error: Error) -> Failure {
    let refused = error.as_db_error().is_some_and(refuses_credentials);
    // Class 28: invalid authorization specification.
    let is_other_error =
        error.as_db_error().is_some_and(|error| !error.code().code().starts_with("28")) && !refused;
    let cause = cause(error);
    let cause = if refused { cause.login_refused() } else { cause };
    Failure::new(if is_other_error { step::CONNECT } else { step::AUTHENTICATE }, cause)
}

/// Whether the user lacks a privilege for a request.
pub(crate) fn is_permission_denied(cause: &Cause) -> bool {
    cause.text().ends_with(&sqlstate(SqlState::INSUFFICIENT_PRIVILEGE.code()))
}

/// Whether the server verified the credentials and rejected them, as opposed to a rule that excludes the user or the address.
///
/// Passwords that LDAP, PAM or RADIUS rejects have the same code as such a rule, so the function that reported the error decides.
/// `PgBouncer` and pgpool reject credentials with the codes of a violated protocol and of an internal error, so their texts decide.
fn refuses_credentials(error: &DbError) -> bool {
    let is_rejection = || error.message().contains("authentication failed");
    match *error.code() {
        SqlState::INVALID_PASSWORD => true,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => error.routine() == Some("auth_failed"),
        SqlState::PROTOCOL_VIOLATION => is_rejection() || error.message() == "no such user",
        SqlState::INTERNAL_ERROR => is_rejection(),
        _ => false,
    }
}

/// The server's message with its `SQLSTATE`, since the message may be in any language.
fn server_error(error: &DbError) -> Cause {
    let code = error.code().code();
    let cause = Cause::msg(format!("{}{}", error.message(), sqlstate(code)));
    // The server closes the connection after these errors, for example when it shuts down.
    let closes_connection =
        matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
            || code.starts_with("57P")
            || code.starts_with("08");
    if closes_connection { cause.connection_lost() } else { cause }
}

/// How the text of a server's error ends.
fn sqlstate(code: &str) -> String {
    format!(", SQLSTATE {code}")
}
