//! What happened, in order: hashed whole, and its end kept for the story of a failure.

use std::collections::VecDeque;

use tidegate::base::hash::Fnv;

/// Lines that a failure shows, unless `TIDEGATE_SIM_LINES` says otherwise.
const LINES_KEPT: usize = 40;

#[derive(Default)]
pub struct Trace {
    hash: Fnv,
    lines: VecDeque<String>,
}

impl Trace {
    pub fn note(&mut self, line: String) {
        self.hash = self.hash.write(line.as_bytes());
        if self.lines.len() >= lines_kept() {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub fn to_text(&self) -> String {
        self.lines.iter().map(|line| format!("  {line}\n")).collect()
    }
}

fn lines_kept() -> usize {
    std::env::var("TIDEGATE_SIM_LINES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(LINES_KEPT)
}
