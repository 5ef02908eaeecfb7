//! Our own files: replaced whole or not at all, on the disk before we say so, for the user alone.
//!
//! Files of other programs have more to be kept (symlinks, modes, owners) and their own module in
//! [`stores`](crate::stores).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use lamplighter_core::time::Wall;

/// Replaces the file's content, mode 0600; durable when this returns.
///
/// Whoever reads it sees the old content or the new. One process at a time: the engine's lock says
/// who.
pub(crate) fn replace(place: &Path, content: &[u8]) -> io::Result<()> {
    let new = unfinished(place);
    let written = write_new(&new, content).and_then(|()| fs::rename(&new, place));
    if let Err(error) = written {
        // Half a file helps nobody, and on a full disk it is in the way.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    sync_folder_of(place)
}

/// The same for a file in a folder of the user's: one that others may read if its user wants it so keeps
/// its mode, and no file beside it is touched, whatever that is called.
pub(crate) fn replace_in_users_folder(place: &Path, content: &[u8]) -> io::Result<()> {
    let mode = match fs::metadata(place) {
        Ok(found) => Some(found.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let folder = place.parent().unwrap_or_else(|| Path::new("/"));
    let mut new =
        tempfile::Builder::new().prefix(".lamplighter-").suffix(".tmp").tempfile_in(folder)?;
    new.write_all(content)?;
    if let Some(mode) = mode {
        new.as_file().set_permissions(mode)?;
    }
    new.as_file().sync_all()?;
    new.persist(place).map_err(|refused| refused.error)?;
    sync_folder_of(place)
}

/// Where [`replace`] writes before it renames.
pub(crate) fn unfinished(place: &Path) -> PathBuf {
    with_suffix(place, ".new")
}

/// Writes a file whole, mode 0600, and waits for the disk. Not atomic: only for files that nobody
/// reads yet.
pub(crate) fn write_new(place: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(place)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Removes the file if it is there; durable when this returns.
pub(crate) fn remove(place: &Path) -> io::Result<()> {
    match fs::remove_file(place) {
        Ok(()) => sync_folder_of(place),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Renames a file that can't be read to `NAME.broken-TIME`, which is returned. Overwrites nothing.
pub(crate) fn set_aside(place: &Path, now: Wall) -> io::Result<PathBuf> {
    let stem = place.with_extension("");
    let to = (1..1000)
        .map(|n| match n {
            1 => with_suffix(&stem, &format!(".broken-{}", stamp(now))),
            n => with_suffix(&stem, &format!(".broken-{}-{n}", stamp(now))),
        })
        .find(|to| fs::symlink_metadata(to).is_err())
        .ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(place, &to)?;
    sync_folder_of(place)?;
    Ok(to)
}

/// A rename is durable only when its folder is.
pub(crate) fn sync_folder_of(place: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    place.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// No room: of the disk, or of the user's share of it.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A moment as part of a file name: `20260102T030405Z`, in UTC, without characters that Windows
/// refuses.
fn stamp(wall: Wall) -> String {
    jiff::Timestamp::from_millisecond(wall.0)
        .map_or_else(|_| wall.0.to_string(), |at| at.strftime("%Y%m%dT%H%M%SZ").to_string())
}

fn with_suffix(place: &Path, suffix: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_767_323_045_678);

    #[test]
    fn a_replaced_file_is_the_users_alone_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state.json");
        fs::write(&place, "old").unwrap();
        replace(&place, b"new").unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_can_not_be_replaced_keeps_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state.json");
        // A folder stands where the new content would go.
        fs::write(&place, "old").unwrap();
        fs::create_dir(unfinished(&place)).unwrap();
        replace(&place, b"new").unwrap_err();
        assert_eq!(fs::read(&place).unwrap(), b"old");
    }

    #[test]
    fn what_is_set_aside_never_overwrites_what_was_set_aside_before() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state.json");
        let aside = |content: &str| {
            fs::write(&place, content).unwrap();
            set_aside(&place, NOW).unwrap()
        };
        assert_eq!(aside("one"), folder.path().join("state.broken-20260102T030405Z"));
        assert_eq!(aside("two"), folder.path().join("state.broken-20260102T030405Z-2"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_moment_beyond_the_calendar_is_still_fit_for_a_file_name() {
        assert_eq!(stamp(Wall(i64::MAX)), i64::MAX.to_string());
    }

    #[test]
    fn removing_what_is_not_there_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        remove(&folder.path().join("gone")).unwrap();
    }
}
