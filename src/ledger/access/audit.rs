//! A line of the audit log, in the transaction that it tells of.

use crate::base::id::Id;
use crate::base::text::cut;
use crate::model::access::Audited;
use crate::store::kinds::audit as rows;
use crate::store::tx::Tx;

/// Longest text of a line, in bytes: names in paths are a caller's own words.
const TEXT_BYTES_MAX: usize = 400;

/// A line that is still to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub who: String,
    pub role: String,
    pub from: String,
    pub action: String,
    pub what: String,
    pub detail: String,
}

pub fn add(tx: &mut Tx<'_>, line: &Line) -> Id {
    let text = |text: &str| cut(text, TEXT_BYTES_MAX).to_owned();
    let id = tx.mint();
    rows::put(
        tx,
        &Audited {
            id,
            who: text(&line.who),
            role: text(&line.role),
            from: text(&line.from),
            action: text(&line.action),
            what: text(&line.what),
            detail: text(&line.detail),
        },
    );
    id
}
