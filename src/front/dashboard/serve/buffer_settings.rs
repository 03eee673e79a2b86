//! The settings of the buffer as its page lists them, and the commands that change them.

use crate::front::dashboard::buffer::{Command, SettingRow};
use crate::front::dashboard::text;
use crate::model::buffer::BufferSettings;

/// Every setting, in the order of the API.
pub fn rows(settings: &BufferSettings) -> Vec<SettingRow> {
    let row = |name, value: String, meaning| SettingRow { name, value, meaning };
    let s = settings;
    let count = |n: u32| text::count(u64::from(n));
    vec![
        row("enabled", s.enabled.to_string(), "Off: no run is diverted, whatever else is set"),
        row("shadow", s.shadow.to_string(), "Judge and count the runs of every org"),
        row("window", s.window.to_string(), "Length of the window in which runs of an env count"),
        row("threshold", count(s.threshold), "Runs of an env and window that pass"),
        row("hold", s.hold.to_string(), "How long an env stays diverted after that"),
        row("backlog_max", count(s.backlog_max), "Waiting runs above which new ones wait too"),
        row(
            "engine.queue",
            count(s.engine.queue),
            "With more waiting for the writer, all envs are diverted",
        ),
        row(
            "engine.commit",
            s.engine.commit.to_string(),
            "With slower commits, all envs are diverted",
        ),
        row("env_max", text::count(s.env_max), "Most runs of an env; past it they are refused"),
        row("total_max", text::count(s.total_max), "Most runs of all envs together"),
        row("env_bytes_max", text::bytes(s.env_bytes_max), "Most bytes of an env"),
        row("total_bytes_max", text::bytes(s.total_bytes_max), "Most bytes of all envs together"),
        row("age_max", s.age_max.to_string(), "An env whose oldest run is older takes no more"),
        row("drainer.enabled", s.drainer.enabled.to_string(), "Off: what is buffered stays there"),
        row("drainer.concurrency", count(s.drainer.concurrency), "Runs made real at a time"),
        row("drainer.max_attempts", count(s.drainer.max_attempts), "Tries before a run fails"),
        row("sweep.enabled", s.sweep.enabled.to_string(), "Count runs that wait for too long"),
        row("sweep.interval", s.sweep.interval.to_string(), "Time between two passes"),
        row(
            "sweep.stale_after",
            s.sweep.stale_after.to_string(),
            "A run that waits longer is stale",
        ),
        row("sweep.orgs_per_pass", count(s.sweep.orgs_per_pass), "Orgs that a pass looks at"),
        row("sweep.entries_per_env", count(s.sweep.entries_per_env), "Runs of an env it looks at"),
    ]
}

/// The master switch.
pub fn switch(address: &str, enabled: bool) -> Command {
    Command {
        id: "set-enabled",
        what: match enabled {
            true => "Switch the buffer on:",
            false => "Switch the buffer off; what waits is still made real:",
        }
        .to_owned(),
        text: put(address, "buffer/settings", &format!(r#"{{"enabled": {enabled}}}"#)),
    }
}

/// The switch of an org.
pub fn org_switch(address: &str, org: &str, enabled: bool) -> Command {
    let word = if enabled { "on" } else { "off" };
    Command {
        id: "set-org",
        what: format!("Switch it {word} for the org `{org}`:"),
        text: put(address, &format!("orgs/{org}/buffer"), &format!(r#"{{"enabled": {enabled}}}"#)),
    }
}

/// The drainer.
pub fn drainer_switch(address: &str, enabled: bool) -> Command {
    Command {
        id: "set-drainer",
        what: match enabled {
            true => "Let what waits become real again:",
            false => "Hold back what waits; new runs of a burst go on to be taken:",
        }
        .to_owned(),
        text: put(
            address,
            "buffer/settings",
            &format!(r#"{{"drainer": {{"enabled": {enabled}}}}}"#),
        ),
    }
}

/// Any other setting, with the rate as the example.
pub fn numbers(address: &str, settings: &BufferSettings) -> Command {
    let body =
        format!(r#"{{"window": "{}", "threshold": {}}}"#, settings.window, settings.threshold);
    Command {
        id: "set-numbers",
        what: "Change any other; what is not given stays as it is:".to_owned(),
        text: put(address, "buffer/settings", &body),
    }
}

fn put(address: &str, path: &str, body: &str) -> String {
    text::curl_put(&format!("{address}/v1/{path}"), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A setting that is new must get its line.
    #[test]
    fn every_setting_has_its_line() {
        fn names(prefix: &str, value: &serde_json::Value, out: &mut Vec<String>) {
            for (name, value) in value.as_object().unwrap() {
                let name = format!("{prefix}{name}");
                match value.is_object() {
                    true => names(&format!("{name}."), value, out),
                    false => out.push(name),
                }
            }
        }
        let settings = BufferSettings::default();
        let mut expected = Vec::new();
        names("", &serde_json::to_value(settings).unwrap(), &mut expected);
        expected.sort();
        let mut shown: Vec<String> =
            rows(&settings).iter().map(|row| row.name.to_owned()).collect();
        shown.sort();
        assert_eq!(shown, expected);
    }
}
