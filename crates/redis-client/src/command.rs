//! What is asked of a server, and what it answers, in our own types: no type of the client library leaves this crate.

/// A command and the step that it is, for the failure's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub(crate) step: &'static str,
    pub(crate) request: Request,
}

/// What is asked; the client library writes in one go what it knows and is sent together, and everything else each for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Select(u16),
    Set { key: String, value: String, seconds: i64 },
    Get { key: String },
    Delete { key: String },
    Other { name: &'static str, arguments: Vec<String> },
}

impl Command {
    /// `name` with its `arguments`, the key first if it has one: a cluster sends it where that key belongs.
    pub fn new<const N: usize>(
        step: &'static str,
        name: &'static str,
        arguments: [&str; N],
    ) -> Self {
        let arguments = arguments.map(str::to_owned).into();
        Self { step, request: Request::Other { name, arguments } }
    }
}

impl Request {
    /// What the command is called.
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

/// What a server answered when it did not refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is no such value.
    Nil,
    /// A number, for instance of the keys removed.
    Number(i64),
    /// A value or a word such as `OK`.
    Text(String),
    /// Several answers in one.
    List(Vec<Self>),
    /// Something that none of our commands is answered with.
    Other,
}
