//! Runs a program of the project that exits with 1 if it finds a defect.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use stack::{Error, Result};

/// How often to look whether the program has exited.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Runs the `command` of the program `name`, with the `seed` of its random choices if there is one. `defect` is the error if it finds one.
///
/// After Ctrl-C or SIGTERM, the program ends what it has started, which this waits for.
pub(crate) fn run(
    command: &mut Command,
    name: &str,
    seed: Option<u64>,
    defect: &str,
) -> Result<()> {
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, interrupted.clone())
            .map_err(|error| Error::new(format!("wait for signals: {error}")))?;
    }
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| Error::new(format!("start the {name}: {error}")))?;
    let status = wait(&mut child, &interrupted)
        .map_err(|error| Error::new(format!("wait for the {name}: {error}")))?;
    match status.code() {
        _ if interrupted.load(Ordering::Relaxed) => Err(Error::new("interrupted")),
        Some(0) => Ok(()),
        Some(1) => Err(Error::new(defect)),
        _ => Err(Error::new(format!("the {name} could not be run"))),
    }
}

/// Waits for the program, and passes on the first signal.
fn wait(child: &mut Child, interrupted: &AtomicBool) -> std::io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupted.load(Ordering::Relaxed) {
            // Ctrl-C has reached it as well.
            kill_process(Pid::from_child(child), Signal::TERM)?;
            return child.wait();
        }
        thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_passed_on_to_the_program_which_is_waited_for() {
        let script = "trap 'kill $!; exit 7' TERM; sleep 100 & wait";
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let interrupted = AtomicBool::new(false);
        thread::scope(|scope| {
            let status = scope.spawn(|| wait(&mut child, &interrupted).unwrap());
            interrupted.store(true, Ordering::Relaxed);
            // A signal before the trap is set ends the shell.
            let code = status.join().unwrap().code();
            assert!(matches!(code, Some(7) | None), "{code:?}");
        });
    }
}
