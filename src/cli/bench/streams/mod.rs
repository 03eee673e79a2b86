//! `tidegate bench`: the figures of streams, of the appliance in this process or, with `--against`,
//! of any server that speaks the Redis protocol.
//!
//! The same load drives every server, from a thread of its own with a runtime of its own, so that
//! it costs little beside what it measures. `xadd` counts what is taken, `cycle` what goes the
//! whole way, `pickup` times a waiting reader; `ground` says what lies in the stream before, and
//! `compare` sets two servers side by side.

mod compare;
mod connection;
mod cycle;
mod ground;
mod pickup;
mod request;
mod scan;
mod server;
mod shape;
mod xadd;

use std::time::Duration;

use clap::Args;

use self::compare::Pair;
use self::ground::Ground;
use self::server::Memory;
pub use self::server::Server;
use self::shape::Shape;
use super::figures::Figures;

/// Connections and pipeline of the whole cycle; half of the connections read.
const CYCLE_SHAPE: Shape = Shape { connections: 16, pipeline: 16 };
/// Readers that wait, a measurement each.
const PICKUP_READERS: [usize; 2] = [1, 16];
const ROUNDS_MAX: usize = 100;
const PAYLOAD_BYTES: std::ops::RangeInclusive<usize> = request::STAMP_DIGITS..=64 << 10;
/// How much longer than asked for a measurement may take, with all that belongs to it.
const OVERTIME_MAX: Duration = Duration::from_secs(120);

/// How streams are measured.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Streams")]
pub struct Options {
    /// Measure servers that speak the Redis protocol instead; the stream `tidegate-bench` is deleted there.
    ///
    /// A URL is `redis://[USER:PASSWORD@]HOST[:PORT]`. Of what stands above, `--seconds`, `--only`,
    /// `--payload` and `--json` matter, and the stages are `xadd`, `stream-cycle` and `pickup`.
    #[arg(long, value_delimiter = ',', value_name = "URL,..")]
    pub against: Vec<Server>,
    /// Connections times pipeline of XADD, one measurement for each.
    #[arg(long, value_delimiter = ',', default_value = "16x16,64x16,16x1", value_name = "NxP,..")]
    shapes: Vec<Shape>,
    /// Measure again with so many entries in the stream.
    #[arg(long, default_value_t = 0, value_name = "N")]
    backlog: u64,
    /// Processes of the servers, in their order, to tell their memory.
    #[arg(long, requires = "against", value_delimiter = ',', value_name = "PID,..")]
    pid: Vec<u32>,
    /// Take turns between two servers, and print medians and what the second is to the first.
    #[arg(long, requires = "against")]
    compare: bool,
    /// Rounds of a comparison.
    #[arg(long, requires = "against", default_value_t = 3, value_name = "N")]
    rounds: usize,
}

/// Which of the stages are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub xadd: bool,
    pub cycle: bool,
    pub pickup: bool,
}

/// What every measurement needs to know.
struct Load {
    seconds: Duration,
    payload: String,
}

/// One thing that is measured.
#[derive(Clone, Copy, Debug)]
enum Measurement {
    Xadd(Shape),
    Cycle(Shape),
    Pickup { readers: usize },
}

/// All that is to be measured.
pub struct Streams {
    servers: Vec<Server>,
    plan: Vec<Measurement>,
    load: Load,
    backlog: u64,
    /// Rounds, if two servers are compared.
    compared: Option<usize>,
    json: bool,
}

impl Measurement {
    fn what(self, ground: Ground) -> String {
        let suffix = ground.suffix();
        match self {
            Measurement::Xadd(shape) => format!("XADD {shape}{suffix}"),
            Measurement::Cycle(shape) => format!("stream cycle {shape}{suffix}"),
            Measurement::Pickup { readers: 1 } => format!("pick-up, 1 reader{suffix}"),
            Measurement::Pickup { readers } => format!("pick-up, {readers} readers{suffix}"),
        }
    }

