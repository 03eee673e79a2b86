//! Times into percentiles, and one line a measurement.

use std::time::Duration;

/// One measurement.
#[derive(Clone, Debug)]
pub struct Figures {
    pub what: String,
    pub clients: usize,
    pub count: u64,
    pub errors: u64,
    pub seconds: f64,
    /// Microseconds of each, sorted.
    micros: Vec<u32>,
    /// Where it was measured, if not in this process.
    pub server: String,
    pub note: String,
}

impl Figures {
    pub fn of(
        what: &str,
        clients: usize,
        took: Duration,
        mut micros: Vec<u32>,
        errors: u64,
    ) -> Figures {
        micros.sort_unstable();
        Figures {
            what: what.to_owned(),
            clients,
            count: micros.len() as u64,
            errors,
            seconds: took.as_secs_f64(),
            micros,
            server: String::new(),
            note: String::new(),
        }
    }

    pub fn named(mut self, what: impl Into<String>) -> Figures {
        self.what = what.into();
        self
    }

    pub fn with_server(mut self, server: impl Into<String>) -> Figures {
        self.server = server.into();
        self
    }

    pub fn with_count(mut self, count: u64) -> Figures {
        self.count = count;
        self
    }

    pub fn with_note(mut self, note: impl Into<String>) -> Figures {
        self.note = note.into();
        self
    }

    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds.max(1e-9)
    }

    pub fn p50_ms(&self) -> f64 {
        self.at(0.5)
    }

    pub fn p99_ms(&self) -> f64 {
        self.at(0.99)
    }

    /// Milliseconds below which a share of the times lies.
    fn at(&self, share: f64) -> f64 {
        let index = ((self.micros.len().max(1) - 1) as f64 * share).round() as usize;
        self.micros.get(index).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
    }

    pub fn print(&self, json: bool) {
        let (p50, p99, p999) = (self.p50_ms(), self.p99_ms(), self.at(0.999));
        if json {
            say!(
                "{}",
                serde_json::json!({
                    "what": self.what, "clients": self.clients, "count": self.count,
                    "errors": self.errors, "seconds": self.seconds, "per_s": self.per_second(),
                    "p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "note": self.note,
                    "server": self.server,
                })
            );
            return;
        }
        say!(
            "{:<34} {:>4} clients {:>10.0}/s   p50 {:>8.3} ms   p99 {:>8.3} ms   p99.9 {:>8.3} ms{}{}{}",
            self.what,
            self.clients,
            self.per_second(),
            p50,
            p99,
            p999,
            if self.errors > 0 { format!("   {} errors", self.errors) } else { String::new() },
            aside(&self.note),
            aside(&self.server),
        );
    }
}

fn aside(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("   {text}") }
}

/// What it was measured on, in one line.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let build = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    format!("{cores} cores, {model}, linux {}, {build}", kernel.trim())
}
