//! Two servers side by side: the median of the rounds, and what the second is to the first.

use serde_json::json;

use super::server::Server;
use crate::cli::bench::figures::Figures;

/// One measurement on both servers, round by round.
#[derive(Debug)]
pub struct Pair {
    pub what: String,
    pub first: Vec<Figures>,
    pub second: Vec<Figures>,
}

/// A figure of both servers and their ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Versus {
    first: f64,
    second: f64,
}

impl Versus {
    fn of(pair: &Pair, figure: impl Fn(&Figures) -> f64) -> Versus {
        let median_of = |rounds: &[Figures]| median(rounds.iter().map(&figure).collect());
        Versus { first: median_of(&pair.first), second: median_of(&pair.second) }
    }

    fn ratio(self) -> f64 {
        self.second / self.first.max(1e-9)
    }
}

impl Pair {
    pub fn print(&self, first: &Server, second: &Server, json: bool) {
        let rate = Versus::of(self, Figures::per_second);
        let p50 = Versus::of(self, Figures::p50_ms);
        let p99 = Versus::of(self, Figures::p99_ms);
        if json {
            let side = |server: &Server, of: fn(Versus) -> f64| {
                json!({
                    "server": server.to_string(),
                    "per_s": of(rate), "p50_ms": of(p50), "p99_ms": of(p99),
                })
            };
            say!(
                "{}",
                json!({
                    "what": self.what, "compared": true, "rounds": self.first.len(),
                    "first": side(first, |versus| versus.first),
                    "second": side(second, |versus| versus.second),
                    "per_s_ratio": rate.ratio(), "p50_ratio": p50.ratio(), "p99_ratio": p99.ratio(),
                })
            );
            return;
        }
        say!(
            "{:<34} rate {:>8.0} -> {:>8.0}/s x{:<5.2}  p50 {:>8.3} -> {:>8.3} ms x{:<5.2}  \
             p99 {:>8.3} -> {:>8.3} ms x{:.2}",
            self.what,
            rate.first,
            rate.second,
            rate.ratio(),
            p50.first,
            p50.second,
            p50.ratio(),
            p99.first,
            p99.second,
            p99.ratio(),
        );
    }
}

/// The middle, or the mean of the two in the middle; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rounds(counts: &[u64]) -> Vec<Figures> {
        let one = |count: &u64| {
            Figures::of("", 1, Duration::from_secs(1), vec![1_000], 0).with_count(*count)
        };
        counts.iter().map(one).collect()
    }

    #[test]
    fn ratio_is_second_to_first() {
        let (first, second) = (rounds(&[100, 900, 200]), rounds(&[300, 400, 100]));
        let pair = Pair { what: "x".to_owned(), first, second };
        let rate = Versus::of(&pair, Figures::per_second);
        assert_eq!(rate, Versus { first: 200.0, second: 300.0 });
        assert_eq!(rate.ratio(), 1.5);
        assert_eq!(Versus::of(&pair, Figures::p50_ms).ratio(), 1.0);
    }

    #[test]
    fn even_rounds_take_the_mean_of_the_middle() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 100.0]), 3.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
