//! The parts of the table of operations as one list, put together before the program runs.

use crate::front::http::describe::Operation;

/// How many operations the parts have together.
pub const fn count(parts: &[&[Operation]]) -> usize {
    let (mut part, mut count) = (0, 0);
    while part < parts.len() {
        count += parts[part].len();
        part += 1;
    }
    count
}

/// The parts, one after another; `blank` stands where nothing was filled in yet.
pub const fn join<const N: usize>(parts: &[&[Operation]], blank: Operation) -> [Operation; N] {
    let mut all = [blank; N];
    let (mut part, mut at, mut filled) = (0, 0, 0);
    while part < parts.len() {
        if at == parts[part].len() {
            (part, at) = (part + 1, 0);
        } else {
            all[filled] = parts[part][at];
            (at, filled) = (at + 1, filled + 1);
        }
    }
    all
}
