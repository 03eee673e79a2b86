//! Requests as bytes, made before the clock runs.

use crate::base::entropy::Entropy;

/// The stream that is measured, and its group. The stream is deleted again and again, so its name
/// is one that nobody else has.
pub const KEY: &str = "tidegate-bench";
pub const GROUP: &str = "bench";

/// Digits of a stamp: microseconds of up to two hours and a half.
pub const STAMP_DIGITS: usize = 10;

pub fn of(parts: &[&str]) -> Vec<u8> {
    let mut request = Vec::new();
    head(&mut request, parts.len());
    for part in parts {
        argument(&mut request, part.as_bytes());
    }
    request
}

pub fn head(out: &mut Vec<u8>, arguments: usize) {
    out.extend_from_slice(format!("*{arguments}\r\n").as_bytes());
}

pub fn argument(out: &mut Vec<u8>, argument: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
    out.extend_from_slice(argument);
    out.extend_from_slice(b"\r\n");
}

/// A consumer asks for what nobody of its group has got.
pub fn read(consumer: &str, count: usize, block_ms: u64) -> Vec<u8> {
    let (count, block_ms) = (count.to_string(), block_ms.to_string());
    of(&[
        "XREADGROUP",
        "GROUP",
        GROUP,
        consumer,
        "COUNT",
        &count,
        "BLOCK",
        &block_ms,
        "STREAMS",
        KEY,
        ">",
    ])
}

/// A pipeline of equal XADD requests.
#[derive(Clone)]
pub struct Adds {
    bytes: Vec<u8>,
    /// Bytes of one request.
    each: usize,
    /// Where in a request the payload starts.
    payload_at: usize,
}

impl Adds {
    pub fn new(pipeline: usize, payload: &str) -> Adds {
        let one = of(&["XADD", KEY, "*", "f", payload]);
        let payload_at = one.len() - payload.len() - 2;
        Adds { bytes: one.repeat(pipeline), each: one.len(), payload_at }
    }

    pub fn all(&self) -> &[u8] {
        &self.bytes
    }

    pub fn first(&self, count: usize) -> &[u8] {
        &self.bytes[..self.each * count]
    }

    /// Writes a number over the beginning of every payload.
    pub fn stamp(&mut self, micros: u64) {
        let mut digits = [b'0'; STAMP_DIGITS];
        let mut rest = micros;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        for request in self.bytes.chunks_exact_mut(self.each) {
            request[self.payload_at..self.payload_at + STAMP_DIGITS].copy_from_slice(&digits);
        }
    }
}

/// Letters in no order, the same ones every time.
pub fn payload(bytes: usize) -> String {
    let mut dice = Entropy::from_seed(1);
    (0..bytes).map(|_| char::from(b'a' + dice.below(26) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamp_is_written_into_every_payload() {
        let mut adds = Adds::new(3, &payload(12));
        let before = adds.all().to_vec();
        adds.stamp(1_234_567);
        assert_eq!(adds.all().len(), before.len());
        let text = String::from_utf8(adds.all().to_vec()).unwrap();
        assert_eq!(text.matches("\r\n$12\r\n0001234567").count(), 3, "{text}");
        assert_eq!(adds.first(1).len() * 3, before.len());
    }
}
