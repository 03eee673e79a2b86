//! How many files and sockets this process may have open.

/// `None` without a limit.
pub fn open_files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}
