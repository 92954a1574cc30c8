//! Reads a process's CPU time, memory, files and threads from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::error::{Context, Error, Result};

/// The unit of CPU times in `/proc` (`USER_HZ`), the same on all platforms.
const TICK: Duration = Duration::from_millis(10);

/// Returns the CPU time of a process and its running descendants.
pub(crate) fn cpu(pid: i32) -> Result<Duration> {
    let mut ticks = 0;
    for pid in tree(pid)? {
        // A process that has exited in the meantime is not counted.
        ticks += stat(pid).map_or(0, |stat| stat.ticks);
    }
    Ok(TICK * ticks)
}

/// Returns the CPU time of a process without its descendants.
pub(crate) fn own_cpu(pid: i32) -> Result<Duration> {
    Ok(TICK
        * stat(pid).ok_or_else(|| Error::new(format!("/proc/{pid}/stat: cannot be read")))?.ticks)
}

/// Returns the resident memory of a process in bytes.
pub(crate) fn resident(pid: i32) -> Result<u64> {
    status(pid, "VmRSS:").map(|kibibytes| kibibytes * 1024)
}

/// Returns the resident anonymous memory of a process in bytes.
pub(crate) fn anonymous(pid: i32) -> Result<u64> {
    status(pid, "RssAnon:").map(|kibibytes| kibibytes * 1024)
}

/// Returns the number of threads of a process.
pub(crate) fn threads(pid: i32) -> Result<u64> {
    status(pid, "Threads:")
}

/// Returns the open files of a process, such as `socket:[4711]`. A socket's inode identifies it.
pub(crate) fn files(pid: i32) -> Result<BTreeSet<String>> {
    let folder = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&folder).context(&folder)?;
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(links.map(|link| link.to_string_lossy().into_owned()).collect())
}

/// Returns the number of open files of a process.
pub(crate) fn open_files(pid: i32) -> Result<usize> {
    let folder = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&folder).context(&folder)?.count())
}

fn status(pid: i32, key: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).context(&path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Error::new(format!("{path}: no `{key}`")))
}

fn tree(root: i32) -> Result<Vec<i32>> {
    let entries = fs::read_dir("/proc").context("/proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let all: Vec<(i32, i32)> = pids.filter_map(|pid| Some((pid, stat(pid)?.parent))).collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(parent) = tree.get(next).copied() {
        next += 1;
        tree.extend(
            all.iter().filter(|(_, its_parent)| *its_parent == parent).map(|(pid, _)| *pid),
        );
    }
    Ok(tree)
}

struct Stat {
    parent: i32,
    ticks: u32,
}

fn stat(pid: i32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The program's name, in parentheses, may contain blanks and parentheses; the other fields follow the last parenthesis.
fn parse(line: &str) -> Option<Stat> {
    let fields: Vec<_> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let user: u32 = fields.get(11)?.parse().ok()?;
    let system: u32 = fields.get(12)?.parse().ok()?;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks: user + system })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = parse("7 (a) b) S 3 7 7 0 -1 4 5 6 7 8 40 2 0 0 20 0 1 0 4242 99").unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 42));
    }

    #[test]
    fn this_process_can_be_measured() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(resident(own).unwrap() > anonymous(own).unwrap());
        assert!(threads(own).unwrap() > 0 && open_files(own).unwrap() >= files(own).unwrap().len());
        cpu(own).unwrap();
    }
}
