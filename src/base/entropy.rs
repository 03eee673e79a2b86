//! Randomness as an argument: a small seeded generator for ids and jitter, and the system's
//! generator for secrets.

/// SplitMix64: fast, seedable, good enough for ids and jitter; never used for secrets.
#[derive(Clone, Debug)]
pub struct Entropy(u64);

impl Entropy {
    pub fn from_seed(seed: u64) -> Entropy {
        Entropy(seed)
    }

    /// Seeded from the operating system.
    pub fn from_system() -> Entropy {
        let mut seed = [0; 8];
        fill_secret(&mut seed);
        Entropy(u64::from_le_bytes(seed))
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// So many hex digits.
    pub fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16) as usize])).collect()
    }

    /// A number below `bound`; `bound` must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "entropy: the bound must be positive");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

/// Fills `into` from the operating system's generator, for secrets and tokens.
pub fn fill_secret(into: &mut [u8]) {
    getrandom::fill(into).expect("the operating system always hands out random bytes");
}
