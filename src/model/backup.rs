//! A backup as the appliance remembers it: what was written where, and whether it was verified.

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::Time;

/// A backup that was written, or that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    pub id: Id,
    /// Of its file.
    pub name: Name,
    /// Who asked for it: `api`, `page`, `schedule`.
    pub by: String,
    pub started_at: Time,
    pub finished_at: Time,
    /// The commit that it ends with; nothing else of a backup that failed is known.
    pub sequence: u64,
    pub rows: u64,
    pub file_bytes: u64,
    /// SHA-256 in hexadecimal digits; empty when it failed.
    pub digest: String,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was last verified, and what was wrong then.
    pub verified_at: Option<Time>,
    pub damage: Option<String>,
}

impl Backup {
    /// It is there, as far as anybody knows whole.
    pub fn is_good(&self) -> bool {
        self.error.is_none() && self.damage.is_none()
    }
}
