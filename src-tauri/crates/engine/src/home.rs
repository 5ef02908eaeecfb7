//! Which Lamplighter this is: several may lie beside each other on one machine, each in a home folder
//! of its own, and what one of them leaves elsewhere carries its home's mark.
//!
//! A home is named by its state folder, links followed, so that a copy of a home is another home. It
//! must not claim a folder that a person uses for something else: a folder is a home when it is empty,
//! or holds the marker file, or holds facts that a version from before the marker wrote.
//!
//! Read next: [`Paths`](crate::paths::Paths), which makes a home; [`service`](crate::service),
//! [`traces`](crate::traces) and [`keyring`](crate::keyring) for what carries the mark.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lamplighter_core::hex::hex;
use sha2::{Digest, Sha256};

use crate::state::State;

/// The file that says that a folder is a home.
pub const MARKER_FILE: &str = "lamplighter-home";
/// The file that a person may put into a folder before it becomes a home.
const SETTINGS_FILE: &str = "settings.toml";
const MARKER_TEXT: &str = "This folder belongs to Lamplighter. `lamplighter uninstall` removes the \
                           files that Lamplighter made here.\n";

/// A home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    folder: PathBuf,
    usual: bool,
    apart: bool,
}

/// What a folder holds that is to be a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// It is not there.
    Nothing,
    /// It is empty, or holds only settings that a person wrote.
    Empty,
    /// The marker file.
    Marker,
    /// Facts that a version from before the marker wrote.
    OlderHome,
    /// Something else.
    SomethingElse,
}

impl Home {
    /// The home with this state folder. `usual`: it is where a user's home lies who has set no
    /// variable. `apart`: a variable of ours puts it elsewhere.
    pub(crate) fn new(folder: &Path, usual: bool, apart: bool) -> Self {
        Self { folder: real(folder), usual, apart }
    }

    /// Its state folder, links followed.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it lies where a user's home lies who has set no variable. What carries no mark was left
    /// by a version that knew no marks, and is this home's.
    pub const fn is_usual(&self) -> bool {
        self.usual
    }

    /// Whether `LAMPLIGHTER_HOME` sets it apart from the user's own.
    pub const fn is_apart(&self) -> bool {
        self.apart
    }

    /// Its mark: the folder's path, or its [`id`](Self::id) where a path can't stand in one line.
    pub fn mark(&self) -> String {
        let path = self.folder.to_str().filter(|path| !path.chars().any(char::is_control));
        path.map_or_else(|| self.id(), str::to_owned)
    }

    /// Whether something that carries this mark is this home's: also one that was made before the folder
    /// was moved, where a link has led to it since.
    pub(crate) fn made(&self, mark: &str) -> bool {
        let (mark, place) = (mark.trim_end(), Path::new(mark.trim_end()));
        mark == self.mark()
            || mark == self.id()
            || (place.is_absolute() && is_same(place, &self.folder))
    }

    /// A name that belongs to one home where two could meet: `base` for the user's own, with the home's
    /// [`id`](Self::id) for one that is set apart.
    pub fn name(&self, base: &str, between: &str) -> String {
        if self.apart { format!("{base}{between}{}", self.id()) } else { base.to_owned() }
    }

    /// Its mark as a part of a name: sixteen hexadecimal digits, made of the path.
    pub fn id(&self) -> String {
        let digest = Sha256::digest(self.folder.as_os_str().as_encoded_bytes());
        hex(&digest.as_slice()[..8])
    }
}

