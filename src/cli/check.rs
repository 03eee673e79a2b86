//! `tidegate check` and `tidegate version`.

use clap::Args;

use super::{Common, exit};

/// Check the settings and end.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate check --config /etc/tidegate/tidegate.toml")]
pub struct Check {
    #[command(flatten)]
    common: Common,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub fn run(self) -> i32 {
        match self.common.settings() {
            Ok(settings) => {
                if self.json {
                    let shown = serde_json::json!({
                        "ok": true, "http": settings.http.to_string(),
                        "data_dir": settings.data_dir, "tasks": settings.tasks.len(),
                    });
                    println!("{shown}");
                } else {
                    println!(
                        "the settings are good: http on {}, data in {}",
                        settings.http,
                        settings.data_dir.display()
                    );
                }
                exit::DONE
            }
            Err(error) => {
                if self.json {
                    println!(
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
            println!("{}", serde_json::json!({ "version": version, "format": format }));
        } else {
            println!("tidegate {version}");
        }
        exit::DONE
    }
}
