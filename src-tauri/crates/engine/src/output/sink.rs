//! The file descriptor itself, and what a failed write to it means.
//!
//! A pipe or a terminal that is gone is a reader that has ended. A log that cannot be written (a full
//! disk, a journal that was started anew) is not: the text is lost, and the next one is tried.

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    thread,
    time::Duration,
};

/// How soon a descriptor that somebody made non-blocking is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// Why text was not written.
#[derive(Debug)]
pub(super) enum Gone {
    /// Nobody reads any more.
    Reader,
    /// The text from this byte on could not be written.
    Text {
        /// The first byte that was not written.
        from: usize,
        /// What the system said.
        error: io::Error,
    },
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A program that reads a pipe, or a file.
    Reader,
    /// A person at a terminal.
    Terminal,
    /// The system's log, which may be started anew.
    SystemLog,
}

/// Where bytes go.
pub(super) struct Sink {
    to: Box<dyn Write + Send>,
    end: End,
    /// The last line was cut off: the next one begins anew.
    cut: bool,
}

impl Sink {
    pub(super) fn new(to: Box<dyn Write + Send>, end: End) -> Self {
        Self { to, end, cut: false }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.end == End::Terminal
    }

    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self::of(terminal, own(&stdout), || Box::new(io::stdout()))
    }

    pub(super) fn stderr() -> Self {
        let stderr = io::stderr();
        let terminal = stderr.is_terminal();
        Self::of(terminal, own(&stderr), || Box::new(io::stderr()))
    }

    /// A handle of our own has no buffer that keeps what could not be written.
    fn of(
        terminal: bool,
        own: Option<std::fs::File>,
        shared: impl FnOnce() -> Box<dyn Write + Send>,
    ) -> Self {
        let end = match &own {
            _ if terminal => End::Terminal,
            Some(file) if is_system_log(file) => End::SystemLog,
            _ => End::Reader,
        };
        Self::new(own.map_or_else(shared, |file| Box::new(file) as Box<_>), end)
    }

    /// Writes all of it.
    pub(super) fn write(&mut self, text: &[u8]) -> Result<(), Gone> {
        if text.is_empty() {
            return Ok(());
        }
        if self.cut {
            self.all(b"\n").map_err(|(_, error)| self.gone(0, error))?;
            self.cut = false;
        }
        self.all(text).map_err(|(from, error)| {
            self.cut =
                from.checked_sub(1).and_then(|last| text.get(last)).is_some_and(|b| *b != b'\n');
            self.gone(from, error)
        })
    }

    fn all(&mut self, text: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            match self.to.write(rest) {
                Ok(0) => return Err((at, ErrorKind::WriteZero.into())),
                Ok(written) => at += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Somebody who has the same terminal open made it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(AGAIN),
                Err(error) => return Err((at, error)),
            }
        }
        self.to.flush().map_err(|error| (text.len(), error))
    }

    fn gone(&self, from: usize, error: io::Error) -> Gone {
        let ended = match self.end {
            End::Reader => error.kind() == ErrorKind::BrokenPipe,
            End::Terminal => error.kind() == ErrorKind::BrokenPipe || is_hung_up(&error),
            End::SystemLog => false,
        };
        if ended { Gone::Reader } else { Gone::Text { from, error } }
    }
}

/// A terminal that is gone answers so.
#[cfg(unix)]
fn is_hung_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

#[cfg(not(unix))]
fn is_hung_up(_: &io::Error) -> bool {
    false
}

#[cfg(unix)]
fn own(stream: &impl std::os::fd::AsFd) -> Option<std::fs::File> {
    stream.as_fd().try_clone_to_owned().ok().map(std::fs::File::from)
}

/// Only the shared handle writes letters beyond ASCII to a console.
#[cfg(not(unix))]
fn own<S>(_: &S) -> Option<std::fs::File> {
    None
}

/// systemd says which of a service's outputs is its journal (systemd.exec(5), `JOURNAL_STREAM`).
#[cfg(unix)]
fn is_system_log(file: &std::fs::File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    file.metadata().is_ok_and(|found| named == format!("{}:{}", found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn is_system_log(_: &std::fs::File) -> bool {
    false
}
