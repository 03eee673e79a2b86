//! `tidegate status`: what an operator reads first, of a running appliance.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use super::beside::Place;
use super::exit;
use super::running::Running;

/// Show how a running appliance is doing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate status --data-dir /var/lib/tidegate")]
pub struct Status {
    #[command(flatten)]
    place: Place,
    /// Print what `GET /v1/status` answers.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub fn run(self) -> i32 {
        let settings = match self.place.settings() {
            Ok(settings) => settings,
            Err(failure) => return failure.tell(self.json),
        };
        match Running::of(&settings.data_dir).get("/v1/status") {
            Ok(status) => {
                match self.json {
                    true => say!("{status}"),
                    false => say!("{}", words(&status).trim_end()),
                }
                exit::DONE
            }
            Err(failure) => failure.tell(self.json),
        }
    }
}

/// The snapshot in some lines; what is wrong comes first.
fn words(status: &Value) -> String {
    let number = |place: &str| status.pointer(place).and_then(Value::as_f64).unwrap_or(0.0);
    let text = |place: &str| status.pointer(place).and_then(Value::as_str);
    let mut out = String::new();
    let mut line = |what: &str, said: String| {
        let _ = writeln!(out, "{what:<12} {said}");
    };
    if status["read_only"] == true {
        line("READ-ONLY", "the disk is full: writes are refused until there is room".to_owned());
    }
    if let Some(damage) = text("/backup/last_damage") {
        line("BACKUP", format!("the last one is not whole: {damage}"));
    }
    line(
        "version",
        format!(
            "{}, up since {}",
            text("/version").unwrap_or("?"),
            text("/started_at").unwrap_or("?")
        ),
    );
    let runs = status["runs"].as_object().into_iter().flatten();
    let counts: Vec<String> = runs
        .filter(|(_, count)| count.as_i64() != Some(0))
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    line("runs", if counts.is_empty() { "none".to_owned() } else { counts.join(", ") });
    let rate = |name: &str| number(&format!("/rates/{name}_per_s"));
    line(
        "rates",
        format!(
            "{:.1}/s created, {:.1}/s finished, {:.1}/s failed",
            rate("created"),
            rate("finished"),
            rate("failed")
        ),
    );
    line(
        "outbox",
        format!(
            "{} due, {} out, {} dead",
            number("/outbox/due"),
            number("/outbox/leased"),
            number("/outbox/dead")
        ),
    );
    line(
        "commits",
        format!(
            "p50 {:.1} ms, p99 {:.1} ms",
            number("/writer/commit_p50_ms"),
            number("/writer/commit_p99_ms")
        ),
    );
    let backup = text("/backup/last_at").unwrap_or("never");
    line(
        "backup",
        format!("{backup}, verified {}", text("/backup/verified_at").unwrap_or("never")),
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_first() {
        let status = serde_json::json!({
            "version": "1", "started_at": "then", "read_only": true,
            "runs": { "queued": 2, "failed": 0 },
            "rates": { "created_per_s": 1.25 }, "outbox": { "dead": 3 },
            "backup": { "last_at": null },
        });
        let said = words(&status);
        assert!(said.starts_with("READ-ONLY"), "{said}");
        for part in ["2 queued\n", "1.2/s created", "3 dead", "never, verified never"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
