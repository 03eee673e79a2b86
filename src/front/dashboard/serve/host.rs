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
