//! The duty of backups: makes them when their time has come, and ends the one at work at a stop.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::appliance::backups::Backups;
use crate::base::time::Span;
use crate::model::refusal::Code;

use super::pace::pause;

/// Longest time between two looks at the clock: it may be set.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// After a refusal it is tried again this much later.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// How often a stop looks whether the one at work has ended, and how long apart.
const END_LOOKS_MAX: u32 = 200;
const END_LOOK: Duration = Duration::from_millis(25);

/// Makes backups until `stop`.
pub async fn run(appliance: Appliance, stop: CancellationToken) {
    appliance.discard_backup_drafts();
    while !stop.is_cancelled() {
        let wait = match appliance.backups() {
            // One may be configured.
            Ok(Backups { next_at: None, .. }) => LOOK_EVERY,
            Ok(Backups { next_at: Some(at), at_work, .. }) => match at.since(appliance.now()) {
                left if left > Span::ZERO => left.to_duration().min(LOOK_EVERY),
                _ if at_work.is_some() => END_LOOK,
                _ => begin(&appliance),
            },
            Err(refusal) => {
                tracing::debug!(error = %refusal, "no backup for now");
                REFUSED_PAUSE
            }
        };
        pause(&stop, wait).await;
    }
    appliance.stop_backups();
    for _ in 0..END_LOOKS_MAX {
        if appliance.backup_at_work().is_none() {
            return;
        }
        tokio::time::sleep(END_LOOK).await;
    }
}

fn begin(appliance: &Appliance) -> Duration {
    match appliance.start_backup(None, "schedule") {
        Ok(_) => END_LOOK,
        // Somebody else began one in this moment.
        Err(refusal) if refusal.code == Code::BackupRunning => END_LOOK,
        Err(refusal) => {
            tracing::error!(error = %refusal, "the backup that is due was not begun");
            REFUSED_PAUSE
        }
    }
}