    async fn run(self, server: &Server, load: &Load, ground: Ground) -> Result<Figures, String> {
        let limit = load.seconds + OVERTIME_MAX;
        let figures = tokio::time::timeout(limit, async {
            match self {
                Measurement::Xadd(shape) => xadd::measure(server, load, ground, shape).await,
                Measurement::Cycle(shape) => cycle::measure(server, load, ground, shape).await,
                Measurement::Pickup { readers } => {
                    pickup::measure(server, load, ground, readers).await
                }
            }
        })
        .await;
        let what = self.what(ground);
        let figures = figures.map_err(|_| format!("`{server}` is stuck: {what}"))?;
        Ok(figures?.named(what).with_server(server.told()))
    }
}

impl Streams {
    /// Settings as written become settings as used.
    pub fn check(
        options: Options,
        wanted: Wanted,
        seconds: f64,
        payload_bytes: usize,
        json: bool,
    ) -> Result<Streams, String> {
        let mut servers = options.against;
        if options.compare && servers.len() != 2 {
            return Err(format!("`--compare`: expected two servers, got {}", servers.len()));
        }
        if !(1..=ROUNDS_MAX).contains(&options.rounds) {
            return Err(format!("`--rounds`: 1 to {ROUNDS_MAX}"));
        }
        if !PAYLOAD_BYTES.contains(&payload_bytes) {
            let (min, max) = PAYLOAD_BYTES.into_inner();
            return Err(format!(
                "`--payload`: {min} to {max} bytes for streams; `--only` can leave them out"
            ));
        }
        if !options.pid.is_empty() && options.pid.len() != servers.len() {
            return Err("`--pid`: expected one for each server".to_owned());
        }
        for (server, pid) in servers.iter_mut().zip(options.pid) {
            server.pid = Some(pid);
        }
        Ok(Streams {
            servers,
            plan: plan(wanted, &options.shapes),
            load: Load {
                seconds: Duration::from_secs_f64(seconds),
                payload: request::payload(payload_bytes),
            },
            backlog: options.backlog,
            compared: options.compare.then_some(options.rounds),
            json,
        })
    }

    /// The same, on this server alone.
    pub fn on(self, server: Server) -> Streams {
        Streams { servers: vec![server], ..self }
    }

