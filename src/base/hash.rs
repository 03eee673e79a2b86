//! A small stable hash for recognising repeated requests; it is on disk, so it never changes.

/// FNV-1a, 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub fn write(mut self, bytes: &[u8]) -> Fnv {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    /// JSON text without the blanks between its tokens.
    pub fn write_json(mut self, text: &[u8]) -> Fnv {
        let (mut in_string, mut escaped) = (false, false);
        for byte in text {
            if in_string {
                in_string = escaped || *byte != b'"';
                escaped = !escaped && *byte == b'\\';
            } else if byte.is_ascii_whitespace() {
                continue;
            } else {
                in_string = *byte == b'"';
            }
            self = self.write(&[*byte]);
        }
        self
    }

    pub fn finish(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_outside_strings_do_not_count() {
        let hash = |text: &str| Fnv::default().write_json(text.as_bytes()).finish();
        assert_eq!(hash(r#"{"a": [1, 2],"b":"x y"}"#), hash("{ \"a\":[1,2],\n\"b\" : \"x y\" }"));
        assert_ne!(hash(r#"{"b":"x y"}"#), hash(r#"{"b":"xy"}"#));
        assert_ne!(hash(r#""\" x""#), hash(r#""\"x""#));
        assert_eq!(Fnv::default().write(b"a").finish(), 0xaf63_dc4c_8601_ec8c);
    }
}
