//! How much memory this process takes.

/// Resident memory in bytes, where the system tells it in `/proc`.
pub fn resident_bytes() -> Option<u64> {
    resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::resident;

    #[test]
    fn resident_memory_is_read() {
        assert_eq!(resident("VmSize:\t  9 kB\nVmRSS:\t   1024 kB\nThreads: 3"), Some(1_048_576));
        assert_eq!(resident("VmRSS: many"), None);
        assert_eq!(resident(""), None);
    }
}
