//! Questions: read-only, over any view of the rows, in bounded work.

pub mod batches;
pub mod list;
pub mod newest;
pub mod waiting;
