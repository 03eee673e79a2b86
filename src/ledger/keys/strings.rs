//! Strings under keys: reading, writing, counting and appending.

use bytes::Bytes;

use crate::base::time::Time;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::KeyName;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::key as keys;
use crate::store::kinds::key::{Entry, Value};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::command::{Answer, Command, Expiry, SetIf};
use super::space::{create, create_until, get, remove, take, wrong_type};

/// Longest string under a key, in bytes: well below the longest row.
pub const VALUE_BYTES_MAX: usize = 8 << 20;

/// Answers a command about strings that only reads; `None` for any other.
pub fn ask(rows: &dyn Rows, now: Time, command: &Command) -> Result<Option<Answer>, Stop> {
    let answer = match command {
        Command::Get { key } => Answer::Value(text_of(get(rows, now, key)?)?),
        Command::GetMany { keys } => Answer::Values(many(rows, now, keys)?),
        Command::StringLength { key } => {
            let text = text_of(get(rows, now, key)?)?;
            Answer::Count(text.map_or(0, |text| text.len() as i64))
        }
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

/// Does a command that changes strings.
pub fn apply(tx: &mut Tx<'_>, command: Command) -> Result<Answer, Stop> {
    match command {
        Command::Set { key, value, when, expiry, get: old } => {
            set(tx, &key, &value, when, expiry, old)
        }
        Command::SetMany { pairs, only_if_all_missing } => {
            set_many(tx, &pairs, only_if_all_missing)
        }
        Command::Take { key } => take_away(tx, &key),
        Command::GetExpire { key, expiry } => get_expire(tx, &key, expiry),
        Command::Increase { key, by } => increase(tx, &key, by),
        Command::Append { key, value } => append(tx, &key, &value),
        _ => Err(Fault::Corrupt("a command without an act".into()).into()),
    }
}

fn text_of(entry: Option<Entry>) -> Result<Option<Bytes>, Refusal> {
    match entry.map(|entry| entry.value) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(Bytes::from(text))),
        Some(Value::Stream(_)) => Err(wrong_type()),
    }
}

/// What is no string counts as nothing, as it does for MGET.
fn many(rows: &dyn Rows, now: Time, names: &[KeyName]) -> Result<Vec<Option<Bytes>>, Fault> {
    let read = |name| Ok(text_of(get(rows, now, name)?).unwrap_or(None));
    names.iter().map(read).collect()
}

fn set(
    tx: &mut Tx<'_>,
    name: &KeyName,
    value: &[u8],
    when: SetIf,
    expiry: Expiry,
    old: bool,
) -> Result<Answer, Stop> {
    check_length(value.len())?;
    let before = take(tx, name)?;
    let wanted = match when {
        SetIf::Always => true,
        SetIf::Exists => before.is_some(),
        SetIf::Missing => before.is_none(),
    };
    let answer = match (old, wanted) {
        (true, _) => Answer::Value(text_of(before.clone())?),
        (false, true) => Answer::Done,
        (false, false) => Answer::NotDone,
    };
    if wanted {
        let expires_at = match expiry {
            Expiry::None => None,
            Expiry::Keep => before.as_ref().and_then(|entry| entry.expires_at),
            Expiry::At(at) => Some(at),
        };
        write(tx, name, before, value, expires_at)?;
        crate::ledger::fleet::from_key(tx, name, value)?;
    }
    Ok(answer)
}

/// Puts a string under a key, whatever was there, but for runs.
fn write(
    tx: &mut Tx<'_>,
    name: &KeyName,
    before: Option<Entry>,
    value: &[u8],
    expires_at: Option<Time>,
) -> Result<(), Stop> {
    let over = expires_at.is_some_and(|at| at <= tx.now());
    let value = Value::Text(value.to_vec());
    match before {
        Some(before) if !over && matches!(before.value, Value::Text(_)) => {
            let after = Entry { number: before.number, expires_at, value };
            keys::save(tx, name, Some(&before), Some(&after));
            return Ok(());
        }
        Some(before) => remove(tx, name, &before)?,
        None => {}
    }
    if !over {
        create_until(tx, name, value, expires_at)?;
    }
    Ok(())
}

fn set_many(
    tx: &mut Tx<'_>,
    pairs: &[(KeyName, Bytes)],
    only_if_all_missing: bool,
) -> Result<Answer, Stop> {
    for (name, value) in pairs {
        check_length(value.len())?;
        if only_if_all_missing && take(tx, name)?.is_some() {
            return Ok(Answer::NotDone);
        }
    }
    for (name, value) in pairs {
        let before = take(tx, name)?;
        write(tx, name, before, value, None)?;
    }
    Ok(Answer::Done)
}

fn take_away(tx: &mut Tx<'_>, name: &KeyName) -> Result<Answer, Stop> {
    let before = take(tx, name)?;
    let text = text_of(before.clone())?;
    if let Some(before) = before {
        remove(tx, name, &before)?;
    }
    Ok(Answer::Value(text))
}

fn get_expire(tx: &mut Tx<'_>, name: &KeyName, expiry: Option<Expiry>) -> Result<Answer, Stop> {
    let before = take(tx, name)?;
    let text = text_of(before.clone())?;
    let Some(before) = before else { return Ok(Answer::Value(None)) };
    let expires_at = match expiry {
        None | Some(Expiry::Keep) => before.expires_at,
        Some(Expiry::None) => None,
        Some(Expiry::At(at)) if at <= tx.now() => {
            remove(tx, name, &before)?;
            return Ok(Answer::Value(text));
        }
        Some(Expiry::At(at)) => Some(at),
    };
    if expires_at != before.expires_at {
        let after = Entry { expires_at, ..before.clone() };
        keys::save(tx, name, Some(&before), Some(&after));
    }
    Ok(Answer::Value(text))
}

fn increase(tx: &mut Tx<'_>, name: &KeyName, by: i64) -> Result<Answer, Stop> {
    let entry = take(tx, name)?;
    let before = match entry.as_ref().map(|entry| &entry.value) {
        None => 0,
        Some(Value::Text(text)) => number(text).ok_or_else(|| {
            Refusal::new(Code::NotANumber, "value is not an integer or out of range")
        })?,
        Some(Value::Stream(_)) => return Err(wrong_type().into()),
    };
    let after = before
        .checked_add(by)
        .ok_or_else(|| Refusal::new(Code::Overflow, "increment or decrement would overflow"))?;
    let value = Value::Text(after.to_string().into_bytes());
    match entry {
        Some(entry) => keys::put(tx, name, &Entry { value, ..entry }),
        None => drop(create(tx, name, value)?),
    }
    Ok(Answer::Count(after))
}

/// A number in the one form in which it would be written: no sign but a minus, no zeros before it.
fn number(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

fn append(tx: &mut Tx<'_>, name: &KeyName, value: &[u8]) -> Result<Answer, Stop> {
    let Some(mut entry) = take(tx, name)? else {
        check_length(value.len())?;
        create(tx, name, Value::Text(value.to_vec()))?;
        return Ok(Answer::Count(value.len() as i64));
    };
    let Value::Text(text) = &mut entry.value else { return Err(wrong_type().into()) };
    let length = text.len() + value.len();
    check_length(length)?;
    text.extend_from_slice(value);
    keys::put(tx, name, &entry);
    Ok(Answer::Count(length as i64))
}

fn check_length(bytes: usize) -> Result<(), Refusal> {
    if bytes <= VALUE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("a string is at most {VALUE_BYTES_MAX} bytes long, this one is {bytes}");
    Err(Refusal::new(Code::TooLarge, message))
}
