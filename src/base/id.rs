//! Time-ordered ids: UUIDv7, minted from a passed-in moment and [`Entropy`].
//!
//! Ascending keys cost a tenth of random ones in the store, so ids that one [`Minter`] hands out
//! only ever grow, also within one millisecond and after the clock stepped back.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::entropy::Entropy;
use super::time::Time;

/// A public id of a run or of an outbox row: UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 16]);

/// The id of a run.
pub type RunId = Id;

impl Id {
    pub const MIN: Id = Id([0; 16]);
    pub const MAX: Id = Id([0xff; 16]);

    /// The millisecond in which it was minted.
    pub fn time(self) -> Time {
        Time((u128::from_be_bytes(self.0) >> 80) as i64)
    }

    /// The smallest id that can be minted at `time`: a bound for ranges.
    pub fn floor_of(time: Time) -> Id {
        let ms = time.0.clamp(0, (1 << 48) - 1) as u128;
        Id((ms << 80).to_be_bytes())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Takes any spelling of a UUID: with or without dashes, upper or lower case.
impl FromStr for Id {
    type Err = ();
    fn from_str(text: &str) -> Result<Id, ()> {
        uuid::Uuid::try_parse(text).map(|id| Id(id.into_bytes())).map_err(drop)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 36];
        s.serialize_str(uuid::Uuid::from_bytes(self.0).as_hyphenated().encode_lower(&mut text))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Id, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|()| serde::de::Error::custom(format!("`{text}` is not a UUID")))
    }
}

/// Mints ids that only grow.
#[derive(Clone, Debug)]
pub struct Minter {
    entropy: Entropy,
    /// Millisecond (48 bits) and random part (74 bits) of the last id, as one number.
    last: u128,
}

const RANDOM_BITS: u32 = 74;

impl Minter {
    pub fn new(entropy: Entropy) -> Minter {
        Minter { entropy, last: 0 }
    }

    /// From now on every id is above `id`: called at start with the newest id in the store.
    pub fn stay_above(&mut self, id: Id) {
        self.last = self.last.max(pack(id));
    }

    pub fn mint(&mut self, now: Time) -> Id {
        let ms = now.0.clamp(0, (1 << 48) - 1) as u128;
        // A fresh millisecond starts in the lower half, which leaves room to count up.
        let random = (u128::from(self.entropy.next_u64()) << 9) & ((1 << (RANDOM_BITS - 1)) - 1);
        let fresh = (ms << RANDOM_BITS) | random;
        let step = 1 + u128::from(self.entropy.below(1 << 16));
        self.last = if fresh > self.last { fresh } else { self.last + step };
        unpack(self.last)
    }

    pub fn entropy(&mut self) -> &mut Entropy {
        &mut self.entropy
    }
}

/// Takes the version and variant bits out.
fn pack(id: Id) -> u128 {
    let raw = u128::from_be_bytes(id.0);
    let ms = raw >> 80;
    let high = (raw >> 64) & 0xfff;
    let low = raw & ((1 << 62) - 1);
    (ms << RANDOM_BITS) | (high << 62) | low
}

fn unpack(packed: u128) -> Id {
    let ms = packed >> RANDOM_BITS;
    let high = (packed >> 62) & 0xfff;
    let low = packed & ((1 << 62) - 1);
    Id(((ms << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minted_ids_only_grow() {
        let mut minter = Minter::new(Entropy::from_seed(1));
        let mut last = Id::MIN;
        for (n, ms) in
            [1_000, 1_000, 999, 1_001, 5, 1_001].into_iter().cycle().take(10_000).enumerate()
        {
            let id = minter.mint(Time(ms + n as i64 / 1_000));
            assert!(id > last, "{id} after {last}");
            let uuid = uuid::Uuid::from_bytes(id.0);
            assert_eq!(uuid.get_version_num(), 7);
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            last = id;
        }
    }

    #[test]
    fn minter_stays_above_stored_id() {
        let mut first = Minter::new(Entropy::from_seed(1));
        let newest = first.mint(Time(2_000));
        let mut second = Minter::new(Entropy::from_seed(2));
        second.stay_above(newest);
        assert!(second.mint(Time(1_000)) > newest);
        assert_eq!(unpack(pack(newest)), newest);
    }
}