/// The path with links followed as far as it exists.
fn real(path: &Path) -> PathBuf {
    for there in path.ancestors() {
        if let Ok(real) = fs::canonicalize(there) {
            let rest = path.strip_prefix(there).unwrap_or_else(|_| Path::new(""));
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}

/// Whether both paths lead to one folder.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    real(one) == real(other)
}

/// What the folder holds. Only reads.
pub(crate) fn holds(folder: &Path) -> io::Result<Holds> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holds::Nothing),
        Err(error) => return Err(error),
    };
    if is_marked(folder) {
        return Ok(Holds::Marker);
    }
    if is_older_home(folder) {
        return Ok(Holds::OlderHome);
    }
    for entry in entries {
        let entry = entry?;
        if entry.file_name() != SETTINGS_FILE || entry.file_type()?.is_dir() {
            return Ok(Holds::SomethingElse);
        }
    }
    Ok(Holds::Empty)
}

/// Whether files with our names in this folder are ours.
pub(crate) fn is_home(folder: &Path) -> bool {
    is_marked(folder) || is_older_home(folder)
}

fn is_marked(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(MARKER_FILE)).is_ok_and(|found| found.is_file())
}

fn is_older_home(folder: &Path) -> bool {
    matches!(State::read(&folder.join("state.json")), Ok(Some(_)))
}

/// Puts the marker file into the folder; nothing happens where it lies there already.
pub(crate) fn mark(folder: &Path) -> io::Result<()> {
    if is_marked(folder) {
        return Ok(());
    }
    crate::files::write_new(&folder.join(MARKER_FILE), MARKER_TEXT.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_has_one_mark_whatever_link_leads_to_it_and_a_copy_has_another() {
        let folder = tempfile::tempdir().unwrap();
        let (one, copy) = (folder.path().join("one"), folder.path().join("copy"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&copy).unwrap();
        let home = |folder: &Path| Home::new(folder, false, true);
        assert_ne!(home(&one).mark(), home(&copy).mark());
        assert_ne!(home(&one).id(), home(&copy).id());
        assert_eq!(home(&one).id().len(), 16);
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&one, &link).unwrap();
            assert_eq!(home(&link), home(&one));
            assert_eq!(home(&link.join("a/b")), home(&one.join("a/b")));
        }
    }

    #[test]
    #[cfg(unix)]
    fn what_a_home_made_before_it_was_moved_is_still_its() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::create_dir(&old).unwrap();
        let before = Home::new(&old, false, true);
        fs::rename(&old, &new).unwrap();
        assert!(!Home::new(&new, false, true).made(&before.mark()), "it may be a copy");
        std::os::unix::fs::symlink(&new, &old).unwrap();
        let now = Home::new(&old, false, true);
        assert_ne!(now.mark(), before.mark());
        assert!(now.made(&before.mark()) && now.made(&format!("{}\n", before.mark())));
        assert!(!now.made("") && !now.made("0123456789abcdef"));
    }

    #[test]
    #[cfg(unix)]
    fn a_path_with_a_line_break_makes_no_line_of_its_own() {
        let home = Home::new(Path::new("/a\nExecStartPre=rm"), false, true);
        assert_eq!(home.mark(), home.id());
    }

    #[test]
    fn only_an_empty_a_marked_or_an_older_home_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("lamp");
        let found = || holds(&place).unwrap();
        assert_eq!(found(), Holds::Nothing);
        fs::create_dir(&place).unwrap();
        assert_eq!(found(), Holds::Empty);
        fs::write(place.join(SETTINGS_FILE), "notices = true").unwrap();
        assert_eq!(found(), Holds::Empty);
        // A person's own files that have names of ours.
        for (name, text) in [("journal", "dear diary"), ("state.json", "{\"schema\":1}")] {
            fs::write(place.join(name), text).unwrap();
            assert_eq!(found(), Holds::SomethingElse, "{name}");
            assert!(!is_home(&place));
            fs::remove_file(place.join(name)).unwrap();
        }
        let now = lamplighter_core::time::Wall(1_767_323_045_678);
        State::open(&place.join("state.json"), now).unwrap();
        assert_eq!(found(), Holds::OlderHome);
        mark(&place).unwrap();
        assert_eq!(found(), Holds::Marker);
        assert!(is_home(&place));
        assert!(holds(&place.join(SETTINGS_FILE)).is_err());
    }
}
