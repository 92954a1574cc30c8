//! The standard metrics of a process, read from `/proc`.

use std::time::Duration;
use std::{fmt, fs};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::{Family, NO_LABELS, gauge};

pub(super) const FAMILIES: &[&Family] =
    &[&CPU_SECONDS, &START_TIME, &RESIDENT_MEMORY, &VIRTUAL_MEMORY, &OPEN_FDS, &MAX_FDS];

const CPU_SECONDS: Family =
    Family::counter("process_cpu_seconds", &[], "CPU time of the process, user and system.");

const RESIDENT_MEMORY: Family =
    Family::gauge("process_resident_memory_bytes", &[], "Resident memory of the process.");

const VIRTUAL_MEMORY: Family =
    Family::gauge("process_virtual_memory_bytes", &[], "Virtual memory of the process.");

const START_TIME: Family =
    Family::gauge("process_start_time_seconds", &[], "When the process was started.");

const OPEN_FDS: Family = Family::gauge("process_open_fds", &[], "Open files of the process.");

const MAX_FDS: Family =
    Family::gauge("process_max_fds", &[], "The limit on open files of the process.");

/// Reads the state of this process. What cannot be read is absent.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    /// When the system was started, in seconds since 1970.
    boot_time: Option<u64>,
}

/// Values of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_time: Duration,
    /// When the process was started, counted from the start of the system.
    started: Duration,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl ProcessCollector {
    pub(super) fn new() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot_time = stat.lines().find_map(|line| line.strip_prefix("btime "));
        Self { boot_time: boot_time.and_then(|seconds| seconds.trim().parse().ok()) }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let stat = Stat::parse(&stat, clock_ticks_per_second());
        let mut family = CPU_SECONDS.encode(&mut encoder)?;
        if let Some(stat) = &stat {
            let seconds = stat.cpu_time.as_secs_f64();
            family.encode_counter::<NoLabelSet, _, u64>(&seconds, None)?;
        }
        let mut family = START_TIME.encode(&mut encoder)?;
        if let (Some(stat), Some(boot_time)) = (&stat, self.boot_time) {
            let start_time = Duration::from_secs(boot_time) + stat.started;
            gauge(&mut family, &NO_LABELS, &start_time.as_secs_f64())?;
        }
        let resident_bytes = stat.as_ref().map(|stat| stat.resident_pages * page_size() as u64);
        for (family, value) in [
            (RESIDENT_MEMORY, resident_bytes),
            (VIRTUAL_MEMORY, stat.map(|stat| stat.virtual_bytes)),
            (OPEN_FDS, open_files()),
            (MAX_FDS, getrlimit(Resource::Nofile).current),
        ] {
            let mut family = family.encode(&mut encoder)?;
            value.map_or(Ok(()), |value| gauge(&mut family, &NO_LABELS, &value))?;
        }
        Ok(())
    }
}

impl Stat {
    fn parse(text: &str, ticks_per_second: u64) -> Option<Self> {
        // The name of the program may contain anything, so the fields are counted from its end. The first of them is field 3 of `man 5 proc`.
        let fields: Vec<_> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let time = |ticks: u64| Duration::from_millis(ticks * 1000 / ticks_per_second);
        Some(Self {
            cpu_time: time(field(14)? + field(15)?),
            started: time(field(22)?),
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// The number of open files, without the one that this needs.
fn open_files() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    entries.saturating_sub(1).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_may_contain_anything() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 19 0 4200 8192 3 1";
        let expected = Stat {
            cpu_time: Duration::from_secs(3),
            started: Duration::from_secs(42),
            virtual_bytes: 8192,
            resident_pages: 3,
        };
        assert_eq!(Stat::parse(text, 100), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1", 100), None);
        assert_eq!(Stat::parse("", 100), None);
    }
}
