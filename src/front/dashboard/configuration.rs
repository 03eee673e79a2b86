//! The page of the configuration: every setting in effect, and where it came from.

use askama::Template;

use super::filters;
use super::parts::When;
use super::shell::Shell;
use crate::front::shipped::LicenceText;

/// `GET /settings/configuration`.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "configuration.html")]
pub struct ConfigurationPage {
    pub shell: Shell,
    /// When it was read.
    pub loaded: When,
    pub refused: Option<RefusedLine>,
    /// Settings that differ from what is written and wait for a restart.
    pub waiting: u64,
    pub sections: Vec<Section>,
}

/// A configuration that was read later and could not be used.
#[derive(Clone, Debug, Default)]
pub struct RefusedLine {
    pub at: When,
    pub key: String,
    pub message: String,
}

/// Settings whose keys begin alike.
#[derive(Clone, Debug, Default)]
pub struct Section {
    pub name: String,
    pub rows: Vec<SettingRow>,
}

/// One setting.
#[derive(Clone, Debug, Default)]
pub struct SettingRow {
    pub key: String,
    /// Empty for nothing.
    pub value: String,
    /// `default`, `file`, `environment` or `flag`.
    pub origin: &'static str,
    pub is_default: bool,
    /// What it is after a restart, where that differs; `Some("")` for nothing.
    pub pending: Option<String>,
}

/// `GET /settings/licences`.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "licences.html")]
pub struct LicencesPage {
    pub shell: Shell,
    /// A line for each crate.
    pub crates: String,
    pub texts: Vec<LicenceText>,
}
