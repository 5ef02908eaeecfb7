//! What this program prints, all of it: `outln!` and `errln!` in place of the macros that panic when
//! nobody reads, and how it ends.
//!
//! It must not print while holding anything that others wait for. Read next:
//! `lamplighter_engine::output`.

use lamplighter_engine::output::{BRIEFLY, err, out};

use crate::EXIT_OTHER;

/// A line on standard output.
macro_rules! outln {
    ($($words:tt)*) => { lamplighter_engine::output::out().line(format_args!($($words)*)) };
}

/// A line on standard error.
macro_rules! errln {
    ($($words:tt)*) => { lamplighter_engine::output::err().line(format_args!($($words)*)) };
}

/// Waits until all is printed; whether anybody still reads standard output.
pub(crate) fn is_read() -> bool {
    out().flush(None);
    !out().has_ended()
}

/// Help, the version, or what is wrong with what was typed; the exit code.
pub(crate) fn usage(told: &clap::Error) -> u8 {
    let code = u8::try_from(told.exit_code()).unwrap_or(EXIT_OTHER);
    // The parser's own printing knows about colours. It returns its failure.
    match told.print() {
        Err(failure) if failure.kind() != std::io::ErrorKind::BrokenPipe => {
            unprinted(code, &failure)
        }
        Ok(()) | Err(_) => code,
    }
}

/// Waits for readers, and returns the exit code. Who keeps waits briefly; a short command's answer is
/// for its reader, whenever that reads.
pub(crate) fn end(code: u8, keeps: bool) -> u8 {
    let patience = keeps.then_some(BRIEFLY);
    out().flush(patience);
    let failure = out().take_failure().filter(|_| !keeps);
    let code = failure.map_or(code, |failure| unprinted(code, &failure));
    err().flush(patience);
    code
}

/// An answer that could not be printed is a failure; a reader that has ended wants no more of it.
fn unprinted(code: u8, failure: &std::io::Error) -> u8 {
    errln!("lamplighter: not all of this could be printed: {failure}");
    err().flush(Some(BRIEFLY));
    if code == 0 { EXIT_OTHER } else { code }
}
