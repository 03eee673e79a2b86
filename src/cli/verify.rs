//! `tidegate verify`: whether a backup, or the directory of a stopped appliance, is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value, json};

use super::bar::Bar;
use super::exit;
use super::exit::Failure;
use super::owner::hand_over;
use super::running::must_hold_store;
use crate::appliance::backups::verify_file;
use crate::base::panics::caught;
use crate::ledger::verify::{Report, verify};
use crate::store::backup::{BackupError, Reader, Summary};
use crate::store::open::{CACHE_BYTES, OpenError, check_pages, open_dir};

/// Check a backup, or the directory of a stopped appliance.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate verify /mnt/tidegate-monday.tidegate")]
pub struct Verify {
    /// A backup, or a directory of data.
    #[arg(value_name = "FILE|DIR")]
    what: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(self) -> i32 {
        let is_dir = self.what.is_dir();
        // What is damaged may break an assumption of whoever reads it.
        let looked = caught(|| match is_dir {
            true => look_at_dir(&self.what).map(|report| (None, report)),
            false => look_at_file(&self.what).map(|(summary, report)| (Some(summary), report)),
        });
        let broken = |said| {
            let what = self.what.display();
            let what = format!("`{what}` is damaged: reading it broke an invariant: {said}");
            Err(Failure::new(exit::VERIFICATION_FAILED, what))
        };
        match looked.unwrap_or_else(broken) {
            Ok((summary, report)) => {
                match self.json {
                    true => say!("{}", told(&self.what, summary.as_ref(), &report)),
                    false => print(&self.what, summary.as_ref(), &report),
                }
                if report.found == 0 { exit::DONE } else { exit::VERIFICATION_FAILED }
            }
            Err(failure) => failure.tell(self.json),
        }
    }
}

fn look_at_file(path: &Path) -> Result<(Summary, Report), Failure> {
    let failed = |error: BackupError| Failure::backup(&error);
    let reader = Reader::open(path).map_err(failed)?;
    // Its rows are read once for the sums, and twice for the questions.
    let total = reader.said().map_or(0, |said| said.total().rows);
    drop(reader);
    let mut bar = Bar::new("verify", total);
    let mut watch = |progress: crate::store::backup::Progress| {
        bar.at(progress.rows, progress.file_bytes);
        Ok(())
    };
    verify_file(path, &mut watch).map_err(failed)
}

fn look_at_dir(dir: &Path) -> Result<Report, Failure> {
    let failed = |error: OpenError| Failure::open(&error);
    must_hold_store(dir)?;
    let opened = open_dir(dir, CACHE_BYTES, Arc::new(|_| ())).map_err(failed)?;
    check_pages(&opened, CACHE_BYTES).map_err(failed)?;
    let unreadable = |error: BackupError| Failure::new(exit::VERIFICATION_FAILED, error);
    let view = opened.disk.snapshot().map_err(|fault| unreadable(fault.into()))?;
    let (mut bar, mut rows) = (Bar::new("verify", view.rows_about() * 2), 0);
    let report = verify(&view, &mut |seen| {
        rows += seen;
        bar.at(rows, 0);
        Ok(())
    });
    drop(view);
    opened.disk.close();
    drop(opened);
    hand_over(dir);
    report.map_err(unreadable)
}

fn print(path: &Path, summary: Option<&Summary>, report: &Report) {
    if let Some(summary) = summary {
        let stamp = &summary.stamp;
        say!("{}: a backup of tidegate {}", path.display(), stamp.tool);
        say!(
            "  made {}, up to commit {}, data format {}",
            stamp.created_at.to_rfc3339(),
            stamp.sequence,
            stamp.format
        );
        say!("  {} bytes, sha256 {}", summary.file_bytes, summary.digest_text());
    }
    let total: u64 = report.tables.values().sum();
    say!("  {total} rows");
    for (name, rows) in report.by_name() {
        say!("    {name:<18} {rows}");
    }
    for what in &report.left_out {
        say!("  not checked: {what}");
    }
    for problem in &report.problems {
        say!("  wrong: {problem}");
    }
    match report.found {
        0 => say!("  whole: every checksum, index, timer and counter is right"),
        found => say!("  NOT WHOLE: {found} problems"),
    }
}

/// The shape that `--json` prints.
pub fn told(path: &Path, summary: Option<&Summary>, report: &Report) -> Value {
    let tables: Map<String, Value> =
        report.by_name().map(|(name, rows)| (name, rows.into())).collect();
    let mut told = json!({
        "ok": report.found == 0,
        "path": path,
        "kind": if summary.is_some() { "backup" } else { "directory" },
        "rows": report.tables.values().sum::<u64>(),
        "tables": tables,
        "found": report.found,
        "problems": report.problems,
        "left_out": report.left_out,
    });
    if let Some(summary) = summary {
        told["format"] = summary.stamp.format.into();
        told["created_at"] = json!(summary.stamp.created_at);
        told["sequence"] = summary.stamp.sequence.into();
        told["tool"] = json!(summary.stamp.tool);
        told["file_bytes"] = summary.file_bytes.into();
        told["digest"] = summary.digest_text().into();
    }
    told
}
