//! Replaces another program's file whole or not at all, keeping what it is: its place behind a
//! symlink, its owner, and a mode that nobody else can read.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use lamplighter_core::store::StoreFault;

use super::{absent_or, denied_or_io};

/// What a file of ours is called before it is in its place.
const PREFIX: &str = ".lamplighter-";
const SUFFIX: &str = ".tmp";
/// Writing one takes milliseconds: one that is older was left by a process that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

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
    sweep(folder);
    // 0600 from its first moment, and removed again if anything below fails.
    let mut temp = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .tempfile_in(folder)
        .map_err(failed)?;
    temp.write_all(content).map_err(failed)?;
    temp.as_file().sync_all().map_err(failed)?;
    Ok(Ready { temp, real })
}

/// Removes what a killed process left: it holds tokens. A fault here is none of the caller's: the
/// next write sweeps again.
fn sweep(folder: &Path) {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = files.filter(|file| {
        let name = file.file_name();
        let name = name.as_encoded_bytes();
        name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
    });
    for file in ours {
        let written = file.metadata().and_then(|found| found.modified());
        let age = written.ok().and_then(|written| SystemTime::now().duration_since(written).ok());
        if age.is_some_and(|age| age > LEFT_BEHIND) {
            let _ = fs::remove_file(file.path());
        }
    }
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
    let real = fs::canonicalize(path).map_err(|error| absent_or(path, "finding it", &error))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_goes_with_the_next_write_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, age: u64| {
            let path = folder.path().join(name);
            let file = fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            path
        };
        let left = put(".lamplighter-a1b2c3.tmp", 3_600);
        let stays = [
            put(".lamplighter-d4e5f6.tmp", 1),
            put(".lamplighter-notes", 3_600),
            put("store.json", 3_600),
        ];
        let store = &stays[2];
        prepare(store, b"{}").unwrap().commit().unwrap();
        assert!(!left.exists());
        assert!(stays.iter().all(|path| path.exists()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), stays.len());
    }
}
