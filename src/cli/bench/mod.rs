//! `tidegate bench`: drives a fresh appliance in this process, through its Rust boundary and over
//! HTTP, and prints what it measured beside the fsync rate of the disk.

mod figures;
mod stages;
mod wire;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::figures::{Figures, machine};
use self::stages::World;
use super::serve::{block_on, exit_on_fault};
use super::{Common, exit};
use crate::app;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// 4 KiB overwritten and synced, again and again.
    Fsync,
    /// Durable creates through the Rust boundary.
    Create,
    /// Durable creates over HTTP.
    CreateHttp,
    /// Created over HTTP, delivered signed to a local agent, completed.
    Cycle,
    /// One run by its id, over HTTP.
    Get,
    /// First page of every filter, and deep pages, over HTTP.
    List,
}

/// Measure this machine.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate bench --seconds 5 --clients 1,64\n  \
    tidegate bench --only create,get,list --preload 1000000")]
pub struct Bench {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5.0, value_name = "S")]
    seconds: f64,
    /// Clients at once, one measurement for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_name = "N,..")]
    clients: Vec<usize>,
    /// Only these stages.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Stage>,
    /// Finished runs that are in the store before anything is measured.
    #[arg(long, default_value_t = 0, value_name = "N")]
    preload: u64,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 200, value_name = "N")]
    payload: usize,
    /// An empty directory on the disk to measure; it is removed afterwards unless `--keep`.
    #[arg(long, default_value = "./tidegate-bench", value_name = "DIR")]
    data_dir: PathBuf,
    /// Leave the directory as it is.
    #[arg(long)]
    keep: bool,
    /// Print one line of JSON a measurement.
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub fn run(self) -> i32 {
        if !(0.1..=3_600.0).contains(&self.seconds)
            || self.clients.iter().any(|n| !(1..=4_000).contains(n))
        {
            eprintln!("tidegate: `--seconds`: 0.1 to 3600, `--clients`: 1 to 4000");
            return exit::USAGE;
        }
        if self.data_dir.join(crate::store::open::STORE_FILE).exists() && !self.keep {
            eprintln!(
                "tidegate: `{}` holds a store; bench wants an empty directory",
                self.data_dir.display()
            );
            return exit::USAGE;
        }
        block_on(self.measure())
    }

    fn wants(&self, stage: Stage) -> bool {
        self.only.is_empty() || self.only.contains(&stage)
    }

    async fn measure(self) -> i32 {
        let common = Common {
            data_dir: Some(self.data_dir.clone()),
            http: Some("127.0.0.1:0".to_owned()),
            redis: Some("127.0.0.1:0".to_owned()),
            config: None,
        };
        let mut settings = match common.settings() {
            Ok(settings) => settings,
            Err(error) => {
                eprintln!("tidegate: {error}");
                return exit::BAD_CONFIGURATION;
            }
        };
        let allow = crate::model::target::AllowList::parse(&["127.0.0.0/8"]);
        settings.allow =
            std::sync::Arc::new(allow.expect("a network in the form that is documented"));
        let app = match app::start(settings, exit_on_fault()).await {
            Ok(app) => app,
            Err(error) => {
                eprintln!("tidegate: {error}");
                return exit::of_start(&error);
            }
        };
        if !self.json {
            println!("{}", machine(&self.data_dir));
        }
        let code = match self.stages(&app).await {
            Ok(()) => exit::DONE,
            Err(message) => {
                eprintln!("tidegate: {message}");
                exit::FAILED
            }
        };
        app.stop().await;
        if !self.keep
            && let Err(error) = std::fs::remove_dir_all(&self.data_dir)
        {
            eprintln!("tidegate: `{}` cannot be removed: {error}", self.data_dir.display());
        }
        code
    }

    async fn stages(&self, app: &app::App) -> Result<(), String> {
        let world = World::prepare(app, self.seconds, self.payload).await?;
        let show = |figures: Figures| figures.print(self.json);
        if self.wants(Stage::Fsync) {
            show(stages::fsync(&self.data_dir).map_err(|error| error.to_string())?);
        }
        if self.preload > 0 {
            show(world.preload(self.preload).await?);
        }
        for clients in &self.clients {
            if self.wants(Stage::Create) {
                show(world.create(*clients).await?);
            }
            if self.wants(Stage::CreateHttp) {
                show(world.create_http(*clients).await?);
            }
            if self.wants(Stage::Get) {
                show(world.get(*clients).await?);
            }
            if self.wants(Stage::Cycle) {
                for figures in world.cycle(*clients).await? {
                    show(figures);
                }
            }
        }
        if self.wants(Stage::List) {
            for figures in world.lists().await? {
                show(figures);
            }
        }
        Ok(())
    }
}
