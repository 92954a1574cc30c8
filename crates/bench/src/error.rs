//! Adds context to `stack`'s error type.

use std::fmt::Display;

pub(crate) use stack::{Error, Result};

/// Adds the operation that failed to an error.
pub(crate) trait Context<T> {
    fn context(self, what: &str) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: &str) -> Result<T> {
        self.map_err(|cause| Error::new(format!("{what}: {cause}")))
    }
}

/// Returns the error for a response that does not follow the protocol.
pub(crate) fn unexpected(what: impl Display) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, format!("unexpected: {what}"))
}
