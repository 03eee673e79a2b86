//! Query strings: known names only, empty values count as absent, errors name the parameter.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::error::Error;
use super::who::Bound;
use crate::appliance::runs::Scope;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::model::refusal::{Code, Refusal};

/// The parameters of a request, each read once.
#[derive(Clone, Debug, Default)]
pub struct Query {
    given: BTreeMap<String, Vec<String>>,
    bound: Bound,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query, Error> {
        let text = parts.uri.query().unwrap_or_default();
        let given = url::form_urlencoded::parse(text.as_bytes()).into_owned();
        Ok(Query { bound: Bound::of(parts), ..Query::of(given) })
    }
}

/// A moment, also without seconds and zone, or as a day alone: then it is UTC.
fn moment(text: &str) -> Option<Time> {
    match text.len() {
        10 => Time::parse(&format!("{text}T00:00:00Z")),
        16 => Time::parse(&format!("{}:00Z", text.replacen(' ', "T", 1))),
        _ => Time::parse(text),
    }
}

fn bad(name: &str, message: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::InvalidQuery, format!("`{name}`: {message}"))
        .with_details(serde_json::json!({ "field": name }))
}

impl Query {
    /// From form fields.
    pub fn of(fields: impl IntoIterator<Item = (String, String)>) -> Query {
        let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in fields {
            given.entry(name).or_default().push(value);
        }
        Query { given, bound: Bound::default() }
    }

    /// The value of a parameter, the last one if it is given several times.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.given.remove(name)?.pop().filter(|value| !value.is_empty())
    }

    /// A parameter that is a list: names between commas, and given as often as one likes. A
    /// backslash takes the character behind it as it is, so that names may hold commas.
    pub fn names(&mut self, name: &str) -> Vec<String> {
        let values = self.given.remove(name).unwrap_or_default();
        values.iter().flat_map(|value| between_commas(value)).collect()
    }

    /// A name; that of an org or env is the one that the caller is bound to, if it is.
    pub fn name(&mut self, name: &str) -> Result<Option<Name>, Refusal> {
        let value = self.text(name);
        let asked = value.map(|text| Name::new(&text).map_err(|why| bad(name, why))).transpose()?;
        self.bound.narrow(name, asked)
    }

    pub fn number(&mut self, name: &str, max: usize) -> Result<Option<usize>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse::<usize>() {
            Ok(number) if (1..=max).contains(&number) => Ok(Some(number)),
            _ => Err(bad(name, format!("expected 1 to {max}, got {}", quote(&text)))),
        }
    }

    pub fn span(&mut self, name: &str, max: Span) -> Result<Option<Span>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let span = Span::parse(&text).ok_or_else(|| {
            bad(name, format!("expected a duration such as `10s`, got {}", quote(&text)))
        })?;
        if span > max {
            return Err(bad(name, format!("at most {max}")));
        }
        Ok(Some(span))
    }

    /// One of these words.
    pub fn word(&mut self, name: &str, known: &[&str]) -> Result<Option<String>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        if known.contains(&text.as_str()) {
            return Ok(Some(text));
        }
        let known = known.iter().map(|word| quote(word)).collect::<Vec<_>>().join(", ");
        Err(bad(name, format!("expected one of {known}, got {}", quote(&text))))
    }

    /// RFC 3339, a day or a minute of it in UTC, or a length that says how long ago.
    pub fn time(&mut self, name: &str, now: Time) -> Result<Option<Time>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let time = moment(&text).or_else(|| Span::parse(&text).map(|span| now.minus(span)));
        time.map(Some).ok_or_else(|| {
            bad(
                name,
                format!("expected an RFC 3339 time or a length such as `1h`, got {}", quote(&text)),
            )
        })
    }

    pub fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.text(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                Err(bad(name, format!("expected `true` or `false`, got {}", quote(other))))
            }
        }
    }

    /// `org` and `env`: whose things are asked for.
    pub fn scope(&mut self) -> Result<Scope, Refusal> {
        Ok(Scope { org: self.name("org")?, env: self.name("env")? })
    }

    /// Refuses whatever was not read: a typo must not pass silently.
    pub fn end(self) -> Result<(), Refusal> {
        match self.given.into_keys().next() {
            None => Ok(()),
            Some(name) => {
                Err(Refusal::new(Code::InvalidQuery, format!("unknown parameter {}", quote(&name)))
                    .with_details(serde_json::json!({ "field": name })))
            }
        }
    }
}

