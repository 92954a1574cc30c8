//! Measures the processor time of a thread and the peak memory of the process.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor time of this thread so far: unlike the time of day, it does not depend on the load of the machine.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::from_secs(time.tv_sec.unsigned_abs())
        + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// The peak memory of this process in bytes, since it was last reset.
pub(crate) fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
    size.and_then(|size| size.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// Makes the present memory of this process its peak, where the kernel allows it.
pub(crate) fn reset_peak_memory() {
    // If this fails, growth is counted from the start of the process.
    drop(fs::write("/proc/self/clear_refs", "5"));
}
