//! Entries of streams as JSON and back.
//!
//! Names and values of an entry are bytes. Text is shown as text, anything else as
//! `{"base64": ".."}`, and either is taken. Fields are an object; where a name occurs twice, or is
//! no text, they are a list of pairs.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use crate::base::text::quote;
use crate::model::refusal::Refusal;
use crate::model::stream::{Fields, StreamId};

/// Entries that one request may add.
pub const ENTRIES_MAX: usize = 1_000;
/// Ids that one request may name.
pub const IDS_MAX: usize = 1_000;

/// Bytes: text, or `{"base64": ".."}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytesJson(pub Bytes);

impl Serialize for BytesJson {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Part(&self.0).serialize(s)
    }
}

impl<'de> Deserialize<'de> for BytesJson {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<BytesJson, D::Error> {
        let raw = Box::<RawValue>::deserialize(d)?;
        let bytes = part(&raw).map_err(serde::de::Error::custom)?;
        Ok(BytesJson(bytes.into()))
    }
}

struct Part<'a>(&'a [u8]);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(self.0) {
            return s.serialize_str(text);
        }
        let mut map = s.serialize_map(Some(1))?;
        map.serialize_entry("base64", &STANDARD.encode(self.0))?;
        map.end()
    }
}

/// Fields as they are shown.
#[derive(Clone, Debug)]
pub struct FieldsJson(pub Fields);

impl FieldsJson {
    fn pairs(&self) -> Vec<(&[u8], &[u8])> {
        let mut parts = self.0.parts();
        let mut pairs = Vec::with_capacity(self.0.parts_len() / 2);
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            pairs.push((name, value));
        }
        pairs
    }
}

impl Serialize for FieldsJson {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let pairs = self.pairs();
        let mut seen = BTreeSet::new();
        let plain =
            pairs.iter().all(|(name, _)| std::str::from_utf8(name).is_ok() && seen.insert(*name));
        if !plain {
            let mut list = s.serialize_seq(Some(pairs.len()))?;
            for (name, value) in pairs {
                list.serialize_element(&(Part(name), Part(value)))?;
            }
            return list.end();
        }
        let mut map = s.serialize_map(Some(pairs.len()))?;
        for (name, value) in pairs {
            map.serialize_entry(&Part(name), &Part(value))?;
        }
        map.end()
    }
}

/// Names and values in the order in which they were written, with repeats.
struct Pairs(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Pairs, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    pairs.push((name, map.next_value::<Box<RawValue>>()?));
                }
                Ok(Pairs(pairs))
            }
        }
        d.deserialize_map(Reader)
    }
}

/// One entry, `{"fields": {..}}`, or a list of them. The fields may also stand by themselves.
pub fn entries(body: &RawValue) -> Result<Vec<Fields>, Refusal> {
    let one = |raw: &RawValue| match first_byte(raw) {
        b'{' => wrapped(raw),
        _ => fields("fields", raw),
    };
    if first_byte(body) != b'[' {
        return Ok(vec![one(body)?]);
    }
    let list: Vec<Box<RawValue>> = read("entries", body)?;
    if !(1..=ENTRIES_MAX).contains(&list.len()) {
        let message = format!("expected 1 to {ENTRIES_MAX} entries, got {}", list.len());
        return Err(Refusal::field("entries", message));
    }
    list.iter().map(|raw| one(raw)).collect()
}

/// An object is an entry with the member `fields`, or the fields themselves.
fn wrapped(raw: &RawValue) -> Result<Fields, Refusal> {
    let Pairs(members) = read("fields", raw)?;
    let inner = members
        .iter()
        .find(|(name, value)| name == "fields" && matches!(first_byte(value), b'{' | b'['));
    let Some((_, inner)) = inner else { return from_pairs("fields", members) };
    if let Some((name, _)) = members.iter().find(|(name, _)| name != "fields") {
        return Err(Refusal::field(name, "an entry has `fields` and nothing else"));
    }
    fields("fields", inner)
}

/// Fields: an object, or a list of pairs.
pub fn fields(field: &str, raw: &RawValue) -> Result<Fields, Refusal> {
    if first_byte(raw) != b'[' {
        let Pairs(members) = read(field, raw)?;
        return from_pairs(field, members);
    }
    let pairs: Vec<(Box<RawValue>, Box<RawValue>)> = read(field, raw)?;
    let mut parts = Vec::with_capacity(pairs.len() * 2);
    for (name, value) in pairs {
        parts.push(part(&name).map_err(|why| Refusal::field(field, why))?);
        parts.push(part(&value).map_err(|why| Refusal::field(field, why))?);
    }
    whole(field, &parts)
}

fn from_pairs(field: &str, members: Vec<(String, Box<RawValue>)>) -> Result<Fields, Refusal> {
    let mut parts = Vec::with_capacity(members.len() * 2);
    for (name, value) in members {
        let read = part(&value);
        let read = read.map_err(|why| Refusal::field(field, format!("{}: {why}", quote(&name))));
        parts.push(name.into_bytes());
        parts.push(read?);
    }
    whole(field, &parts)
}

