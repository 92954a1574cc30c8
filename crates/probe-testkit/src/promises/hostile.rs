//! Answers of a backend that flood, nest deeply, or declare lengths that exceed all memory.

use std::time::Duration;

use crate::suite::{Run, Suite};

/// The deadline of a run against a hostile backend, which may stay silent after a declared length.
const DEADLINE: Duration = Duration::from_millis(500);
/// How much a run may add to the resident memory of the process, at its peak. The limit of the gateway's pod is 64 MiB.
const MAX_RESIDENT: u64 = 64 * 1024;
/// How much a run may add to the reserved memory, with room for the stacks of other tests' threads.
const MAX_RESERVED: u64 = 1024 * 1024;

/// No hostile answer makes a check succeed, block or use much memory, and the next run succeeds.
pub(crate) async fn answers_end_a_check(suite: &Suite) {
    let proxy = suite.proxy();
    for hostile in suite.subject.hostile.clone() {
        let component = suite.component(&proxy).await;
        for when in ["never connected before", "connected before"] {
            let before = Memory::peak();
            proxy.answer(hostile.clone());
            for Run { name, outcome } in suite.run(&component, DEADLINE).await {
                if outcome.is_working() {
                    suite.fail(&format!("answered with {hostile:?}, {when}, `{name}` succeeds"));
                }
            }
            if let Some(how) = Memory::peak().exceeds(before) {
                suite.fail(&format!("answered with {hostile:?}, {when}, it {how}"));
            }
            proxy.heal();
            suite.expect_working(&component, &format!("after {hostile:?}")).await;
        }
        suite.drop(vec![component]).await;
    }
}

/// The memory of this process at its peak so far, in KiB.
#[derive(Clone, Copy)]
struct Memory {
    resident: u64,
    reserved: u64,
}

impl Memory {
    fn peak() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux has `/proc`");
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.trim().strip_suffix(" kB"));
            value.and_then(|value| value.parse().ok()).expect("a size in KiB")
        };
        Self { resident: value("VmHWM:"), reserved: value("VmPeak:") }
    }

    /// The excess over the limits since `before`, if there is any. The kernel counts pages for each thread, so that a peak can seem to fall.
    fn exceeds(self, before: Self) -> Option<String> {
        let resident = self.resident.saturating_sub(before.resident);
        let reserved = self.reserved.saturating_sub(before.reserved);
        (resident > MAX_RESIDENT || reserved > MAX_RESERVED)
            .then(|| format!("used {resident} KiB more, and reserved {reserved} KiB more"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_memory_is_reported() {
        let before = Memory { resident: 10, reserved: 20 };
        let grown = |resident, reserved| {
            Memory { resident: 10 + resident, reserved: 20 + reserved }.exceeds(before)
        };
        assert_eq!(grown(MAX_RESIDENT, MAX_RESERVED), None);
        let held = Some("used 65537 KiB more, and reserved 0 KiB more".to_owned());
        assert_eq!(grown(MAX_RESIDENT + 1, 0), held);
        let reserved = Some("used 0 KiB more, and reserved 1048577 KiB more".to_owned());
        assert_eq!(grown(0, MAX_RESERVED + 1), reserved);
    }
}
