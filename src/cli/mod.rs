//! The command line: one file a verb, and the exit codes of the contract.

#[macro_use]
pub mod out;

pub mod backup;
pub mod bar;
pub mod bench;
pub mod beside;
pub mod check;
pub mod demo;
pub mod doctor;
pub mod exit;
pub mod owner;
pub mod paper;
pub mod read;
pub mod restore;
pub mod running;
pub mod serve;
pub mod status;
pub mod systemd;
pub mod token;
pub mod user;
pub mod verify;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::base::panics;
use crate::config::load::load;
use crate::config::settings::{BadSetting, Settings};
use crate::model::setting::Origin;

const AFTER_HELP: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 bad configuration, 4 data directory \
    locked, 5 data newer than this binary, 6 verification failed or data damaged.\n\n\
    `tidegate manual` tells how to install, secure, back up, restore and mend it; `tidegate demo` shows it.";

/// A run appliance: takes runs, keeps them, delivers them and shows them.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the appliance.
    Serve(serve::Serve),
    /// Run the appliance with a sample agent and a gentle load, to look around.
    Demo(demo::Demo),
    /// Measure this machine.
    Bench(bench::Bench),
    /// Make, list and revoke API tokens.
    Token(token::Token),
    /// Add, list and remove users of the pages, and set their passwords.
    User(user::User),
    /// Write a backup of a running appliance or a stopped one.
    Backup(backup::Backup),
    /// Make a directory of data out of a backup.
    Restore(restore::Restore),
    /// Check a backup, or the directory of a stopped appliance.
    Verify(verify::Verify),
    /// Give room back that the store of a stopped appliance does not need.
    Compact(restore::Compact),
    /// Show how a running appliance is doing.
    Status(status::Status),
    /// Check this machine, the directory, the agents and the alert channels.
    Doctor(doctor::Doctor),
    /// Check the settings and end.
    Check(check::Check),
    /// Print the manual, or a chapter of it.
    Manual(read::Manual),
    /// Print the licences of what is in the binary.
    Licences(read::Licences),
    /// Write manual pages and shell completions.
    #[command(hide = true)]
    Paper(paper::Paper),
    /// Print the version.
    Version(check::Version),
}

/// Settings that flags can give.
#[derive(Clone, Debug, Default, Args)]
pub struct Common {
    /// Directory of the data; must be empty or hold a store of Tidegate.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of HTTP; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Address of the Redis protocol; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    pub redis: Option<String>,
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    pub config: Option<PathBuf>,
}

impl Common {
    /// Defaults, file, environment, flags: in that order.
    pub fn settings(&self) -> Result<Settings, BadSetting> {
        let mut written = load(self.config.as_deref(), std::env::vars())?;
        if let Some(http) = &self.http {
            written.origins.note("server.http", Origin::Flag);
            written.server.http = Some(http.clone());
        }
        if let Some(redis) = &self.redis {
            written.origins.note("server.redis", Origin::Flag);
            written.server.redis = Some(redis.clone());
        }
        if let Some(data_dir) = &self.data_dir {
            written.origins.note("server.data_dir", Origin::Flag);
            written.server.data_dir = Some(data_dir.clone());
        }
        let origins = written.origins.clone();
        written.check().map_err(|bad| {
            let place = origins.place(&bad.key, self.config.as_deref());
            BadSetting { message: bad.message + &place, ..bad }
        })
    }
}

/// Runs the verb that the arguments name; gives the exit code.
pub fn run() -> i32 {
    panics::tell_in_the_log();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE } else { exit::DONE };
        }
    };
    match arguments.verb {
        Verb::Serve(verb) => verb.run(),
        Verb::Demo(verb) => verb.run(),
        Verb::Bench(verb) => verb.run(),
        Verb::Token(verb) => verb.run(),
        Verb::User(verb) => verb.run(),
        Verb::Backup(verb) => verb.run(),
        Verb::Restore(verb) => verb.run(),
        Verb::Verify(verb) => verb.run(),
        Verb::Compact(verb) => verb.run(),
        Verb::Status(verb) => verb.run(),
        Verb::Doctor(verb) => verb.run(),
        Verb::Check(verb) => verb.run(),
        Verb::Manual(verb) => verb.run(),
        Verb::Licences(verb) => verb.run(),
        Verb::Paper(verb) => verb.run(Arguments::command()),
        Verb::Version(verb) => verb.run(),
    }
}
