//! Rules of runs, by name.

mod edit;
mod end;
mod submit;
