//! `tidegate backup`: one file that holds everything, of a running appliance or a stopped one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::bar::Bar;
use super::beside::Place;
use super::exit;
use super::exit::Failure;
use super::owner::hand_over;
use super::running::{Found, Running, find};
use crate::base::time::{Clock, SystemClock};
use crate::config::settings::Settings;
use crate::store::backup::{
    BACKUP_SUFFIX, BackupError, Reader, Stamp, Summary, create, write_synced,
};
use crate::store::open::DataDir;
use crate::store::tables::FORMAT;

/// Between two looks at a backup that the appliance makes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Write a backup.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidegate backup --data-dir /var/lib/tidegate --to /mnt/tidegate-monday.tidegate"
)]
pub struct Backup {
    #[command(flatten)]
    place: Place,
    /// File to write, which must not exist; unless given, one in the directory of backups.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub fn run(self) -> i32 {
        let settings = match self.place.settings() {
            Ok(settings) => settings,
            Err(failure) => return failure.tell(self.json),
        };
        match self.back_up(&settings) {
            Ok((path, summary)) => {
                if self.json {
                    say!("{}", told(&path, &summary));
                } else {
                    say!(
                        "{}: {} rows up to commit {}, {} bytes, sha256 {}",
                        path.display(),
                        summary.contents.total().rows,
                        summary.stamp.sequence,
                        summary.file_bytes,
                        summary.digest_text()
                    );
                }
                exit::DONE
            }
            Err(failure) => failure.tell(self.json),
        }
    }

    fn back_up(&self, settings: &Settings) -> Result<(PathBuf, Summary), Failure> {
        if let Some(to) = self.to.as_ref().filter(|to| to.symlink_metadata().is_ok()) {
            return Err(failure(BackupError::Exists(to.clone())));
        }
        match find(settings)? {
            Found::Stopped(opened) => {
                let made = self.of_stopped(settings, &opened);
                drop(opened);
                hand_over(&settings.data_dir);
                made
            }
            Found::Running(running) => self.of_running(&running),
        }
    }

    fn of_stopped(
        &self,
        settings: &Settings,
        opened: &DataDir,
    ) -> Result<(PathBuf, Summary), Failure> {
        let now = SystemClock.now();
        let path = match &self.to {
            Some(to) => to.clone(),
            None => {
                let dir = &settings.backup.dir;
                std::fs::create_dir_all(dir)
                    .map_err(|source| failure(BackupError::Io { path: dir.clone(), source }))?;
                let time = now.to_rfc3339().replace(['-', ':', '.'], "");
                dir.join(format!("backup-{time}{BACKUP_SUFFIX}"))
            }
        };
        let view = opened.disk.snapshot().map_err(|fault| failure(fault.into()))?;
        let tool = env!("CARGO_PKG_VERSION").to_owned();
        let stamp = Stamp { format: FORMAT, created_at: now, sequence: view.sequence(), tool };
        let mut bar = Bar::new("backup", view.rows_about());
        let summary = create(&view, &stamp, &path, &mut |progress| {
            bar.at(progress.rows, progress.file_bytes);
            Ok(())
        });
        drop(view);
        opened.disk.close();
        Ok((path, summary.map_err(failure)?))
    }

    /// The appliance writes it where its backups go; it is moved from there.
    fn of_running(&self, running: &Running) -> Result<(PathBuf, Summary), Failure> {
        let begun = running.post("/v1/admin/backup", json!({}))?;
        let made = PathBuf::from(text(&begun, "path")?);
        wait_for(running, &begun)?;
        let path = match &self.to {
            None => made,
            Some(to) => {
                copy(&made, to).map_err(failure)?;
                // The copy is what was asked for; the other one only takes room.
                let _ = std::fs::remove_file(made);
                to.clone()
            }
        };
        let reader = Reader::open(&path).map_err(failure)?;
        let mut bar =
            Bar::new("reading it again", reader.said().map_or(0, |said| said.total().rows));
        let mut watch = |progress: crate::store::backup::Progress| {
            bar.at(progress.rows, progress.file_bytes);
            Ok(())
        };
        let summary = reader.read(&mut |_, _| Ok(()), &mut watch).map_err(failure)?;
        Ok((path, summary))
    }
}

/// Until it is no longer at work; a failure when it did not succeed.
fn wait_for(running: &Running, begun: &Value) -> Result<(), Failure> {
    let name = text(begun, "name")?;
    let mut bar = Bar::new("backup", begun["rows_about"].as_u64().unwrap_or(0));
    loop {
        let page = running.get("/v1/admin/backups")?;
        let at_work = &page["running"];
        let is_mine = at_work["name"] == name && at_work["phase"] == "writing";
        if !is_mine {
            let mut backups = page["backups"].as_array().into_iter().flatten();
            let found = backups.find(|backup| backup["name"] == name);
            let text = |field: &str| found.and_then(|found| found[field].as_str());
            if let Some(error) = text("error") {
                return Err(Failure::new(exit::FAILED, error));
            }
            if let Some(damage) = text("damage") {
                let what = format!("`{name}` was written and is not whole: {damage}");
                return Err(Failure::new(exit::VERIFICATION_FAILED, what));
            }
            // It is remembered a moment after it is written.
            if found.is_some_and(|found| found["state"] == "done") && at_work["name"] != name {
                return Ok(());
            }
            if found.is_none() && at_work.is_null() {
                let what = format!("the appliance knows nothing of `{name}`");
                return Err(Failure::new(exit::FAILED, what));
            }
        }
        let number = |field: &str| at_work[field].as_u64().unwrap_or(0);
        bar.at(number("rows"), number("file_bytes"));
        std::thread::sleep(LOOK_EVERY);
    }
}

fn text<'v>(value: &'v Value, field: &str) -> Result<&'v str, Failure> {
    let odd =
        || Failure::new(exit::FAILED, format!("the answer of the appliance has no `{field}`"));
    value[field].as_str().ok_or_else(odd)
}

fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let io = |source| BackupError::Io { path: from.to_owned(), source };
    let mut source = std::fs::File::open(from).map_err(io)?;
    write_synced(to, &mut |mut out: &mut dyn Write, _| {
        std::io::copy(&mut source, &mut out).map(drop).map_err(io)
    })
}

/// The shape that `--json` prints.
fn told(path: &Path, summary: &Summary) -> Value {
    json!({
        "ok": true, "path": path, "created_at": summary.stamp.created_at,
        "sequence": summary.stamp.sequence, "rows": summary.contents.total().rows,
        "file_bytes": summary.file_bytes, "digest": summary.digest_text(),
    })
}

fn failure(error: BackupError) -> Failure {
    Failure::backup(&error)
}
