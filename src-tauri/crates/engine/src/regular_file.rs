//! Reads a file at a path that somebody else chose: a regular file only, and no more than is sensible.
//!
//! A pipe, a device, a socket or a folder is refused before a byte is read, so that none of them can
//! hang the reader or fill its memory. It must not wait for a file system that does not answer: that is
//! the business of [`deadline`](crate::deadline).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::Path,
};
#[cfg(unix)]
use std::{
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

/// The largest file that is read beside a store.
pub(crate) const LARGEST: u64 = 4 * 1024 * 1024;

/// How long a file is waited for that another program holds a lease on.
#[cfg(unix)]
const LEASE_PATIENCE: Duration = Duration::from_secs(1);
#[cfg(unix)]
const LEASE_POLL: Duration = Duration::from_millis(20);

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// A pipe, a device, a socket or a folder.
    #[error("it is not a regular file")]
    NotRegular,
    /// It holds more than was allowed.
    #[error("it is far too large")]
    TooLarge,
    /// It is not UTF-8.
    #[error("it is not text")]
    NotText,
    /// What the system said.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl ReadError {
    /// Whether there is no file.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// As the system would say it.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            Self::NotRegular | Self::TooLarge | Self::NotText => {
                io::Error::new(io::ErrorKind::InvalidData, self.to_string())
            }
        }
    }
}

/// The bytes of the regular file at `path`, links followed, at most `largest` of them.
pub(crate) fn read(path: &Path, largest: u64) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    // Asked first, because to open a device may already do something to it.
    if !fs::metadata(path)?.is_file() {
        return Err(ReadError::NotRegular);
    }
    let file = open(path)?;
    // And of the open file: what stands at the path may be another one by now.
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(ReadError::NotRegular);
    }
    if found.len() > largest {
        return Err(ReadError::TooLarge);
    }
    let expected = usize::try_from(found.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected.saturating_add(1)));
    // One byte more than is allowed tells a file that grew, or never tells its length.
    file.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(ReadError::TooLarge);
    }
    Ok(bytes)
}

/// The same as text.
pub(crate) fn read_text(path: &Path, largest: u64) -> Result<Zeroizing<String>, ReadError> {
    let mut bytes = read(path, largest)?;
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|refused| {
        drop(Zeroizing::new(refused.into_bytes()));
        ReadError::NotText
    })
}

/// Opens without waiting: a pipe without a writer would hold whoever opens it.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = OpenOptions::new();
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let started = Instant::now();
    loop {
        match options.open(path) {
            // Another program holds a lease on it, and has been asked to give it up.
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    && started.elapsed() < LEASE_PATIENCE =>
            {
                thread::sleep(LEASE_POLL);
            }
            opened => return opened,
        }
    }
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::PathBuf, process::Command};

    use super::*;

    fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    #[test]
    fn a_regular_file_is_read_through_links_and_at_its_largest_size() {
        let folder = folder_with(&[("a", b"four")]);
        let (file, link) = (folder.path().join("a"), folder.path().join("link"));
        symlink(&file, &link).unwrap();
        assert_eq!(**read(&link, 4).unwrap(), *b"four");
        assert_eq!(**read_text(&file, 4).unwrap(), *"four");
        assert!(matches!(read(&file, 3), Err(ReadError::TooLarge)));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_hangs_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        assert!(Command::new("mkfifo").arg(place("pipe")).status().unwrap().success());
        let _listener = std::os::unix::net::UnixListener::bind(place("socket")).unwrap();
        symlink("/dev/zero", place("endless")).unwrap();
        symlink("/dev/tty", place("terminal")).unwrap();
        let odd: Vec<PathBuf> = ["pipe", "socket", "endless"].map(place).into();
        for path in odd.iter().chain([&folder.path().to_owned()]) {
            let refused = read(path, LARGEST).unwrap_err();
            assert!(matches!(refused, ReadError::NotRegular), "{}: {refused}", path.display());
        }
        assert!(read(&place("terminal"), LARGEST).is_err());
    }

    #[test]
    fn a_file_without_a_length_of_its_own_is_still_bounded() {
        // The kernel says that this one is empty, and writes it while it is read.
        let maps = Path::new("/proc/self/maps");
        if maps.exists() {
            assert!(matches!(read(maps, 10), Err(ReadError::TooLarge)));
        }
    }

    #[test]
    fn absent_and_not_text_are_told_apart() {
        let folder = folder_with(&[("a", b"\xff")]);
        assert!(read(&folder.path().join("b"), 4).unwrap_err().is_absent());
        let refused = read_text(&folder.path().join("a"), 4).unwrap_err();
        assert!(matches!(refused, ReadError::NotText));
    }
}
