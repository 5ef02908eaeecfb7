//! What this program prints: `outln!` and `errln!`, which panic over no reader that has ended.
//!
//! It must not stop anything for that: a build whose lines nobody reads goes on.

/// A line on standard output.
macro_rules! outln {
    ($($words:tt)*) => {
        $crate::print::to(std::io::stdout(), format_args!("{}\n", format_args!($($words)*)))
    };
}

/// A line on standard error.
macro_rules! errln {
    ($($words:tt)*) => {
        $crate::print::to(std::io::stderr(), format_args!("{}\n", format_args!($($words)*)))
    };
}

/// Prints there, if anybody reads.
pub(crate) fn to(mut stream: impl std::io::Write, text: std::fmt::Arguments<'_>) {
    drop(stream.write_fmt(text).and_then(|()| stream.flush()));
}
