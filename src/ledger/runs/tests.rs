//! Rules of runs, by name.

mod edit;
mod end;
mod pull_random;
mod submit;
