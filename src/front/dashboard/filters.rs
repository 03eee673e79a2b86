//! Filters of the templates: numbers as people read them.
//!
//! They take anything that prints, since a template hands values over behind varying references.

use std::convert::Infallible;
use std::fmt::Display;

use super::parts::Prose;
use super::text;

fn number(value: &dyn Display) -> u64 {
    value.to_string().parse().unwrap_or(0)
}

/// `12345` becomes `12,345`.
#[askama::filter_fn]
pub fn count(value: impl Display, _: &dyn askama::Values) -> Result<String, Infallible> {
    Ok(text::count(number(&value)))
}

/// A number of bytes in the unit that fits.
#[askama::filter_fn]
pub fn bytes(value: impl Display, _: &dyn askama::Values) -> Result<String, Infallible> {
    Ok(text::bytes(number(&value)))
}

/// The last characters of an id, see [`text::short_id`].
#[askama::filter_fn]
pub fn short(value: impl Display, _: &dyn askama::Values) -> Result<String, Infallible> {
    Ok(text::short_id(&value.to_string()))
}

/// Words in backticks become code.
#[askama::filter_fn]
pub fn prose(value: impl Display, _: &dyn askama::Values) -> Result<Prose, Infallible> {
    Ok(Prose::new(&value.to_string()))
}
