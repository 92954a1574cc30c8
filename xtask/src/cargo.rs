//! Runs cargo and other commands in this workspace.

use std::io;
use std::process::{Command, Stdio};

use stack::{Error, Result};

/// Held by a test that builds and runs the gateway: builds of two workspaces replace each other's binary in the target folder.
#[cfg(test)]
pub(crate) static GATEWAY_BINARY: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

/// Returns a cargo command in the workspace's folder; its standard output goes to standard error.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(stack::workspace()).stdin(Stdio::null()).stdout(io::stderr());
    command
}

/// Runs a command; a failure is an error, and the command's own output is the reason.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = describe(command);
    let status =
        command.status().map_err(|error| Error::new(format!("start `{name}`: {error}")))?;
    if status.success() { Ok(()) } else { Err(Error::new(format!("`{name}` failed"))) }
}

/// Runs a command, and returns its standard output; a failure is an error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = describe(command);
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Error::new(format!("start `{name}`: {error}")))?;
    if !output.status.success() {
        return Err(Error::new(format!("`{name}` failed")));
    }
    String::from_utf8(output.stdout)
        .map_err(|error| Error::new(format!("read the output of `{name}`: {error}")))
}

/// Returns the command line, for messages.
pub(crate) fn describe(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let args: Vec<_> = std::iter::once(program)
        .chain(command.get_args())
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    args.join(" ")
}
