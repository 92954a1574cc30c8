//! Calls of cargo on this workspace.

use std::io;
use std::process::{Command, Stdio};

use stack::{Error, Result};

/// A call of the cargo that runs us, in the folder of the workspace; its standard output goes to standard error.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(stack::workspace()).stdin(Stdio::null()).stdout(io::stderr());
    command
}

/// Runs a command that must succeed; its own output says why it did not.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = describe(command);
    let status =
        command.status().map_err(|error| Error::new(format!("start `{name}`: {error}")))?;
    if status.success() { Ok(()) } else { Err(Error::new(format!("`{name}` failed"))) }
}

/// The command as one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words: Vec<_> = std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}
