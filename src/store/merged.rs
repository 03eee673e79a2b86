//! Scans over rows with a layer of changes over them.

use std::ops::ControlFlow;

use super::fault::Fault;
use super::rows::{Rows, Span, Visit};

/// Visits the rows of `base` in `span` as `layer` leaves them: it gives, in the order of the span,
/// keys with their values, or without one for a row that went away.
pub(super) fn scan_merged<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    base: &dyn Rows,
    layer: impl Iterator<Item = (K, Option<V>)>,
    span: &Span,
    visit: &mut Visit<'_>,
) -> Result<(), Fault> {
    let mut layer = layer.peekable();
    if layer.peek().is_none() {
        return base.scan(span, visit);
    }
    let precedes = |a: &[u8], b: &[u8]| if span.newest_first { a > b } else { a < b };
    let mut stopped = false;
    base.scan(span, &mut |key, value| {
        while let Some((over, value)) = layer.next_if(|(over, _)| precedes(over.as_ref(), key)) {
            if let Some(value) = value
                && visit(over.as_ref(), value.as_ref())?.is_break()
            {
                stopped = true;
                return Ok(ControlFlow::Break(()));
            }
        }
        let flow = match layer.next_if(|(over, _)| over.as_ref() == key) {
            Some((_, Some(value))) => visit(key, value.as_ref())?,
            Some((_, None)) => ControlFlow::Continue(()),
            None => visit(key, value)?,
        };
        stopped = flow.is_break();
        Ok(flow)
    })?;
    while !stopped && let Some((over, value)) = layer.next() {
        if let Some(value) = value {
            stopped = visit(over.as_ref(), value.as_ref())?.is_break();
        }
    }
    Ok(())
}