    /// Measures on a thread of its own and waits for it.
    pub fn run(self) -> Result<(), String> {
        let thread = std::thread::Builder::new().name("bench".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| format!("the runtime cannot start: {error}"))?;
            runtime.block_on(self.measure())
        });
        let thread = thread.map_err(|error| format!("a thread cannot start: {error}"))?;
        thread.join().expect("the load does not panic")
    }

    async fn measure(&self) -> Result<(), String> {
        let measured = self.measure_all().await;
        for server in &self.servers {
            let cleared = ground::clear(server).await;
            // What failed first says more.
            if measured.is_ok() {
                cleared?;
            }
        }
        measured
    }

    async fn measure_all(&self) -> Result<(), String> {
        self.measure_on(Ground::Fresh).await?;
        if self.backlog > 0 {
            self.print_memory(0).await?;
            for server in &self.servers {
                ground::fill(server, self.backlog, &self.load.payload).await?.print(self.json);
            }
            self.print_memory(self.backlog).await?;
            self.measure_on(Ground::Behind(self.backlog)).await?;
        }
        Ok(())
    }

    async fn print_memory(&self, entries: u64) -> Result<(), String> {
        for server in &self.servers {
            if entries == 0 {
                ground::clear(server).await?;
            }
            Memory::of(server).await?.print(server, entries, self.json);
        }
        Ok(())
    }

    async fn measure_on(&self, ground: Ground) -> Result<(), String> {
        match (self.compared, &self.servers[..]) {
            (Some(rounds), [first, second]) => self.compare_on(ground, first, second, rounds).await,
            _ => {
                for server in &self.servers {
                    for measurement in &self.plan {
                        self.one(*measurement, server, ground).await?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn compare_on(
        &self,
        ground: Ground,
        first: &Server,
        second: &Server,
        rounds: usize,
    ) -> Result<(), String> {
        let pair = |measurement: &Measurement| Pair {
            what: measurement.what(ground),
            first: Vec::new(),
            second: Vec::new(),
        };
        let mut pairs: Vec<Pair> = self.plan.iter().map(pair).collect();
        for round in 0..rounds {
            for (measurement, pair) in self.plan.iter().zip(&mut pairs) {
                // Who comes first takes turns, too: the disk may remember the one before.
                let mut sides = [(first, &mut pair.first), (second, &mut pair.second)];
                sides.rotate_left(round % 2);
                for (server, figures) in sides {
                    figures.push(self.one(*measurement, server, ground).await?);
                }
            }
        }
        if !self.json {
            say!("\nmedian of {rounds}, {first} -> {second}");
        }
        for pair in pairs {
            pair.print(first, second, self.json);
        }
        if !self.json {
            say!("");
        }
        Ok(())
    }

    async fn one(
        &self,
        measurement: Measurement,
        server: &Server,
        ground: Ground,
    ) -> Result<Figures, String> {
        let figures = measurement.run(server, &self.load, ground).await?;
        figures.print(self.json);
        Ok(figures)
    }
}

fn plan(wanted: Wanted, shapes: &[Shape]) -> Vec<Measurement> {
    let mut plan = Vec::new();
    if wanted.xadd {
        plan.extend(shapes.iter().copied().map(Measurement::Xadd));
    }
    if wanted.cycle {
        plan.push(Measurement::Cycle(CYCLE_SHAPE));
    }
    if wanted.pickup {
        plan.extend(PICKUP_READERS.map(|readers| Measurement::Pickup { readers }));
    }
    plan
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        options: Options,
    }

    fn check(arguments: &str, payload_bytes: usize) -> Result<Streams, String> {
        let arguments = ["bench"].into_iter().chain(arguments.split_whitespace());
        let parsed = Arguments::try_parse_from(arguments).map_err(|error| error.to_string())?;
        let wanted = Wanted { xadd: true, cycle: true, pickup: true };
        Streams::check(parsed.options, wanted, 1.0, payload_bytes, false)
    }

    #[test]
    fn plan_names_every_measurement() {
        let streams = check("--against redis://a:1 --shapes 2x3,4x1", 200).unwrap();
        let names: Vec<String> =
            streams.plan.iter().map(|measurement| measurement.what(Ground::Behind(7))).collect();
        assert_eq!(
            names,
            [
                "XADD 2x3, 7 behind",
                "XADD 4x1, 7 behind",
                "stream cycle 16x16, 7 behind",
                "pick-up, 1 reader, 7 behind",
                "pick-up, 16 readers, 7 behind",
            ]
        );
    }

    #[test]
    fn processes_belong_to_servers_in_order() {
        let streams = check("--against redis://a:1,redis://b:1 --compare --pid 5,6", 10).unwrap();
        let pids: Vec<Option<u32>> = streams.servers.iter().map(|server| server.pid).collect();
        assert_eq!((pids, streams.compared), (vec![Some(5), Some(6)], Some(3)));
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        for (arguments, payload_bytes, named) in [
            ("--against redis://a:1 --compare", 200, "--compare"),
            ("--against redis://a:1 --pid 1,2", 200, "--pid"),
            ("--against redis://a:1 --rounds 0", 200, "--rounds"),
            ("--against redis://a:1 --shapes 16", 200, "--shapes"),
            ("--against redis://a:1", 9, "--payload"),
            ("--against a:1", 200, "--against"),
            ("--pid 5", 200, "--against"),
            ("--rounds 2", 200, "--against"),
        ] {
            let refused = check(arguments, payload_bytes).err().unwrap_or_default();
            assert!(refused.contains(named), "{arguments}: {refused}");
        }
    }
}
