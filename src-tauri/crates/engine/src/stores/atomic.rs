//! Replaces another program's file whole or not at all, keeping what it is: its place behind a
//! symlink, its owner, and a mode that nobody else can read.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use lamplighter_core::store::StoreFault;

use super::denied_or_io;

/// The new content, on the disk beside the old and not yet in its place.
#[derive(Debug)]
pub(crate) struct Ready {
    temp: tempfile::NamedTempFile,
    real: PathBuf,
}

/// Writes the new content next to the real file and waits for the disk.
pub(crate) fn prepare(path: &Path, content: &[u8]) -> Result<Ready, StoreFault> {
    beside(real_file(path)?, content)
}

/// The same for a file that is not there yet, in a folder that is the user's own.
pub(crate) fn prepare_first(path: &Path, content: &[u8]) -> Result<Ready, StoreFault> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let name = path.file_name().unwrap_or_default();
    // A link to nothing would be replaced, and what it was meant to lead to never made.
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        let what = "it is a link that leads nowhere, so it is not written".into();
        return Err(StoreFault::Denied { place: path.display().to_string(), what });
    }
    beside(real_file(folder)?.join(name), content)
}

fn beside(real: PathBuf, content: &[u8]) -> Result<Ready, StoreFault> {
    let folder = real.parent().unwrap_or_else(|| Path::new("."));
    let failed = |error: io::Error| denied_or_io(&real, "writing beside it", &error);
    // 0600 from its first moment, and removed again if anything below fails.
    let mut temp = tempfile::Builder::new()
        .prefix(".lamplighter-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(failed)?;
    temp.write_all(content).map_err(failed)?;
    temp.as_file().sync_all().map_err(failed)?;
    Ok(Ready { temp, real })
}

impl Ready {
    /// Puts the new content in its place and waits for the folder.
    pub(crate) fn commit(self) -> Result<(), StoreFault> {
        let Self { temp, real } = self;
        temp.persist(&real)
            .map_err(|failed| denied_or_io(&real, "putting it in place", &failed.error))?;
        sync_folder(&real).map_err(|error| denied_or_io(&real, "waiting for its folder", &error))
    }

    /// The same where there must be no file yet; `false`: there is one.
    pub(crate) fn commit_first(self) -> Result<bool, StoreFault> {
        let Self { temp, real } = self;
        match temp.persist_noclobber(&real) {
            Ok(_) => {}
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(failed) => return Err(denied_or_io(&real, "putting it in place", &failed.error)),
        }
        sync_folder(&real)
            .map_err(|error| denied_or_io(&real, "waiting for its folder", &error))?;
        Ok(true)
    }
}

/// Follows symlinks to the file itself, and refuses one that belongs to somebody else.
fn real_file(path: &Path) -> Result<PathBuf, StoreFault> {
    let real = fs::canonicalize(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            StoreFault::Absent { place: path.display().to_string() }
        } else {
            denied_or_io(path, "finding it", &error)
        }
    })?;
    own(&real)?;
    Ok(real)
}

#[cfg(unix)]
fn own(real: &Path) -> Result<(), StoreFault> {
    use std::os::unix::fs::MetadataExt;

    let found = fs::metadata(real).map_err(|error| denied_or_io(real, "looking at it", &error))?;
    if found.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(StoreFault::Denied {
        place: real.display().to_string(),
        what: "it belongs to another user, so it is not written".into(),
    })
}

#[cfg(not(unix))]
fn own(_: &Path) -> Result<(), StoreFault> {
    Ok(())
}

#[cfg(unix)]
fn sync_folder(real: &Path) -> io::Result<()> {
    fs::File::open(real.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    // Windows makes a rename durable with the file itself.
    Ok(())
}