fn whole(field: &str, parts: &[Vec<u8>]) -> Result<Fields, Refusal> {
    if parts.is_empty() {
        return Err(Refusal::field(field, "an entry has at least one field"));
    }
    Ok(Fields::from_parts(parts))
}

/// A text, a number or a truth value as their JSON text, or bytes in base64.
fn part(raw: &RawValue) -> Result<Vec<u8>, String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Encoded {
        base64: String,
    }
    const EXPECTED: &str = "expected a text, a number, a truth value or {\"base64\": \"..\"}";
    match first_byte(raw) {
        b'"' => serde_json::from_str::<String>(raw.get())
            .map(String::into_bytes)
            .map_err(|_| "the text holds half of a character".to_owned()),
        b't' | b'f' | b'-' | b'0'..=b'9' => Ok(raw.get().as_bytes().to_vec()),
        b'{' => {
            let encoded: Encoded =
                serde_json::from_str(raw.get()).map_err(|_| EXPECTED.to_owned())?;
            STANDARD.decode(encoded.base64).map_err(|_| "`base64` is not base64".to_owned())
        }
        _ => Err(EXPECTED.to_owned()),
    }
}

fn first_byte(raw: &RawValue) -> u8 {
    raw.get().as_bytes().first().copied().unwrap_or(0)
}

fn read<T: serde::de::DeserializeOwned>(field: &str, raw: &RawValue) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|_| {
        let message = "expected an object of fields, or a list of [name, value] pairs";
        Refusal::field(field, message)
    })
}

/// The ids of a request.
pub fn ids(field: &str, texts: &[String]) -> Result<Vec<StreamId>, Refusal> {
    if !(1..=IDS_MAX).contains(&texts.len()) {
        let message = format!("expected 1 to {IDS_MAX} ids, got {}", texts.len());
        return Err(Refusal::field(field, message));
    }
    texts.iter().map(|text| id(field, text, 0)).collect()
}

/// `ms-seq`, or `ms` with the sequence number that is meant then.
pub fn id(field: &str, text: &str, seq_default: u64) -> Result<StreamId, Refusal> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits)
    };
    let parts = match text.split_once('-') {
        Some((ms, seq)) => number(ms).zip(number(seq)),
        None => number(text).map(|ms| (ms, seq_default)),
    };
    let (ms, seq) = parts.ok_or_else(|| {
        let message = format!("expected an id such as `1526919030474-0`, got {}", quote(text));
        Refusal::field(field, message)
    })?;
    Ok(StreamId::new(ms, seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).unwrap()
    }

    fn shown(text: &str) -> String {
        match entries(&raw(text)) {
            Ok(all) => {
                let all: Vec<FieldsJson> = all.into_iter().map(FieldsJson).collect();
                serde_json::to_string(&all).unwrap()
            }
            Err(no) => no.message,
        }
    }

    #[test]
    fn entries_are_read_and_shown() {
        for (given, expected) in [
            (r#"{"fields":{"b":"1","a":"2"}}"#, r#"[{"b":"1","a":"2"}]"#),
            (r#"{"b":"1","fields":"2"}"#, r#"[{"b":"1","fields":"2"}]"#),
            (r#"[{"fields":{"a":1.0}},{"a":true}]"#, r#"[{"a":"1.0"},{"a":"true"}]"#),
            (r#"{"a":"1","a":"2"}"#, r#"[[["a","1"],["a","2"]]]"#),
            (r#"[[["a","1"],["a",2]]]"#, r#"[[["a","1"],["a","2"]]]"#),
            (r#"{"fields":{"a":{"base64":"/w=="}}}"#, r#"[{"a":{"base64":"/w=="}}]"#),
            (r#"[[[{"base64":"/w=="},"x"]]]"#, r#"[[[{"base64":"/w=="},"x"]]]"#),
            (r#"{"a":{"base64":"aGk="}}"#, r#"[{"a":"hi"}]"#),
        ] {
            assert_eq!(shown(given), expected, "{given}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (given, part) in [
            ("{}", "at least one field"),
            ("[]", "1 to 1000 entries"),
            ("[[]]", "at least one field"),
            ("7", "an object of fields"),
            (r#"{"a":null}"#, "`a`: expected a text"),
            (r#"{"a":["x"]}"#, "`a`: expected a text"),
            (r#"{"a":{"base64":"?"}}"#, "not base64"),
            (r#"{"a":{"base64":"","b":1}}"#, "`a`: expected a text"),
            (r#"{"fields":{"a":"1"},"id":"*"}"#, "`fields` and nothing else"),
            (r#"[["a","1"]]"#, "pairs"),
            (r#"{"a":"\ud800"}"#, "half of a character"),
        ] {
            let said = shown(given);
            assert!(said.contains(part), "{given}: {said}");
        }
    }

    #[test]
    fn ids_need_numbers() {
        assert_eq!(id("from", "5-3", 0), Ok(StreamId::new(5, 3)));
        assert_eq!(id("to", "5", u64::MAX), Ok(StreamId::new(5, u64::MAX)));
        for text in ["", "-", "5-", "+5", "5-3-1", "a", "18446744073709551616"] {
            assert!(id("from", text, 0).is_err(), "{text}");
        }
    }
}
