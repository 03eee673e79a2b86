//! `tidegate check` and `tidegate version`.

use clap::Args;

use super::{Common, exit};
use crate::model::setting::Setting;

/// Longer values stand out of their column.
const VALUE_WIDTH_MAX: usize = 48;

/// Check the settings and end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidegate check --config /etc/tidegate/tidegate.toml\n  \
                  tidegate check --print")]
pub struct Check {
    #[command(flatten)]
    common: Common,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Print every setting in effect and where it came from; of secrets only that they are set.
    #[arg(long)]
    print: bool,
}

/// The settings as lines: key, value, where it came from.
fn table(settings: &[Setting]) -> String {
    let width = |of: fn(&Setting) -> &str| settings.iter().map(|row| of(row).len()).max();
    let keys = width(|row| &row.key).unwrap_or_default();
    let values = width(|row| &row.value).unwrap_or_default().min(VALUE_WIDTH_MAX);
    let line = |row: &Setting| {
        let Setting { key, value, origin, .. } = row;
        format!("{key:keys$}  {value:values$}  {}\n", origin.as_str())
    };
    settings.iter().map(line).collect()
}

fn setting_json(row: &Setting) -> serde_json::Value {
    serde_json::json!({ "key": row.key, "value": row.value, "from": row.origin.as_str() })
}

impl Check {
    pub fn run(self) -> i32 {
        match self.common.settings() {
            Ok(settings) => {
                let effective = if self.print { settings.effective() } else { Vec::new() };
                if self.json {
                    let mut shown = serde_json::json!({
                        "ok": true, "http": settings.http.to_string(),
                        "data_dir": settings.data_dir, "tasks": settings.tasks.len(),
                    });
                    if self.print {
                        shown["settings"] = effective.iter().map(setting_json).collect();
                    }
                    say!("{shown}");
                } else {
                    if self.print {
                        say!("{}", table(&effective).trim_end());
                    }
                    say!(
                        "the settings are good: http on {}, data in {}",
                        settings.http,
                        settings.data_dir.display()
                    );
                }
                exit::DONE
            }
            Err(error) => {
                if self.json {
                    say!(
                        "{}",
                        serde_json::json!({ "ok": false, "key": error.key, "message": error.message })
                    );
                }
                eprintln!("tidegate: {error}");
                exit::BAD_CONFIGURATION
            }
        }
    }
}

/// Print the version.
#[derive(Debug, Args)]
pub struct Version {
    #[arg(long)]
    json: bool,
}

impl Version {
    pub fn run(self) -> i32 {
        let version = env!("CARGO_PKG_VERSION");
        if self.json {
            let format = crate::store::tables::FORMAT;
            say!("{}", serde_json::json!({ "version": version, "format": format }));
        } else {
            say!("tidegate {version}");
        }
        exit::DONE
    }
}
