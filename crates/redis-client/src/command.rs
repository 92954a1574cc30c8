//! Commands and replies, in types that hide those of the client library.

use redis::{Cmd, Pipeline, Value};

/// A command, and the step that its failure names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub(crate) step: &'static str,
    pub(crate) name: &'static str,
    pub(crate) arguments: Vec<String>,
    /// The code of an error reply that is no failure.
    pub(crate) accepted: Option<&'static str>,
    /// The position of the argument by which a cluster routes the command.
    key: usize,
}

impl Command {
    /// The command `name` with its `arguments`. A key must come first, since a cluster routes the command by it.
    pub fn new<const N: usize>(
        step: &'static str,
        name: &'static str,
        arguments: [&str; N],
    ) -> Self {
        Self { step, name, arguments: arguments.map(str::to_owned).into(), accepted: None, key: 0 }
    }

    /// `EVAL` or `EVALSHA` of a script that accesses one key.
    pub(crate) fn script(
        step: &'static str,
        name: &'static str,
        script: &str,
        key: &str,
        arguments: &[&str],
    ) -> Self {
        let arguments = [script, "1", key].into_iter().chain(arguments.iter().copied());
        let arguments = arguments.map(str::to_owned).collect();
        Self { step, name, arguments, accepted: None, key: 2 }
    }

    /// The key by which a cluster routes the command, if it has one.
    pub(crate) fn key(&self) -> Option<&str> {
        self.arguments.get(self.key).map(String::as_str)
    }

    /// Accepts an error reply with this code, such as `MISCONF`.
    #[must_use]
    pub fn accepting(self, code: &'static str) -> Self {
        Self { accepted: Some(code), ..self }
    }
}

/// Encodes commands as one pipeline.
pub(crate) fn pipeline<'a>(commands: impl IntoIterator<Item = &'a Command>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for Command { name, arguments, .. } in commands {
        let mut command = Cmd::new();
        command.arg(*name).arg(arguments);
        pipeline.add_command(command);
    }
    pipeline
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
    /// A value that is not text in UTF-8.
    Bytes(Vec<u8>),
    /// Several replies in one.
    List(Vec<Self>),
    /// Any other type, which is not expected in reply to a check's command.
    Other,
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        match value {
            Value::Nil => Self::Nil,
            Value::Okay => Self::Text("OK".to_owned()),
            Value::Int(number) => Self::Number(number),
            Value::SimpleString(text) => Self::Text(text),
            Value::BulkString(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Self::Text(text),
                Err(error) => Self::Bytes(error.into_bytes()),
            },
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            _ => Self::Other,
        }
    }
}
