//! What went wrong with a server, in its own words if it had any.

use std::io;

use probe::{Cause, Failure};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity};

/// Why the server did not do what it was asked.
pub(crate) fn cause(error: Error) -> Cause {
    if let Some(told) = error.as_db_error() {
        return told_by_the_server(told);
    }
    if error.is_closed() {
        return Cause::msg("the server closed the connection").connection_lost();
    }
    // The library's own words around the source only say which of its functions failed.
    let Some(source) = error.into_source() else {
        return Cause::msg("the server does not keep to PostgreSQL's protocol");
    };
    match source.downcast::<io::Error>() {
        Ok(source) => tls::cause(*source),
        Err(source) => Cause::msg(source.to_string()),
    }
}

/// Why the server did not let us in; what it refuses for other reasons than our credentials is a failure to connect.
pub(crate) fn login(error: Error) -> Failure {
    let for_another_reason =
        error.as_db_error().is_some_and(|told| !told.code().code().starts_with("28"));
    Failure::new(if for_another_reason { "connect" } else { "authenticate" }, cause(error))
}

/// Its message, with the code by which one finds it in the manual, whatever language it speaks.
fn told_by_the_server(told: &DbError) -> Cause {
    let code = told.code().code();
    let cause = Cause::msg(format!("{}, SQLSTATE {code}", told.message()));
    // After these the server closes the connection, for instance when it is shut down.
    let over = matches!(told.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        || code.starts_with("57P")
        || code.starts_with("08");
    if over { cause.connection_lost() } else { cause }
}
