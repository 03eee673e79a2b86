//! Order-preserving keys: byte order equals logical order, and no two tuples share bytes.

use crate::base::id::Id;
use crate::base::time::Time;

use super::fault::Fault;
use super::tables::Table;

/// A key, built field by field; the table's number comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

impl Key {
    pub fn new(table: Table) -> Key {
        let mut bytes = Vec::with_capacity(48);
        bytes.push(table as u8);
        Key(bytes)
    }

    pub fn u8(mut self, value: u8) -> Key {
        self.0.push(value);
        self
    }

    pub fn u32(mut self, value: u32) -> Key {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Key {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Signed order: the sign bit is flipped.
    pub fn time(self, time: Time) -> Key {
        self.u64((time.0 as u64) ^ (1 << 63))
    }

    pub fn id(mut self, id: Id) -> Key {
        self.0.extend_from_slice(&id.0);
        self
    }

    /// Any text: NUL is written as `00 01`, the end as `00 00`, so tuples of texts neither
    /// collide nor change order.
    pub fn text(self, text: &str) -> Key {
        self.name(text.as_bytes())
    }

    /// Any bytes, in the same form as texts.
    pub fn name(mut self, name: &[u8]) -> Key {
        for byte in name {
            self.0.push(*byte);
            if *byte == 0 {
                self.0.push(1);
            }
        }
        self.0.extend_from_slice(&[0, 0]);
        self
    }

    /// Bytes that another key was made of; they keep their own order.
    pub fn raw(mut self, bytes: &[u8]) -> Key {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The first key after every key that starts with `prefix`.
pub fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last != 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0xff; prefix.len() + 1]
}

/// Reads a key field by field; a key that does not fit is a damaged store.
pub struct KeyReader<'a> {
    rest: &'a [u8],
    whole: &'a [u8],
}

impl<'a> KeyReader<'a> {
    /// Starts behind the table's number.
    pub fn new(key: &'a [u8]) -> KeyReader<'a> {
        KeyReader { rest: key.get(1..).unwrap_or(&[]), whole: key }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(*head)
            }
            None => Err(self.misfit()),
        }
    }

    fn misfit(&self) -> Fault {
        Fault::Corrupt(format!("a key does not fit its table: {:02x?}", self.whole))
    }

    pub fn u8(&mut self) -> Result<u8, Fault> {
        self.take::<1>().map(|b| b[0])
    }

    pub fn u32(&mut self) -> Result<u32, Fault> {
        self.take().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Fault> {
        self.take().map(u64::from_be_bytes)
    }

    pub fn time(&mut self) -> Result<Time, Fault> {
        self.u64().map(|raw| Time((raw ^ (1 << 63)) as i64))
    }

    pub fn id(&mut self) -> Result<Id, Fault> {
        self.take().map(Id)
    }

    pub fn text(&mut self) -> Result<String, Fault> {
        String::from_utf8(self.name()?).map_err(|_| self.misfit())
    }

    pub fn name(&mut self) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        loop {
            match self.rest {
                [0, 0, rest @ ..] => {
                    self.rest = rest;
                    return Ok(out);
                }
                [0, 1, rest @ ..] => {
                    out.push(0);
                    self.rest = rest;
                }
                [byte, rest @ ..] if *byte != 0 => {
                    out.push(*byte);
                    self.rest = rest;
                }
                _ => return Err(self.misfit()),
            }
        }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// The id that ends `key`: most index rows point at a run or a row this way.
pub fn last_id(key: &[u8]) -> Result<Id, Fault> {
    key.last_chunk::<16>()
        .map(|bytes| Id(*bytes))
        .ok_or_else(|| Fault::Corrupt(format!("a key is too short for an id: {key:02x?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn byte_order_is_logical_order(
            a in ("\\PC*|[\\x00\\x01a]*", any::<i64>(), any::<u32>()),
            b in ("\\PC*|[\\x00\\x01a]*", any::<i64>(), any::<u32>()),
        ) {
            let key = |t: &(String, i64, u32)| Key::new(Table::Run).text(&t.0).time(Time(t.1)).u32(t.2);
            prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
            let bytes = key(&a).into_bytes();
            let mut reader = KeyReader::new(&bytes);
            prop_assert_eq!(reader.text().unwrap(), a.0);
            prop_assert_eq!(reader.time().unwrap().0, a.1);
            prop_assert_eq!(reader.u32().unwrap(), a.2);
            prop_assert!(reader.rest().is_empty());
        }

        #[test]
        fn any_bytes_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = KeyReader::new(&bytes);
            let _ = reader.text();
            let _ = reader.id();
            let _ = reader.time();
        }
    }

    #[test]
    fn b06_separators_in_texts_do_not_collide() {
        let key = |a: &str, b: &str| Key::new(Table::Idem).text(a).text(b);
        assert_ne!(key("a", "b"), key("a\0\0b", ""));
        assert_ne!(key("a:b", "c"), key("a", "b:c"));
        assert_ne!(key("a\0", "b"), key("a", "\0b"));
    }

    #[test]
    fn after_prefix_closes_the_range() {
        assert_eq!(after_prefix(&[1, 2]), [1, 3]);
        assert_eq!(after_prefix(&[1, 0xff]), [2]);
        assert!(after_prefix(&[0xff]) > vec![0xff]);
    }
}
