//! What this process has used of the machine, as Linux tells it in `/proc`.

use std::fs;

/// Length of a clock tick in `/proc/self/stat`: 100 in a second on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time and memory.
pub(crate) struct Usage {
    /// Seconds on all cores, user and system.
    pub(crate) cpu_seconds: f64,
    /// Most resident memory so far.
    pub(crate) peak_memory_bytes: u64,
}

impl Usage {
    /// What has been used so far; nothing where the system does not say.
    pub(crate) fn so_far() -> Option<Usage> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program, in parentheses, may hold anything; user and system time are the 12th and 13th after.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let peak_kib: u64 = peak.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(Usage { cpu_seconds: (user + system) / TICKS_PER_SECOND, peak_memory_bytes: peak_kib * 1024 })
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn linux_tells_what_a_process_has_used() {
        let usage = Usage::so_far().expect("tests run on Linux");
        assert!(usage.peak_memory_bytes > 1 << 20 && usage.cpu_seconds < 3_600.0);
    }
}
