//! What is asked of a server, and what it answers, in our own types: no type of the client library leaves this crate.

/// A command and the step that it is, for the failure's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub(crate) step: &'static str,
    pub(crate) name: &'static str,
    pub(crate) arguments: Vec<String>,
}

impl Command {
    /// `name` with its `arguments`, the key first if it has one: a cluster sends it where that key belongs.
    pub fn new<const N: usize>(
        step: &'static str,
        name: &'static str,
        arguments: [&str; N],
    ) -> Self {
        Self { step, name, arguments: arguments.map(str::to_owned).into() }
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
