//! A bar for work that takes a while: on standard error, and only where somebody sees it.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::base::time::Stopwatch;

/// Between two pictures.
const REDRAW: Duration = Duration::from_millis(100);
const WIDTH: u64 = 30;

/// Erases itself when it is dropped.
pub struct Bar {
    what: &'static str,
    total: u64,
    drawn: Option<Stopwatch>,
    shown: bool,
}

impl Bar {
    /// Of so many rows, about.
    pub fn new(what: &'static str, total: u64) -> Bar {
        Bar { what, total, drawn: None, shown: std::io::stderr().is_terminal() }
    }

    pub fn at(&mut self, rows: u64, bytes: u64) {
        let is_fresh = self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW);
        if !self.shown || is_fresh {
            return;
        }
        self.drawn = Some(Stopwatch::start());
        // A picture that cannot be shown is no reason to end.
        let _ =
            write!(std::io::stderr(), "\r{}\x1b[K", picture(self.what, rows, self.total, bytes));
    }
}

fn picture(what: &str, rows: u64, total: u64, bytes: u64) -> String {
    let done = (rows * 100).checked_div(total).unwrap_or(0).min(100);
    let full = (done * WIDTH / 100) as usize;
    let bar = format!("{}{}", "#".repeat(full), "-".repeat(WIDTH as usize - full));
    format!("{what} [{bar}] {done:3} %, {rows} rows, {} MiB", bytes >> 20)
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_fills_and_never_overflows() {
        assert_eq!(picture("x", 0, 0, 0), format!("x [{}]   0 %, 0 rows, 0 MiB", "-".repeat(30)));
        assert!(picture("x", 5, 10, 3 << 20).contains("[###############---------------]"));
        assert!(picture("x", 20, 10, 0).contains(&format!("[{}] 100 %", "#".repeat(30))));
    }
}
