//! `tidegate restore` and `tidegate compact`: what is done to the directory of a stopped appliance.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::bar::Bar;
use super::beside::Place;
use super::exit;
use super::exit::Failure;
use super::owner::hand_over;
use super::running::must_hold_store;
use crate::appliance::backups::verify_file;
use crate::store::backup::{BackupError, Progress, Reader, Summary};
use crate::store::open::compact_dir;
use crate::store::restore::{RestoreError, check_target, restore};

/// Make a directory of data out of a backup.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidegate restore /mnt/tidegate-monday.tidegate --data-dir /var/lib/tidegate"
)]
pub struct Restore {
    /// The backup.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Check the backup and the directory, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub fn run(self) -> i32 {
        let dir = match self.place.settings() {
            Ok(settings) => settings.data_dir,
            Err(failure) => return failure.tell(self.json),
        };
        match self.restore(&dir) {
            Ok(summary) => {
                let (stamp, rows) = (&summary.stamp, summary.contents.total().rows);
                if self.json {
                    say!(
                        "{}",
                        json!({
                            "ok": true, "restored": !self.dry_run, "data_dir": dir,
                            "created_at": stamp.created_at, "sequence": stamp.sequence,
                            "rows": rows, "digest": summary.digest_text(),
                        })
                    );
                } else {
                    let done = if self.dry_run { "could be restored" } else { "restored" };
                    say!(
                        "{done}: {rows} rows as of {}, commit {}, into {}",
                        stamp.created_at.to_rfc3339(),
                        stamp.sequence,
                        dir.display()
                    );
                    say!(
                        "deliveries that were out at that moment are made again at the next start"
                    );
                }
                exit::DONE
            }
            Err(failure) => failure.tell(self.json),
        }
    }

    fn restore(&self, dir: &std::path::Path) -> Result<Summary, Failure> {
        let of_backup = |error: BackupError| Failure::backup(&error);
        let of_restore = |error: RestoreError| match &error {
            RestoreError::NotEmpty { .. } => Failure::new(exit::FAILED, error),
            RestoreError::Backup(error) => Failure::backup(error),
            RestoreError::Open(error) => Failure::open(error),
        };
        let reader = Reader::open(&self.file).map_err(of_backup)?;
        check_target(&reader, dir).map_err(of_restore)?;
        let rows = reader.said().map_or(0, |said| said.total().rows);
        let mut bar = Bar::new(if self.dry_run { "verify" } else { "restore" }, rows);
        let mut watch = |progress: Progress| {
            bar.at(progress.rows, progress.file_bytes);
            Ok(())
        };
        if !self.dry_run {
            let restored = restore(reader, dir, &mut watch).map_err(of_restore);
            hand_over(dir);
            return restored;
        }
        let (summary, report) = verify_file(&self.file, &mut watch).map_err(of_backup)?;
        match report.summary() {
            None => Ok(summary),
            Some(what) => Err(Failure::new(exit::VERIFICATION_FAILED, what)),
        }
    }
}

/// Give room back that the store holds and does not need.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate compact --data-dir /var/lib/tidegate")]
pub struct Compact {
    #[command(flatten)]
    place: Place,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Compact {
    pub fn run(self) -> i32 {
        let settings = match self.place.settings() {
            Ok(settings) => settings,
            Err(failure) => return failure.tell(self.json),
        };
        let dir = &settings.data_dir;
        if let Err(failure) = must_hold_store(dir) {
            return failure.tell(self.json);
        }
        let compacted = compact_dir(dir, settings.cache_bytes);
        hand_over(dir);
        match compacted {
            Ok((before, after)) => {
                match self.json {
                    true => say!("{}", json!({ "ok": true, "before": before, "after": after })),
                    false => say!("{before} bytes before, {after} bytes now"),
                }
                exit::DONE
            }
            Err(error) => Failure::open(&error).tell(self.json),
        }
    }
}
