//! Standard output of a verb. Whoever reads it may go before the end, as `head` does: that is no
//! fault, and nothing that was to be done is left undone for it.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stdout};

use super::exit;

/// Prints a line. Ends the process where it cannot be written, unless nobody reads it any more: then
/// the exit code still says what came of the verb.
macro_rules! say {
    ($($part:tt)*) => { $crate::cli::out::line(format_args!($($part)*)) };
}

/// Writes a line to standard output.
pub fn line(text: Arguments<'_>) {
    match try_line(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("tidegate: standard output cannot be written: {error}");
            std::process::exit(exit::FAILED)
        }
        _ => {}
    }
}

/// The same for those who go on whatever comes of it.
pub fn try_line(text: Arguments<'_>) -> std::io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
