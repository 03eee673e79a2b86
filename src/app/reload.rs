//! Settings that are read again while the appliance runs.
//!
//! What can change without a restart is put in force; what cannot is named in the log and on the page
//! of the configuration, and waits. A configuration that cannot be used changes nothing.

use std::sync::Arc;

use crate::appliance::Appliance;
use crate::base::time::Time;
use crate::config::settings::{BadSetting, Settings};
use crate::front::http::configuration::{Configuration, InForce, RefusedReload};
use crate::model::alert::Channel;
use crate::model::refusal::Refusal;
use crate::model::setting::Setting;
use crate::model::target::check_url;
use crate::model::task::Task;
use crate::work::alerts::channels::{self, Channels};

/// Sections and settings that change without a restart.
const LIVE: [&str; 6] = ["server.hosts", "log.", "retention.", "alerts.", "backup.", "tasks."];

/// Puts other settings in force.
pub struct Reloader {
    pub(super) appliance: Appliance,
    pub(super) to_people: Arc<Channels>,
    pub(super) in_force: Arc<InForce>,
    /// The settings of the start.
    pub(super) started_with: Settings,
    /// Stands in messages of alerts unless the configuration names the server.
    pub(super) http: String,
}

impl Reloader {
    /// Puts them in force; gives the keys that need a restart. What was refused is told on the first
    /// page until the next good load.
    pub async fn reload(
        &self,
        read: Result<Settings, BadSetting>,
    ) -> Result<Vec<String>, BadSetting> {
        let done = match read {
            Ok(settings) => self.apply(settings).await,
            Err(bad) => Err(bad),
        };
        if let Err(bad) = &done {
            let BadSetting { key, message } = bad.clone();
            self.in_force.refuse(RefusedReload { at: self.appliance.now(), key, message });
        }
        done
    }

    async fn apply(&self, settings: Settings) -> Result<Vec<String>, BadSetting> {
        let bad = |key: &str, message: String| BadSetting { key: key.to_owned(), message };
        // First what may fail, so that a failure changes as little as possible.
        let channels = channel_settings(&settings, &self.http);
        let ways = self.to_people.made(channels);
        let ways = ways.map_err(|error| bad("push.ca_file", error.to_string()))?;
        for task in &settings.tasks {
            let Some(push) = task.push() else { continue };
            if let Err(error) = check_url(&push.url, &self.started_with.allow) {
                let message = format!("{error}; a change of `push.allow` needs a restart");
                return Err(bad(&format!("tasks.{}", task.name), message));
            }
        }
        put_tasks(&self.appliance, &settings.tasks)
            .await
            .map_err(|refusal| bad("tasks", refusal.to_string()))?;
        self.to_people.replace(ways);
        let mut backup = settings.backup.clone();
        if settings.data_dir != self.started_with.data_dir {
            backup.dir.clone_from(&self.started_with.backup.dir);
        }
        backup.data_dir.clone_from(&self.started_with.backup.data_dir);
        self.appliance.change_settings(|inside| {
            inside.retention = settings.retention;
            inside.alerts = Arc::new(settings.alerts.settings.clone());
            inside.backup = backup;
        });
        Channel::ALL.iter().for_each(|channel| self.appliance.call_channel(*channel));
        let (rows, waiting) = merged(self.started_with.effective(), settings.effective());
        self.in_force.put(Configuration {
            hosts: settings.hosts,
            settings: rows,
            loaded_at: self.appliance.now(),
            refused: None,
        });
        Ok(waiting)
    }
}

/// The channels of alerts; messages name this server by its address, and link to it, unless the
/// configuration says otherwise.
pub(super) fn channel_settings(settings: &Settings, http: &str) -> channels::Settings {
    let mut wanted = settings.alerts.channels.clone();
    for own in [&mut wanted.server, &mut wanted.url] {
        if own.is_empty() {
            http.clone_into(own);
        }
    }
    wanted
}

/// Registers the tasks of the configuration, and lets go of those that it names no more.
pub(super) async fn put_tasks(appliance: &Appliance, tasks: &[Task]) -> Result<(), Refusal> {
    for mut task in tasks.iter().cloned() {
        (task.created_at, task.updated_at) = (appliance.now(), appliance.now());
        appliance.put_task(task).await?;
    }
    appliance.release_tasks(tasks.iter().map(|task| task.name.clone()).collect()).await?;
    Ok(())
}

pub(super) fn in_force(settings: &Settings, now: Time) -> InForce {
    InForce::new(Configuration {
        hosts: settings.hosts.clone(),
        settings: settings.effective(),
        loaded_at: now,
        refused: None,
    })
}

/// What is in force once `now` was read over what the process started with, and the keys that wait
/// for a restart.
fn merged(started: Vec<Setting>, now: Vec<Setting>) -> (Vec<Setting>, Vec<String>) {
    let is_live = |row: &Setting| LIVE.iter().any(|live| row.key.starts_with(live));
    let find = |key: &str, rows: &[Setting]| rows.iter().find(|row| row.key == key).cloned();
    let mut waiting = Vec::new();
    let mut rows = Vec::new();
    for new in &now {
        let old = if is_live(new) { None } else { find(&new.key, &started) };
        rows.push(match old {
            Some(old) if old.value != new.value => {
                waiting.push(old.key.clone());
                Setting { pending: Some(new.value.clone()), ..old }
            }
            _ if is_live(new) || find(&new.key, &started).is_some() => new.clone(),
            // A line that was not there at the start, such as the floor of another stream.
            _ => {
                waiting.push(new.key.clone());
                let (value, pending) = (String::new(), Some(new.value.clone()));
                Setting { value, pending, ..new.clone() }
            }
        });
    }
    let gone = started.into_iter().filter(|row| !is_live(row) && find(&row.key, &now).is_none());
    for row in gone {
        waiting.push(row.key.clone());
        rows.push(Setting { pending: Some(String::new()), ..row });
    }
    (rows, waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::setting::Origin;

    #[test]
    fn settings_that_need_a_restart_wait() {
        let row = |key: &str, value: &str| Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            origin: Origin::File,
            pending: None,
        };
        let started = vec![
            row("server.http", "a"),
            row("retention.runs", "1d"),
            row("streams.floors.x", "9s"),
        ];
        let now = vec![
            row("server.http", "b"),
            row("retention.runs", "2d"),
            row("streams.floors.y", "8s"),
        ];
        let (rows, waiting) = merged(started, now);
        assert_eq!(waiting, ["server.http", "streams.floors.y", "streams.floors.x"]);
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (row.key.as_str(), row.value.as_str(), row.pending.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                ("server.http", "a", Some("b")),
                ("retention.runs", "2d", None),
                ("streams.floors.y", "", Some("8s")),
                ("streams.floors.x", "9s", Some("")),
            ]
        );
    }
}
