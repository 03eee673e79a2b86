//! Hints that go out after a commit. They never carry data: whoever listens asks the store what
//! is true.

use crate::base::id::RunId;
use crate::base::name::Name;
use crate::base::time::Time;

use super::stream::KeyName;

/// Where it may be worth looking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This endpoint may have something to deliver.
    Work(Name),
    /// Something falls due at this moment.
    Timer(Time),
    /// This run changed, or this batch: their ids are of one kind.
    Run(RunId),
    /// This key changed in a way that blocked readers wait for: more to read, or gone.
    Key(KeyName),
    /// Rows wait for their removal.
    Purge,
    /// Entries wait in the buffer.
    Buffer,
    /// Something that pages show changed.
    Page,
}
