//! Floor 5: doors. What comes in from outside is turned into acts here, and answers go out.

pub mod dashboard;
