//! `tidegate bench`: drives a fresh appliance in this process, through its Rust boundary, over HTTP
//! and over the Redis protocol, and prints what it measured beside the fsync rate of the disk. With
//! `--against` it drives servers that speak the Redis protocol instead.

mod burst;
mod figures;
mod shards;
mod stages;
mod streams;
mod wire;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::figures::{Figures, machine};
use self::stages::World;
use self::streams::{Server, Streams, Wanted};
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
    /// A burst of one env beside another that works quietly, with the buffer and without, and the
    /// drain of the buffer.
    Burst,
    /// 100,000 items in shards of 5, planned and dispatched, beside plain creates; and its page.
    Shards,
    /// Entries added to a stream in pipelines, over the Redis protocol.
    Xadd,
    /// Entries added, read by a group and acknowledged, over the Redis protocol.
    StreamCycle,
    /// From adding an entry to its arrival at a blocked reader, over the Redis protocol.
    Pickup,
}

impl Stage {
    /// Measured over the Redis protocol.
    fn is_of_streams(self) -> bool {
        matches!(self, Stage::Xadd | Stage::StreamCycle | Stage::Pickup)
    }
}

/// Measure this machine.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate bench --seconds 5 --clients 1,64\n  \
    tidegate bench --only create,get,list --preload 1000000\n  \
    tidegate bench --only xadd,pickup --shapes 16x16,1x1\n  \
    tidegate bench --against redis://127.0.0.1:6379,redis://127.0.0.1:5441 --compare")]
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
    #[command(flatten)]
    streams: streams::Options,
}

impl Bench {
    pub fn run(self) -> i32 {
        if !(0.1..=3_600.0).contains(&self.seconds)
            || self.clients.iter().any(|n| !(1..=4_000).contains(n))
        {
            eprintln!("tidegate: `--seconds`: 0.1 to 3600, `--clients`: 1 to 4000");
            return exit::USAGE;
        }
        if let Err(message) = self.check_stages() {
            eprintln!("tidegate: {message}");
            return exit::USAGE;
        }
        let streams = match self.check_streams() {
            Ok(streams) => streams,
            Err(message) => {
                eprintln!("tidegate: {message}");
                return exit::USAGE;
            }
        };
        let streams = match streams {
            Some(streams) if !self.streams.against.is_empty() => {
                return self.measure_servers(streams);
            }
            here => here,
        };
        if self.data_dir.join(crate::store::open::STORE_FILE).exists() && !self.keep {
            eprintln!(
                "tidegate: `{}` holds a store; bench wants an empty directory",
                self.data_dir.display()
            );
            return exit::USAGE;
        }
        block_on(self.measure(streams))
    }

    /// Servers that speak the Redis protocol have no other stages.
    fn check_stages(&self) -> Result<(), String> {
        let against = !self.streams.against.is_empty();
        match self.only.iter().find(|stage| against && !stage.is_of_streams()) {
            None => Ok(()),
            Some(stage) => Err(format!(
                "`--only`: `{}` cannot be measured with `--against`, only `xadd`, `stream-cycle` \
                 and `pickup`",
                word(*stage)
            )),
        }
    }

    /// What is to be measured over the Redis protocol, if anything is.
    fn check_streams(&self) -> Result<Option<Streams>, String> {
        let wanted = Wanted {
            xadd: self.wants(Stage::Xadd),
            cycle: self.wants(Stage::StreamCycle),
            pickup: self.wants(Stage::Pickup),
        };
        if !(wanted.xadd || wanted.cycle || wanted.pickup) {
            return Ok(None);
        }
        let options = self.streams.clone();
        Streams::check(options, wanted, self.seconds, self.payload, self.json).map(Some)
    }

    fn measure_servers(self, streams: Streams) -> i32 {
        if !self.json {
            say!("{}; the load in a process of its own", machine());
        }
        match streams.run() {
            Ok(()) => exit::DONE,
            Err(message) => {
                eprintln!("tidegate: {message}");
                exit::FAILED
            }
        }
    }

    fn wants(&self, stage: Stage) -> bool {
        self.only.is_empty() || self.only.contains(&stage)
    }

    async fn measure(self, streams: Option<Streams>) -> i32 {
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
                return exit::Failure::start(&error).code;
            }
        };
        if !self.json {
            say!(
                "{}, data in {}; clients, agent and appliance in one process",
                machine(),
                self.data_dir.display()
            );
        }
        let code = match self.stages(&app, streams).await {
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

    async fn stages(&self, app: &app::App, streams: Option<Streams>) -> Result<(), String> {
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
        if self.wants(Stage::Burst) {
            world.burst().run(show).await?;
        }
        if self.wants(Stage::Shards) {
            world.shards().run(show).await?;
        }
        if let Some(streams) = streams {
            let streams = streams.on(Server::here(app.redis));
            let measured = tokio::task::spawn_blocking(|| streams.run()).await;
            measured.map_err(|error| format!("the load has failed: {error}"))??;
        }
        Ok(())
    }
}

/// A stage as it is typed.
fn word(stage: Stage) -> String {
    stage.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        bench: Bench,
    }

    #[test]
    fn servers_are_measured_by_streams_only() {
        for (arguments, good) in [
            ("", true),
            ("--only create,list", true),
            ("--only xadd", true),
            ("--only create,pickup", true),
            ("--against redis://a:1", true),
            ("--against redis://a:1 --only xadd,stream-cycle,pickup", true),
            ("--against redis://a:1 --only xadd,cycle", false),
        ] {
            let words = ["bench"].into_iter().chain(arguments.split_whitespace());
            let bench = Arguments::try_parse_from(words).unwrap().bench;
            assert_eq!(bench.check_stages().is_ok(), good, "{arguments}");
        }
    }

    #[test]
    fn streams_are_checked_where_wanted() {
        for (arguments, expected) in [
            ("", Ok(true)),
            ("--only create", Ok(false)),
            ("--only xadd --shapes 2x2 --backlog 5", Ok(true)),
            ("--only create --payload 2", Ok(false)),
            ("--payload 2", Err("--payload")),
        ] {
            let words = ["bench"].into_iter().chain(arguments.split_whitespace());
            let bench = Arguments::try_parse_from(words).unwrap().bench;
            let checked = bench.check_streams().map(|streams| streams.is_some());
            match (checked, expected) {
                (Ok(found), expected) => assert_eq!(Ok(found), expected, "{arguments}"),
                (Err(message), expected) => {
                    assert!(message.contains(expected.unwrap_err()), "{arguments}: {message}");
                }
            }
        }
    }
}
