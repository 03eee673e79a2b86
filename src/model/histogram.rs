//! Distributions of lengths of time that can be merged: percentiles over any window are those of all
//! its values, never means of percentiles (7.28).
//!
//! Buckets are log-linear: exact below 32 ms, then 32 to each power of two, so that no value is told
//! wrong by more than 1/64 of itself.

use std::cmp::Ordering;

/// Buckets to each power of two, and their logarithm.
const PER_POWER: u64 = 32;
const PER_POWER_LOG: u32 = 5;
/// Longest length that is told apart, in milliseconds: 34 years.
const LONGEST_MS: u64 = 1 << 40;
/// How many buckets there are.
pub const BUCKETS: u16 = bucket_of(LONGEST_MS) + 1;

/// Lengths in milliseconds, by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Bucket and count, ascending.
    buckets: Vec<(u16, u64)>,
    count: u64,
    sum_ms: u64,
    min_ms: u64,
    max_ms: u64,
}

/// What a histogram is made of again; its buckets are below [`BUCKETS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Bucket and count, ascending.
    pub buckets: Vec<(u16, u64)>,
    pub sum_ms: u64,
    pub min_ms: u64,
    pub max_ms: u64,
}

impl Histogram {
    pub fn record(&mut self, ms: u64) {
        let ms = ms.min(LONGEST_MS);
        let bucket = bucket_of(ms);
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.buckets[at].1 += 1,
            Err(at) => self.buckets.insert(at, (bucket, 1)),
        }
        self.min_ms = if self.count == 0 { ms } else { self.min_ms.min(ms) };
        self.max_ms = self.max_ms.max(ms);
        self.count += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    pub fn merge(&mut self, other: &Histogram) {
        if other.count == 0 {
            return;
        }
        self.buckets = merged(&self.buckets, &other.buckets);
        self.min_ms = if self.count == 0 { other.min_ms } else { self.min_ms.min(other.min_ms) };
        self.max_ms = self.max_ms.max(other.max_ms);
        self.count += other.count;
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn sum_ms(&self) -> u64 {
        self.sum_ms
    }

    pub fn min_ms(&self) -> u64 {
        self.min_ms
    }

    pub fn max_ms(&self) -> u64 {
        self.max_ms
    }

    pub fn mean_ms(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum_ms as f64 / self.count as f64 }
    }

    /// The value at rank `round(q * (count - 1))`, `q` from 0 to 1; 0 when there is none.
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let rank = (self.count.saturating_sub(1) as f64 * q.clamp(0.0, 1.0)).round() as u64;
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen > rank {
                return middle_of(*bucket).clamp(self.min_ms as f64, self.max_ms as f64);
            }
        }
        0.0
    }

    /// How many values are at most `ms`, as far as buckets tell.
    pub fn at_most(&self, ms: u64) -> u64 {
        let last = bucket_of(ms.min(LONGEST_MS));
        let of_these = self.buckets.iter().take_while(|(bucket, _)| *bucket <= last);
        of_these.map(|(_, count)| count).sum()
    }

    /// Bucket and count, ascending.
    pub fn buckets(&self) -> &[(u16, u64)] {
        &self.buckets
    }

    pub fn from_parts(parts: Parts) -> Histogram {
        Histogram {
            count: parts.buckets.iter().map(|(_, count)| count).sum(),
            buckets: parts.buckets,
            sum_ms: parts.sum_ms,
            min_ms: parts.min_ms,
            max_ms: parts.max_ms,
        }
    }
}

/// Many histograms on their way to become one, without a list for each.
#[derive(Clone, Debug)]
pub struct Merging {
    /// By bucket; all are 0 below `low`, and from `high` on.
    counts: Vec<u64>,
    low: usize,
    high: usize,
    /// How many are not 0.
    used: usize,
    sum_ms: u64,
    min_ms: u64,
    max_ms: u64,
}

impl Default for Merging {
    fn default() -> Merging {
        let counts = vec![0; usize::from(BUCKETS)];
        let low = counts.len();
        Merging { counts, low, high: 0, used: 0, sum_ms: 0, min_ms: u64::MAX, max_ms: 0 }
    }
}

impl Merging {
    /// Adds what is known of a histogram beside its buckets.
    pub fn add_sums(&mut self, sum_ms: u64, min_ms: u64, max_ms: u64) {
        self.sum_ms = self.sum_ms.saturating_add(sum_ms);
        self.min_ms = self.min_ms.min(min_ms);
        self.max_ms = self.max_ms.max(max_ms);
    }

    /// Adds to one bucket; `None` when it is not below [`BUCKETS`].
    pub fn add(&mut self, bucket: u16, count: u64) -> Option<()> {
        let bucket = usize::from(bucket);
        let found = self.counts.get_mut(bucket)?;
        self.used += usize::from(*found == 0 && count > 0);
        *found = found.saturating_add(count);
        (self.low, self.high) = (self.low.min(bucket), self.high.max(bucket + 1));
        Some(())
    }

