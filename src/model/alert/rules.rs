//! The rules in force: those that come with Tidegate, and those of the configuration over them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::rule::{Rule, Written};
use crate::model::refusal::Refusal;

/// Most rules of a configuration.
pub const RULES_MAX: usize = 200;

/// The file that comes with Tidegate.
const BUILT_IN: &str = include_str!("../../../data/alerts.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<Written>,
}

/// Rules by name; a cheap clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    by_name: Arc<BTreeMap<String, Rule>>,
    /// Rules that come with Tidegate and are switched off.
    off: Arc<Vec<String>>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::with(Vec::new()).expect("the rules that come with Tidegate are good")
    }
}

impl Rules {
    /// The built-in rules with `written` over them, by name. The error says which one is bad.
    pub fn with(written: Vec<Written>) -> Result<Rules, (usize, Refusal)> {
        let file: File = toml::from_str(BUILT_IN).expect("the file of rules can be read");
        let mut by_name = BTreeMap::new();
        for rule in file.rules {
            let rule = rule.check().expect("a rule that comes with Tidegate is good");
            by_name.insert(rule.name.clone(), Rule { built_in: true, ..rule });
        }
        let mut off = Vec::new();
        let mut seen = Vec::new();
        for (at, written) in written.into_iter().enumerate() {
            let bad = |refusal| (at, refusal);
            written.check_name().map_err(bad)?;
            if at >= RULES_MAX {
                return Err((at, Refusal::field("name", format!("at most {RULES_MAX} rules"))));
            }
            if seen.contains(&written.name) {
                return Err((at, Refusal::field("name", "another rule has this name already")));
            }
            seen.push(written.name.clone());
            if written.is_on() {
                by_name.insert(written.name.clone(), written.check().map_err(bad)?);
            } else if by_name.remove(&written.name).is_some() {
                off.push(written.name);
            } else if written.is_bare() {
                let message = "no rule that comes with Tidegate has this name";
                return Err((at, Refusal::field("name", message)));
            }
        }
        Ok(Rules { by_name: Arc::new(by_name), off: Arc::new(off) })
    }

    /// Just these rules, for tests.
    pub fn only(rules: Vec<Rule>) -> Rules {
        let by_name = rules.into_iter().map(|rule| (rule.name.clone(), rule)).collect();
        Rules { by_name: Arc::new(by_name), off: Arc::default() }
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.by_name.values()
    }

    pub fn get(&self, name: &str) -> Option<&Rule> {
        self.by_name.get(name)
    }

    pub fn off(&self) -> &[String] {
        &self.off
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Span;
    use crate::model::alert::Severity;

    fn written(text: &str) -> Vec<Written> {
        toml::from_str::<File>(text).expect("it can be read").rules
    }

    #[test]
    fn rules_of_the_original_are_built_in() {
        let told: Vec<String> = Rules::default()
            .iter()
            .map(|rule| {
                let Rule { name, duration, severity, .. } = rule;
                format!("{name}: {} for {duration}, {}", rule.condition.words(), severity.as_str())
            })
            .collect();
        assert_eq!(
            told,
            [
                "backup-old: `backup_age_seconds` above 2 d for 0s, warning",
                "buffer-stale: `buffer_stale` above 0 for 5m, warning",
                "callback-old: `callback_oldest_seconds` above 10 min for 30s, warning",
                "callbacks-many: `callbacks` above 100 for 2m, warning",
                "commit-slow: `commit_p99_ms` above 500 ms for 5m, warning",
                "connections-many: `connections` of `*` above 1,000 for 1m, warning",
                "dead-letters-grow: `outbox_dead` grew within 10m for 0s, warning",
                "disk-fills: `disk_used_percent` at or above 80 % for 2m, warning",
                "disk-full-soon: `disk_used_percent` at or above 90 % for 1m, critical",
                "endpoint-disabled: `endpoint_state` of `*/disabled` above 0 for 0s, critical",
                "heartbeat-lost: no fresh heartbeat of `*` for 30s, critical",
                "outbox-late: `outbox_oldest_seconds` above 5 min for 1m, warning",
                "stream-backlog: `stream_lag` of `*` above 500 for 1m, warning",
                "workers-gone: no worker of `*` left for 0s, critical",
            ]
        );
    }

    #[test]
    fn rules_of_the_configuration_replace_by_name() {
        let rules = Rules::with(written(
            "[[rules]]\nname = 'callbacks-many'\nmetric = 'callbacks'\nthreshold = 7\n\
             [[rules]]\nname = 'disk-fills'\nenabled = false\n\
             [[rules]]\nname = 'mine'\nmetric = 'runs'\nsubject = 'failed'\nthreshold = 1\n\
             severity = 'info'\ncooldown = '1h'\n",
        ))
        .unwrap();
        let replaced = rules.get("callbacks-many").unwrap();
        assert_eq!((replaced.duration, replaced.built_in), (Span::ZERO, false));
        assert_eq!(replaced.condition.words(), "`callbacks` above 7");
        assert_eq!((rules.get("disk-fills"), rules.off()), (None, &["disk-fills".to_owned()][..]));
        let mine = rules.get("mine").unwrap();
        assert_eq!((mine.severity, mine.cooldown), (Severity::Info, Span::from_hours(1)));
        assert!(rules.get("workers-gone").unwrap().built_in);
    }

    #[test]
    fn s25_bad_rules_are_numbered() {
        let twice = "[[rules]]\nname = 'a'\nmetric = 'callbacks'\nthreshold = 1\n";
        let (at, refusal) = Rules::with(written(&twice.repeat(2))).unwrap_err();
        assert_eq!((at, refusal.details.unwrap()["field"].as_str()), (1, Some("name")));
        let zero = format!("{twice}cooldown = 0\n");
        let (at, refusal) = Rules::with(written(&zero)).unwrap_err();
        assert_eq!((at, refusal.details.unwrap()["field"].as_str()), (0, Some("cooldown")));
    }
}
