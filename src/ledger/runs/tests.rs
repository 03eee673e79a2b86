//! Rules of runs, by name.

mod edit;
mod end;
mod pull;
mod pull_ends;
mod pull_random;
mod submit;