    pub fn merge(&mut self, other: &Histogram) {
        if other.is_empty() {
            return;
        }
        self.add_sums(other.sum_ms, other.min_ms, other.max_ms);
        for (bucket, count) in &other.buckets {
            self.add(*bucket, *count).expect("a histogram has no bucket beyond the last");
        }
    }

    /// What all came to; nothing is left.
    pub fn take(&mut self) -> Histogram {
        let first = std::mem::replace(&mut self.low, self.counts.len());
        let touched = first..std::mem::take(&mut self.high);
        let all = self.counts.get_mut(touched).unwrap_or_default().iter_mut().enumerate();
        let mut buckets = Vec::with_capacity(std::mem::take(&mut self.used));
        for (at, count) in all.filter(|(_, count)| **count > 0) {
            buckets.push(((first + at) as u16, std::mem::take(count)));
        }
        let (sum_ms, max_ms) = (std::mem::take(&mut self.sum_ms), std::mem::take(&mut self.max_ms));
        let min_ms = std::mem::replace(&mut self.min_ms, u64::MAX);
        if buckets.is_empty() {
            return Histogram::default();
        }
        Histogram::from_parts(Parts { buckets, sum_ms, min_ms, max_ms })
    }
}

/// Of two lists that ascend, one that does.
fn merged(mine: &[(u16, u64)], others: &[(u16, u64)]) -> Vec<(u16, u64)> {
    let mut all = Vec::with_capacity(mine.len() + others.len());
    let (mut mine, mut others) = (mine, others);
    loop {
        match (mine, others) {
            ([], rest) | (rest, []) => {
                all.extend_from_slice(rest);
                return all;
            }
            ([a, after_a @ ..], [b, after_b @ ..]) => {
                if a.0 <= b.0 {
                    mine = after_a;
                }
                if b.0 <= a.0 {
                    others = after_b;
                }
                all.push(match a.0.cmp(&b.0) {
                    Ordering::Less => *a,
                    Ordering::Greater => *b,
                    Ordering::Equal => (a.0, a.1 + b.1),
                });
            }
        }
    }
}

const fn bucket_of(ms: u64) -> u16 {
    if ms < PER_POWER {
        return ms as u16;
    }
    let power = ms.ilog2() - PER_POWER_LOG;
    let within = (ms >> power) - PER_POWER;
    (PER_POWER + power as u64 * PER_POWER + within) as u16
}

fn middle_of(bucket: u16) -> f64 {
    let bucket = u64::from(bucket);
    if bucket < PER_POWER {
        return bucket as f64;
    }
    let power = (bucket - PER_POWER) / PER_POWER;
    let from = ((bucket - PER_POWER) % PER_POWER + PER_POWER) << power;
    from as f64 + ((1_u64 << power) - 1) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    proptest! {
        /// Merged parts tell what all values tell together, close to the exact percentile.
        #[test]
        fn s28_percentiles_are_merged(
            parts in proptest::collection::vec(proptest::collection::vec(0_u64..10_000_000, 0..40), 1..8),
            q in 0.0_f64..=1.0,
        ) {
            let (mut merged, mut merging) = (Histogram::default(), Merging::default());
            for part in &parts {
                merged.merge(&of(part));
                merging.merge(&of(part));
            }
            prop_assert_eq!(&merging.take(), &merged);
            prop_assert_eq!(merging.take(), Histogram::default());
            let mut all: Vec<u64> = parts.concat();
            prop_assert_eq!(&merged, &of(&all));
            let parts = Parts {
                buckets: merged.buckets().to_vec(),
                sum_ms: merged.sum_ms(),
                min_ms: merged.min_ms(),
                max_ms: merged.max_ms(),
            };
            prop_assert_eq!(&Histogram::from_parts(parts), &merged);
            all.sort_unstable();
            if let Some(last) = all.len().checked_sub(1) {
                let exact = all[(last as f64 * q).round() as usize] as f64;
                let told = merged.quantile_ms(q);
                prop_assert!((told - exact).abs() <= exact / 64.0 + 0.5, "{told} for {exact}");
            }
        }

        #[test]
        fn buckets_keep_their_order(a in 0..=LONGEST_MS, b in 0..=LONGEST_MS) {
            prop_assert!((a < b) <= (bucket_of(a) <= bucket_of(b)));
            prop_assert!((middle_of(bucket_of(a)) - a as f64).abs() <= a as f64 / 64.0);
        }
    }

    /// One slow run among many quick ones of a busy bucket is not drowned by an idle bucket.
    #[test]
    fn quiet_parts_weigh_little() {
        let mut merged = of(&[10; 1_000]);
        merged.merge(&of(&[5_000]));
        assert_eq!((merged.quantile_ms(0.5), merged.quantile_ms(0.99)), (10.0, 10.0));
        assert_eq!((merged.max_ms(), merged.min_ms(), merged.count()), (5_000, 10, 1_001));
        assert_eq!(
            (merged.at_most(10), merged.at_most(9), merged.at_most(9_999)),
            (1_000, 0, 1_001)
        );
        assert_eq!(of(&[]).quantile_ms(0.5), 0.0);
    }
}
