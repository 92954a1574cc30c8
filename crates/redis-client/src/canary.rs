//! The key that a check writes to see that writing works: the gateway's own, unique, and gone by itself.

use crate::Command;

/// How long the key lives if the check is cut off before it removes it.
///
/// Long enough that a server that was paused between the commands still finds it.
const LIFETIME_SECONDS: &str = "60";

/// A key and a value that nobody else has.
#[derive(Clone, Debug)]
pub struct Canary {
    key: String,
    value: String,
}

impl Canary {
    /// A new one, named `<prefix>health-gateway:<random>`.
    pub fn new(prefix: &str) -> Self {
        let [key, value]: [u128; 2] = rand::random();
        Self { key: format!("{prefix}health-gateway:{key:032x}"), value: format!("{value:032x}") }
    }

    /// What is written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Writes it with its expiry.
    pub fn write(&self) -> Command {
        Command::new("write", "SET", [&self.key, &self.value, "EX", LIFETIME_SECONDS])
    }

    /// Reads it back.
    pub fn read(&self) -> Command {
        Command::new("read", "GET", [&self.key])
    }

    /// Removes it.
    pub fn delete(&self) -> Command {
        Command::new("delete", "DEL", [&self.key])
    }
}
