//! Reads a process's CPU time, memory, files and threads from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::error::{Context, Error, Result};

/// The unit of CPU times in `/proc` (`USER_HZ`), the same on all platforms.
const TICK: Duration = Duration::from_millis(10);

/// The threads or processes of which the CPU time is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cpu {
    /// That of this process.
    Own,
    /// That of the threads of another process, without those that end meanwhile.
    Threads(i32),
    /// That of a process and its running descendants, in ticks.
    Tree(i32),
}

impl Cpu {
    /// Returns the CPU time that passes during some work.
    pub(crate) fn during<T>(self, work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
        match self {
            Self::Own => {
                let before = own_process();
                let done = work()?;
                Ok((done, own_process().saturating_sub(before)))
            }
            Self::Threads(pid) => {
                let before = threads_cpu(pid)?;
                let done = work()?;
                let after = threads_cpu(pid)?;
                let spent = |(thread, time): (&String, &u64)| {
                    time.saturating_sub(before.get(thread).copied().unwrap_or_default())
                };
                Ok((done, Duration::from_nanos(after.iter().map(spent).sum())))
            }
            Self::Tree(pid) => {
                let before = tree_cpu(pid)?;
                let done = work()?;
                Ok((done, tree_cpu(pid)?.saturating_sub(before)))
            }
        }
    }
}

/// Returns the CPU time of this process.
fn own_process() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Returns the CPU time of each thread of a process in nanoseconds, by the thread's number.
fn threads_cpu(pid: i32) -> Result<BTreeMap<String, u64>> {
    let folder = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&folder).context(&folder)?.filter_map(|entry| {
        let entry = entry.ok()?;
        // A thread that has exited in the meantime is not counted.
        let times = fs::read_to_string(entry.path().join("schedstat")).ok()?;
        let on_cpu = times.split_whitespace().next()?.parse().ok()?;
        Some((entry.file_name().to_string_lossy().into_owned(), on_cpu))
    });
    Ok(threads.collect())
}

/// Returns the CPU time of a process and its running descendants.
fn tree_cpu(pid: i32) -> Result<Duration> {
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

/// Returns the number of connections of a process to these servers.
pub(crate) fn connections(pid: i32, servers: &[SocketAddr]) -> Result<usize> {
    let (path, files) = (format!("/proc/{pid}/net/tcp"), files(pid)?);
    let table = fs::read_to_string(&path).context(&path)?;
    let is_one = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (Some(remote), Some(inode)) = (fields.get(2), fields.get(9)) else { return false };
        let port = remote.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        let is_server = servers.iter().any(|server| Some(server.port()) == port);
        is_server && files.contains(&format!("socket:[{inode}]"))
    };
    Ok(table.lines().filter(|line| is_one(line)).count())
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
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

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
    }

    #[test]
    fn cpu_time_is_that_of_the_work() {
        let own = i32::try_from(std::process::id()).unwrap();
        let spin = || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(100) {}
            Ok(())
        };
        for cpu in [Cpu::Own, Cpu::Threads(own), Cpu::Tree(own)] {
            let ((), busy) = cpu.during(spin).unwrap();
            let ((), idle) = cpu.during(|| Ok(())).unwrap();
            assert!(busy > idle, "{cpu:?}: {busy:?}, {idle:?}");
        }
    }

    #[test]
    fn a_connection_is_counted_at_its_server() {
        let own = i32::try_from(std::process::id()).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
        assert_eq!(connections(own, &[address]).unwrap(), clients.len());
    }
}
