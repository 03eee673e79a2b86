//! Rows as versioned bytes; the only file that calls bincode.
//!
//! A row is a major version, a minor version, then bincode of that struct. Fields are only ever
//! appended, with a higher minor: an older binary ignores the fields that it does not know, a
//! newer one fills what is missing through [`Record::upgrade`]. A higher major is a named error.
//! Bytes left over within the same minor are damage, since bincode itself would not notice.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};

use super::fault::Fault;

/// Largest row that is read or written, in bytes.
pub const ROW_BYTES_MAX: usize = 16 << 20;

const CONFIG: Configuration<LittleEndian, Varint, Limit<ROW_BYTES_MAX>> =
    bincode::config::standard().with_limit::<ROW_BYTES_MAX>();

/// A kind of row.
pub trait Record: bincode::Encode + bincode::Decode<()> {
    /// What it is called in messages.
    const KIND: &'static str;
    /// 1 to 254: a zeroed or cleared value is never a valid row.
    const MAJOR: u8 = 1;
    const MINOR: u8 = 0;

    /// Reads the body of an older minor or major; `None` when that version was never written.
    fn upgrade(_major: u8, _minor: u8, _body: &[u8]) -> Option<Result<Self, Fault>> {
        None
    }
}

pub fn encode<R: Record>(row: &R) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&[R::MAJOR, R::MINOR]);
    bincode::encode_into_std_write(row, &mut bytes, CONFIG)
        .expect("rows hold only plain data, and limits are checked before they are built");
    bytes
}

pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, Fault> {
    let [major, minor, body @ ..] = bytes else {
        return Err(Fault::Corrupt(format!(
            "a row of {} is {} bytes short",
            R::KIND,
            2 - bytes.len()
        )));
    };
    if *major == 0 || *major == 0xff {
        return Err(Fault::Corrupt(format!("a row of {} starts with {major:#04x}", R::KIND)));
    }
    if *major > R::MAJOR {
        return Err(Fault::Newer(format!("a row of {} (version {major})", R::KIND)));
    }
    if (*major, *minor) < (R::MAJOR, R::MINOR) {
        return R::upgrade(*major, *minor, body).unwrap_or_else(|| {
            Err(Fault::Corrupt(format!("a row of {} has unknown version {major}.{minor}", R::KIND)))
        });
    }
    let (row, used) = decode_body(R::KIND, body)?;
    if used != body.len() && *minor == R::MINOR {
        let left = body.len() - used;
        return Err(Fault::Corrupt(format!("a row of {} has {left} bytes too many", R::KIND)));
    }
    Ok(row)
}

/// Reads a struct and says how many bytes it took.
pub fn decode_body<T: bincode::Decode<()>>(kind: &str, body: &[u8]) -> Result<(T, usize), Fault> {
    bincode::decode_from_slice(body, CONFIG)
        .map_err(|error| Fault::Corrupt(format!("a row of {kind} cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(bincode::Encode, bincode::Decode, Debug, PartialEq)]
    struct Old {
        a: u32,
    }
    impl Record for Old {
        const KIND: &'static str = "test";
    }

    #[derive(bincode::Encode, bincode::Decode, Debug, PartialEq)]
    struct New {
        a: u32,
        b: Option<String>,
    }
    impl Record for New {
        const KIND: &'static str = "test";
        const MINOR: u8 = 1;
        fn upgrade(major: u8, minor: u8, body: &[u8]) -> Option<Result<New, Fault>> {
            ((major, minor) == (1, 0))
                .then(|| decode_body::<Old>("test", body).map(|(old, _)| New { a: old.a, b: None }))
        }
    }

    #[test]
    fn older_reader_ignores_unknown_fields() {
        let bytes = encode(&New { a: 7, b: Some("x".into()) });
        assert_eq!(decode::<Old>(&bytes).unwrap(), Old { a: 7 });
    }

    #[test]
    fn newer_reader_fills_missing_fields() {
        assert_eq!(decode::<New>(&encode(&Old { a: 7 })).unwrap(), New { a: 7, b: None });
    }

    #[test]
    fn damaged_rows_are_named() {
        let good = encode(&Old { a: 7 });
        let with = |change: fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            decode::<Old>(&bytes).unwrap_err().to_string()
        };
        assert!(with(|b| b.push(0)).contains("1 bytes too many"));
        assert!(with(|b| b.truncate(2)).contains("cannot be read"));
        assert!(with(|b| b.truncate(1)).contains("short"));
        assert!(with(|b| b[0] = 0).contains("starts with 0x00"));
        assert!(with(|b| b[0] = 2).contains("newer version"));
    }
}