/// Blanks around a name are not part of it, unless they stand behind a backslash.
fn between_commas(text: &str) -> Vec<String> {
    let (mut names, mut name, mut kept) = (Vec::new(), String::new(), 0);
    let mut rest = text.chars();
    loop {
        match rest.next() {
            Some('\\') => {
                name.push(rest.next().unwrap_or('\\'));
                kept = name.len();
            }
            Some(blank) if blank.is_whitespace() => {
                if !name.is_empty() {
                    name.push(blank);
                }
            }
            end @ (None | Some(',')) => {
                name.truncate(kept);
                if !name.is_empty() {
                    names.push(std::mem::take(&mut name));
                }
                kept = 0;
                if end.is_none() {
                    return names;
                }
            }
            Some(other) => {
                name.push(other);
                kept = name.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_at_commas_and_may_be_repeated() {
        let names = |values: &[&str]| {
            let given = values.iter().map(|value| ("names".to_owned(), (*value).to_owned()));
            Query::of(given).names("names")
        };
        for (values, expected) in [
            (&["a,b"][..], &["a", "b"][..]),
            (&["a", "b"], &["a", "b"]),
            (&["a,b", "", "c"], &["a", "b", "c"]),
            (&[" a , ,b c ,"], &["a", "b c"]),
            (&[r"a\,b,c"], &["a,b", "c"]),
            (&[r"a\\,b"], &[r"a\", "b"]),
            (&[r"\ a\ "], &[" a "]),
            (&[r"a\"], &[r"a\"]),
            (&["ä:ö,ü"], &["ä:ö", "ü"]),
            (&[], &[]),
        ] {
            assert_eq!(names(values), expected, "{values:?}");
        }
        let mut query = Query::of([("a", "1"), ("a", "2")].map(|(n, v)| (n.into(), v.into())));
        assert_eq!(query.text("a").as_deref(), Some("2"));
        assert!(query.end().is_ok());
    }

    fn query(value: &str) -> Query {
        Query::of(vec![("of".to_owned(), value.to_owned())])
    }

    #[test]
    fn times_may_be_days_minutes_and_lengths() {
        let now = Time::parse("2026-01-31T12:00:00Z").unwrap();
        for (text, time) in [
            ("2026-01-30T11:22:33Z", "2026-01-30T11:22:33.000Z"),
            ("2026-01-30", "2026-01-30T00:00:00.000Z"),
            ("2026-01-30 11:22", "2026-01-30T11:22:00.000Z"),
            ("2026-01-30T11:22", "2026-01-30T11:22:00.000Z"),
            ("3h", "2026-01-31T09:00:00.000Z"),
        ] {
            let found = query(text).time("of", now).unwrap().unwrap();
            assert_eq!(found.to_rfc3339(), time, "{text}");
        }
        for text in ["2026-13-01", "tomorrow", "11:22", "2026-01-30 25:00", "äääää"] {
            let refusal = query(text).time("of", now).unwrap_err();
            assert!(refusal.message.starts_with("`of`: expected"), "{text}");
        }
    }

    #[test]
    fn unknown_words_are_refused_with_the_known_ones() {
        assert_eq!(query("a").word("of", &["a", "b"]).unwrap().as_deref(), Some("a"));
        assert_eq!(query("").word("of", &["a", "b"]).unwrap(), None);
        let refusal = query("c").word("of", &["a", "b"]).unwrap_err();
        assert_eq!(refusal.message, "`of`: expected one of `a`, `b`, got `c`");
    }
}
