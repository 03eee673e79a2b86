//! Panics in an operator's words: one line of the log, and none where they are caught and told as what
//! they mean. Damaged data breaks assumptions of whoever reads it, so a panic need not be a mistake of
//! the program.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

thread_local! {
    /// This thread tells of its panics itself.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// From here on a panic is a line of the log; with `RUST_BACKTRACE` it is told in full as well.
pub fn tell_in_the_log() {
    let in_full = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if IS_CAUGHT.get() {
            return;
        }
        let at = place(panic);
        let said = said(panic.payload());
        const HINT: &str = "if it happens again, run `tidegate verify` on the data";
        match tracing::dispatcher::has_been_set() {
            true => tracing::error!(at, said, "the program broke off; {HINT}"),
            false => eprintln!("tidegate: the program broke off at {at}: {said}; {HINT}"),
        }
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|wanted| wanted != "0") {
            in_full(panic);
        }
    }));
}

/// The work's result, or what its panic said. The log is not told.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = IS_CAUGHT.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(before);
    done.map_err(|panic| said(&*panic).to_owned())
}

/// What a panic said.
pub fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// File and line, without the path of whoever built it.
fn place(panic: &PanicHookInfo<'_>) -> String {
    panic.location().map_or_else(String::new, |at| {
        let file = at.file().rsplit('/').next().unwrap_or_default();
        format!("{file}:{}", at.line())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caught_panics_tell_what_they_said() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| panic!("no page {}", 3)), Err::<(), _>("no page 3".to_owned()));
        assert!(!IS_CAUGHT.get(), "the next one is told again");
    }
}
