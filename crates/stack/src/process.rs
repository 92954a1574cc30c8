//! A running process by its id and its start time, so that a recycled id is never mistaken for it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How often something that is about to happen is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// One process of this machine, which may be gone by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pid: Pid,
    started: u64,
}

impl Process {
    /// The process that has this id right now.
    pub(crate) fn now(pid: Pid) -> Option<Self> {
        Some(Self { pid, started: Stat::of(pid)?.started })
    }

    /// The process that was written down with [`Process::record`].
    pub(crate) fn from_record(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let pid = Pid::from_raw(words.next()?.parse().ok()?)?;
        Some(Self { pid, started: words.next()?.parse().ok()? })
    }

    /// The process as text that survives this program.
    pub(crate) fn record(self) -> String {
        format!("{} {}", self.id(), self.started)
    }

    pub(crate) fn pid(self) -> Pid {
        self.pid
    }

    pub(crate) fn id(self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Whether it runs; one that ended and waits to be reaped does not.
    pub(crate) fn is_alive(self) -> bool {
        self.stat().is_some_and(|stat| stat.state != 'Z' && stat.state != 'X')
    }

    /// Whether `SIGSTOP` holds it.
    pub(crate) fn is_stopped(self) -> bool {
        self.stat().is_some_and(|stat| stat.state == 'T')
    }

    /// Sends the signal if the process is still this one; a process that is gone needs none.
    pub(crate) fn signal(self, signal: Signal) {
        if self.is_alive() {
            // The only failure left is that it ended in between, which is as good.
            kill_process(self.pid, signal).ok();
        }
    }

    /// It and every process beneath it, parents first.
    pub(crate) fn tree(self) -> Vec<Self> {
        let all: Vec<(Pid, Stat)> = every_process();
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

    /// Ends the whole tree: first its root with `signal`, and whatever is left after `patience` with `SIGKILL`.
    pub(crate) fn end(self, signal: Signal, patience: Duration) {
        let tree = self.tree();
        signal_all(&tree, Signal::CONT);
        self.signal(signal);
        // Who was killed cannot take anybody along.
        if signal == Signal::KILL || !gone_within(&tree, patience) {
            signal_all(&tree, Signal::KILL);
            gone_within(&tree, Duration::from_secs(10));
        }
    }

    fn stat(self) -> Option<Stat> {
        Stat::of(self.pid).filter(|stat| stat.started == self.started)
    }
}

/// Sends the signal to each of them.
pub(crate) fn signal_all(processes: &[Process], signal: Signal) {
    for process in processes {
        process.signal(signal);
    }
}

fn gone_within(tree: &[Process], patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while tree.iter().any(|process| process.is_alive()) {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

fn every_process() -> Vec<(Pid, Stat)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?)?;
            Some((pid, Stat::of(pid)?))
        })
        .collect()
}

/// The three fields of `/proc/PID/stat` that matter here.
struct Stat {
    state: char,
    parent: i32,
    started: u64,
}

impl Stat {
    fn of(pid: Pid) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?)
    }

    /// The program's name, in parentheses, may hold blanks and parentheses itself; all else follows the last one.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self { state, parent, started })
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
    }

    #[test]
    fn a_recycled_id_is_another_process() {
        let own = Process::now(rustix::process::getpid()).unwrap();
        let other = Process { started: own.started + 1, ..own };
        assert!(own.is_alive());
        assert!(!other.is_alive());
        assert_eq!(Process::from_record(&own.record()), Some(own));
    }

    #[test]
    fn a_tree_ends_with_its_children_even_when_stopped() {
        let mut child =
            Command::new("sh").args(["-c", "trap '' TERM; sleep 100 & wait"]).spawn().unwrap();
        let process = Process::now(Pid::from_child(&child)).unwrap();
        while process.tree().len() < 2 {
            thread::sleep(POLL);
        }
        let tree = process.tree();
        process.signal(Signal::STOP);
        process.end(Signal::TERM, Duration::from_millis(100));
        assert!(tree.iter().all(|process| !process.is_alive()));
        child.wait().unwrap();
    }
}
