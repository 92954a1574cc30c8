//! How a failure of the bench is told: `stack`'s error, with what was being done.

use std::fmt::Display;

pub(crate) use stack::{Error, Result};

/// Says what was being done when something failed.
pub(crate) trait Context<T> {
    fn context(self, what: &str) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: &str) -> Result<T> {
        self.map_err(|cause| Error::new(format!("{what}: {cause}")))
    }
}

/// An error of a server that does not answer as its protocol says.
pub(crate) fn unexpected(what: impl Display) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, format!("unexpected: {what}"))
}
