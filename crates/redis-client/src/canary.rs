//! The short-lived key with which a check verifies that writes work.

use crate::{Command, literal_pattern};

/// The lifetime of the key if the check is dropped before it deletes the key.
///
/// It is long enough for the key to exist after a pause of the server between the commands.
const LIFETIME_SECONDS: &str = "60";

/// A key with a random name and a random value.
#[derive(Clone, Debug)]
pub struct Canary {
    key: String,
    value: String,
}

impl Canary {
    /// A new key, named `<prefix>health-gateway:<random>`.
    pub fn new(prefix: &str) -> Self {
        let [key, value]: [u128; 2] = rand::random();
        Self { key: format!("{prefix}health-gateway:{key:032x}"), value: format!("{value:032x}") }
    }

    /// The pattern of all such keys, for [`Redis::grants`](crate::Redis::grants).
    pub fn pattern(prefix: &str) -> String {
        format!("~{}health-gateway:*", literal_pattern(prefix))
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The value that is written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The command that writes the key with its expiry.
    pub fn write(&self) -> Command {
        Command::new("write", "SET", [&self.key, &self.value, "EX", LIFETIME_SECONDS])
    }

    /// The command that reads the key.
    pub fn read(&self) -> Command {
        Command::new("read", "GET", [&self.key])
    }

    /// The command that deletes the key.
    pub fn delete(&self) -> Command {
        Command::new("delete", "DEL", [&self.key])
    }
}
