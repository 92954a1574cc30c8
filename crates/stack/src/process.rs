//! Processes, identified by PID and start time, so that a reused PID is detected.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process};

/// How often a condition is polled.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A process of this machine, which may have exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pid: Pid,
    started: u64,
}

impl Process {
    /// Returns the process that has this PID now.
    pub(crate) fn find(pid: Pid) -> Option<Self> {
        Some(Self { pid, started: Stat::of(pid)?.started })
    }

    /// Reads the output of [`Process::record`].
    pub(crate) fn from_record(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let pid = Pid::from_raw(words.next()?.parse().ok()?)?;
        Some(Self { pid, started: words.next()?.parse().ok()? })
    }

    /// Returns a text that identifies the process.
    pub(crate) fn record(self) -> String {
        format!("{} {}", self.id(), self.started)
    }

    pub(crate) fn pid(self) -> Pid {
        self.pid
    }

    pub(crate) fn id(self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Returns the processor time of all its threads, also of those that have ended, without its descendants.
    pub(crate) fn processor_time(self) -> Option<Duration> {
        let ticks = Stat::of(self.pid)?.ticks;
        Some(Duration::from_millis(ticks * 1000 / clock_ticks_per_second()))
    }

    /// Whether the process runs; a zombie does not.
    pub(crate) fn is_alive(self) -> bool {
        self.stat().is_some_and(|stat| stat.state != 'Z' && stat.state != 'X')
    }

    /// Whether the process is stopped by `SIGSTOP`.
    pub(crate) fn is_stopped(self) -> bool {
        self.stat().is_some_and(|stat| stat.state == 'T')
    }

    /// Sends a signal, unless the process has exited.
    pub(crate) fn signal(self, signal: Signal) {
        if self.is_alive() {
            // This only fails if the process has exited in the meantime.
            kill_process(self.pid, signal).ok();
        }
    }

    /// Returns the process and its descendants, parents first.
    pub(crate) fn tree(self) -> Vec<Self> {
        self.tree_among(&all_processes())
    }

    fn tree_among(self, all: &[(Pid, Stat)]) -> Vec<Self> {
        let mut tree = vec![self];
        let mut next = 0;
        while let Some(parent) = tree.get(next).map(|process| process.id()) {
            next += 1;
            tree.extend(
                all.iter()
                    .filter(|(_, stat)| stat.parent == parent)
                    .map(|(pid, stat)| Self { pid: *pid, started: stat.started }),
            );
        }
        tree
    }

    /// Ends the process and its descendants, see [`end_all`].
    pub(crate) fn end(self, signal: Signal, timeout: Duration) {
        end_all(&[(self, signal)], timeout);
    }

    fn stat(self) -> Option<Stat> {
        Stat::of(self.pid).filter(|stat| stat.started == self.started)
    }
}

/// Sends a signal to each of the processes.
pub(crate) fn signal_all(processes: &[Process], signal: Signal) {
    for process in processes {
        process.signal(signal);
    }
}

/// Ends processes and their descendants: sends its signal to each of them, and after `timeout` `SIGKILL` to all that are left.
pub(crate) fn end_all(processes: &[(Process, Signal)], timeout: Duration) {
    let all = all_processes();
    let mut ending = Vec::new();
    for (process, signal) in processes {
        let tree = process.tree_among(&all);
        signal_all(&tree, Signal::CONT);
        // A killed root cannot end its children.
        let signaled = if *signal == Signal::KILL { tree.len() } else { 1 };
        signal_all(&tree[..signaled], *signal);
        ending.extend(tree);
    }
    if !wait_for_exit(&ending, timeout) {
        signal_all(&ending, Signal::KILL);
        wait_for_exit(&ending, Duration::from_secs(10));
    }
}

/// Waits until all of the processes have exited, and returns whether they have.
fn wait_for_exit(tree: &[Process], timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    while tree.iter().any(|process| process.is_alive()) {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
    true
}

fn all_processes() -> Vec<(Pid, Stat)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?)?;
            Some((pid, Stat::of(pid)?))
        })
        .collect()
}

/// The fields of `/proc/PID/stat` that are used here.
struct Stat {
    state: char,
    parent: i32,
    /// The processor time in user mode and in the kernel.
    ticks: u64,
    started: u64,
}

impl Stat {
    fn of(pid: Pid) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?)
    }

    /// The program's name, in parentheses, may contain blanks and parentheses; the other fields follow the last parenthesis.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let user: u64 = fields.nth(9)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        let started = fields.nth(6)?.parse().ok()?;
        Some(Self { state, parent, ticks: user + system, started })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "7 (a) b) S 3 7 7 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 4242 99";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.started), ('S', 3, 4242));
        assert_eq!(stat.ticks, 9 + 10);
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let own = Process::find(rustix::process::getpid()).unwrap();
        let other = Process { started: own.started + 1, ..own };
        assert!(own.is_alive());
        assert!(!other.is_alive());
        assert_eq!(Process::from_record(&own.record()), Some(own));
    }

    #[test]
    fn a_stopped_process_ends_with_its_children() {
        let mut child =
            Command::new("sh").args(["-c", "trap '' TERM; sleep 100 & wait"]).spawn().unwrap();
        let process = Process::find(Pid::from_child(&child)).unwrap();
        while process.tree().len() < 2 {
            thread::sleep(POLL_INTERVAL);
        }
        let tree = process.tree();
        process.signal(Signal::STOP);
        process.end(Signal::TERM, Duration::from_millis(100));
        assert!(tree.iter().all(|process| !process.is_alive()));
        child.wait().unwrap();
    }
}
