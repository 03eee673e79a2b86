//! Rules of the outbox, by name.

mod answers;
mod health;
mod hooks;
mod lanes;
mod letters;
mod order;
mod random;
mod step_back;
