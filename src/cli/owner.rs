//! Root that works on the directory of the service leaves nothing there that the service cannot open.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

/// Files of a folder that are looked at: a directory of data has far fewer.
const FILES_MAX: usize = 10_000;
/// Folders within folders.
const DEPTH_MAX: usize = 2;

/// Gives what root has made in a directory of data to the user that the directory belongs to. What
/// fails is left as it is: the next start says so.
pub fn hand_over(dir: &Path) {
    let Ok(about) = fs::metadata(dir) else { return };
    if rustix::process::geteuid().is_root() && about.uid() != 0 {
        hand_over_to(dir, about.uid(), about.gid(), DEPTH_MAX);
    }
}

fn hand_over_to(dir: &Path, user: u32, group: u32, depth: usize) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten().take(FILES_MAX) {
        let Ok(about) = entry.metadata() else { continue };
        // A second name of a file may lie where that user must not reach.
        let is_plain = about.is_dir() || (about.is_file() && about.nlink() == 1);
        if about.uid() == 0 && is_plain {
            let _ = lchown(entry.path(), Some(user), Some(group));
        }
        if about.is_dir() && depth > 1 {
            hand_over_to(&entry.path(), user, group, depth - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_made_goes_to_the_owner() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("backups")).unwrap();
        let files = ["tidegate.redb", "backups/one.tidegate"].map(|name| dir.path().join(name));
        for file in &files {
            fs::write(file, "x").unwrap();
        }
        let two = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&two.0, "x").unwrap();
        fs::hard_link(&two.0, &two.1).unwrap();
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();
        hand_over(dir.path());
        assert_eq!(owner(&files[0]), 0, "it is root's own");
        // In a namespace of our own there may be no other user to give it to.
        if lchown(dir.path(), Some(65_534), Some(65_534)).is_err() {
            return;
        }
        hand_over(dir.path());
        assert_eq!(files.map(|file| owner(&file)), [65_534, 65_534]);
        assert_eq!(owner(&two.0), 0, "a file with another name");
    }
}
