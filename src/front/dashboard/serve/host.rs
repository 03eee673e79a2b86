//! What the machine says about this process and its file, as far as it can be asked without help.

use std::path::Path;

use crate::store::open::STORE_FILE;

/// Size of the store's file and the room that it takes on disk, in bytes. The file may have holes.
pub fn store_bytes(data_dir: &Path) -> Option<(u64, u64)> {
    let file = std::fs::metadata(data_dir.join(STORE_FILE)).ok()?;
    #[cfg(unix)]
    let allocated = std::os::unix::fs::MetadataExt::blocks(&file) * 512;
    #[cfg(not(unix))]
    let allocated = file.len();
    Some((file.len(), allocated))
}

/// Resident memory in bytes, where the system tells it in `/proc`.
pub fn memory_bytes() -> Option<u64> {
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
