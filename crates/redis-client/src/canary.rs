//! The key that a check writes to see that writing works: the gateway's own, unique, and gone by itself.

use crate::command::Request;
use crate::{Command, literal};

/// How long the key lives if the check is cut off before it removes it.
///
/// Long enough that a server that was paused between the commands still finds it.
const LIFETIME_SECONDS: i64 = 60;

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

    /// All such keys, for [`Redis::grants`](crate::Redis::grants).
    pub fn pattern(prefix: &str) -> String {
        format!("~{}health-gateway:*", literal(prefix))
    }

    /// What is written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Writes it with its expiry.
    pub fn write(&self) -> Command {
        let (key, value) = (self.key.clone(), self.value.clone());
        let request = Request::Set { key, value, seconds: LIFETIME_SECONDS };
        Command { step: "write", request }
    }

    /// Reads it back.
    pub fn read(&self) -> Command {
        Command { step: "read", request: Request::Get { key: self.key.clone() } }
    }

    /// Removes it.
    pub fn delete(&self) -> Command {
        Command { step: "delete", request: Request::Delete { key: self.key.clone() } }
    }
}
