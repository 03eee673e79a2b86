//! Numbers packed tight: what rows of history hold.
//!
//! Values are whole numbers, or thousandths. A column is one value per step, or a gap: runs of gaps,
//! of unchanged values and of differences, so that what does not change costs a few bytes an hour.

/// Largest number that is kept exactly; beyond it there is nothing to tell apart.
const WHOLE_MAX: f64 = 4e15;
const THOUSANDTHS_MAX: f64 = 4e12;

const GAP: u64 = 0;
const SAME: u64 = 1;
const DIFFERENT: u64 = 2;

pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// A value by itself.
pub fn put_value(out: &mut Vec<u8>, value: f64) {
    match value.fract() == 0.0 {
        true => put_number(out, zigzag(scaled(value, 0)) << 1),
        false => put_number(out, zigzag(scaled(value, 1)) << 1 | 1),
    }
}

/// As whole numbers (0) or thousandths (1).
fn scaled(value: f64, scale: u64) -> i64 {
    match scale {
        0 => value.clamp(-WHOLE_MAX, WHOLE_MAX).round() as i64,
        _ => (value.clamp(-THOUSANDTHS_MAX, THOUSANDTHS_MAX) * 1_000.0).round() as i64,
    }
}

fn unscaled(number: i64, scale: u64) -> f64 {
    if scale == 0 { number as f64 } else { number as f64 / 1_000.0 }
}

/// Reads what was packed; `None` is damage.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that are not read yet.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub fn value(&mut self) -> Option<f64> {
        let number = self.number()?;
        Some(unscaled(unzigzag(number >> 1), number & 1))
    }

    /// A column of so many steps.
    pub fn column(&mut self, steps: usize) -> Option<Vec<Option<f64>>> {
        let scale = self.number()?;
        let mut column = Vec::with_capacity(steps);
        let mut last = 0_i64;
        while column.len() < steps {
            let token = self.number()?;
            let (count, kind) = ((token >> 2) as usize, token & 3);
            if count == 0 || count > steps - column.len() {
                return None;
            }
            for _ in 0..count {
                if kind == DIFFERENT {
                    last = last.checked_add(unzigzag(self.number()?))?;
                }
                column.push((kind != GAP).then(|| unscaled(last, scale)));
            }
        }
        Some(column)
    }
}

pub fn put_column(out: &mut Vec<u8>, column: &[Option<f64>]) {
    let whole = column.iter().flatten().all(|value| value.fract() == 0.0);
    let scale = u64::from(!whole);
    put_number(out, scale);
    let numbers: Vec<_> =
        column.iter().map(|value| value.map(|value| scaled(value, scale))).collect();
    let (mut at, mut last) = (0, 0_i64);
    while at < numbers.len() {
        let start = at;
        let kind = kind_of(numbers[at], last);
        let before = last;
        while at < numbers.len() && kind_of(numbers[at], last) == kind {
            last = numbers[at].unwrap_or(last);
            at += 1;
        }
        put_number(out, ((at - start) as u64) << 2 | kind);
        if kind == DIFFERENT {
            let mut last = before;
            for number in numbers[start..at].iter().flatten() {
                put_number(out, zigzag(number - last));
                last = *number;
            }
        }
    }
}

fn kind_of(number: Option<i64>, last: i64) -> u64 {
    match number {
        None => GAP,
        Some(number) if number == last => SAME,
        Some(_) => DIFFERENT,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn columns_and_values_come_back(
            column in proptest::collection::vec(
                proptest::option::of(prop_oneof![
                    (-1_000_000_i64..1_000_000).prop_map(|n| n as f64),
                    (0_i64..4).prop_map(|n| n as f64),
                    (-4_000_000_i64..4_000_000).prop_map(|n| n as f64 / 1_000.0),
                ]), 0..300),
        ) {
            let mut bytes = Vec::new();
            put_column(&mut bytes, &column);
            column.iter().flatten().for_each(|value| put_value(&mut bytes, *value));
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.column(column.len()), Some(column.clone()));
            for value in column.iter().flatten() {
                prop_assert_eq!(reader.value(), Some(*value));
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Reader::new(&bytes).column(120);
            let _ = Reader::new(&bytes).value();
        }
    }

    #[test]
    fn what_does_not_change_costs_little() {
        let mut bytes = Vec::new();
        put_column(&mut bytes, &[Some(7.0); 120]);
        assert!(bytes.len() <= 6, "{} bytes", bytes.len());
        bytes.clear();
        put_value(&mut bytes, f64::MAX);
        assert_eq!(Reader::new(&bytes).value(), Some(WHOLE_MAX));
    }
}
