//! Floor 0: the words everyone uses. Knows nothing of ours.

pub mod entropy;
pub mod files;
pub mod glob;
pub mod hash;
pub mod hidden;
pub mod human;
pub mod id;
pub mod json;
pub mod latest;
pub mod memory;
pub mod name;
pub mod panics;
pub mod text;
pub mod time;
