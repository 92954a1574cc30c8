//! Commands and replies, in types that hide those of the client library.

/// A command, and the step that its failure names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub(crate) step: &'static str,
    pub(crate) operation: Operation,
}

/// The command to send. The client library pipelines the commands for which it has methods, but writes each `Other` on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Select(u16),
    Set { key: String, value: String, seconds: i64 },
    Get { key: String },
    Delete { key: String },
    Other { name: &'static str, arguments: Vec<String> },
}

impl Command {
    /// The command `name` with its `arguments`. A key must come first, since a cluster routes the command by its first argument.
    pub fn new<const N: usize>(
        step: &'static str,
        name: &'static str,
        arguments: [&str; N],
    ) -> Self {
        let arguments = arguments.map(str::to_owned).into();
        Self { step, operation: Operation::Other { name, arguments } }
    }
}

impl Operation {
    /// The name of the command.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Select(_) => "SELECT",
            Self::Set { .. } => "SET",
            Self::Get { .. } => "GET",
            Self::Delete { .. } => "DEL",
            Self::Other { name, .. } => name,
        }
    }
}

/// A server's reply to a command, unless it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The value does not exist.
    Nil,
    /// A number, such as the number of deleted keys.
    Number(i64),
    /// A value, or a status such as `OK`.
    Text(String),
    /// Several replies in one.
    List(Vec<Self>),
    /// Any other type, which is not expected in reply to a check's command.
    Other,
}
