//! Which folder a path leads to: the same one under two names is one folder.
//!
//! A link, a bind mount, another case on a file system that ignores it, `..` in the middle: the text of
//! a path says little. What the system says counts: device and inode, or the canonical path where there
//! are none. It must not change anything.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A folder or file, whatever it is called. One that is not there yet is known by what it would lie in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    nearest: Nearest,
    /// What is not there yet.
    below: PathBuf,
}

/// The nearest thing above that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Nearest {
    #[cfg(unix)]
    Inode {
        device: u64,
        inode: u64,
    },
    #[cfg(not(unix))]
    Canonical(PathBuf),
    Unknown,
}

impl Identity {
    /// What this path leads to now.
    pub fn of(path: &Path) -> Self {
        let found = path.ancestors().find_map(|above| Some((above, nearest(above).ok()?)));
        let Some((above, nearest)) = found else {
            return Self::of_text(path);
        };
        let below = path.strip_prefix(above).unwrap_or(path).to_owned();
        Self { nearest, below }
    }

    /// By its text alone, where the system can't be asked.
    pub fn of_text(path: &Path) -> Self {
        Self { nearest: Nearest::Unknown, below: path.to_owned() }
    }

    /// Something in it.
    #[must_use]
    pub fn join(mut self, name: &Path) -> Self {
        self.below.push(name);
        self
    }
}

/// Whether both paths lead to the same thing.
pub fn is_same(one: &Path, other: &Path) -> bool {
    one == other || Identity::of(one) == Identity::of(other)
}

#[cfg(unix)]
fn nearest(path: &Path) -> io::Result<Nearest> {
    use std::os::unix::fs::MetadataExt;

    let found = fs::metadata(path)?;
    Ok(Nearest::Inode { device: found.dev(), inode: found.ino() })
}

#[cfg(not(unix))]
fn nearest(path: &Path) -> io::Result<Nearest> {
    fs::canonicalize(path).map(Nearest::Canonical)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_is_the_same_by_every_name_and_another_one_is_not() {
        let home = tempfile::tempdir().unwrap();
        let place = |name: &str| home.path().join(name);
        fs::create_dir(place("a")).unwrap();
        fs::create_dir(place("b")).unwrap();
        symlink(place("a"), place("link")).unwrap();
        for same in ["a", "a/", "b/../a", "link", "./link/."] {
            assert!(is_same(&place("a"), &place(same)), "{same}");
        }
        assert!(!is_same(&place("a"), &place("b")));
    }

    #[test]
    fn what_is_not_there_yet_is_known_by_what_it_would_lie_in() {
        let home = tempfile::tempdir().unwrap();
        let place = |name: &str| home.path().join(name);
        fs::create_dir(place("a")).unwrap();
        symlink(place("a"), place("link")).unwrap();
        assert!(is_same(&place("a/new"), &place("link/new")));
        assert!(!is_same(&place("a/new"), &place("link/other")));
        assert_eq!(
            Identity::of(&place("link")).join(Path::new("new")),
            Identity::of(&place("a/new"))
        );
    }

    #[test]
    fn a_link_that_leads_nowhere_is_itself() {
        let home = tempfile::tempdir().unwrap();
        let place = |name: &str| home.path().join(name);
        symlink(place("gone"), place("link")).unwrap();
        assert!(!is_same(&place("gone"), &place("link")));
        assert!(is_same(&place("link"), &place("./link")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_is_mounted_elsewhere_is_the_same() {
        let test = "identity::tests::a_folder_that_is_mounted_elsewhere_is_the_same";
        let Some(disk) = crate::testing::on_a_disk(test, "mode=700") else { return };
        let place = |name: &str| disk.join(name);
        fs::create_dir(place("a")).unwrap();
        fs::create_dir(place("b")).unwrap();
        assert!(!is_same(&place("a"), &place("b")));
        let mut mount = std::process::Command::new("mount");
        mount.arg("--bind").args([place("a"), place("b")]);
        assert!(mount.status().unwrap().success());
        assert!(is_same(&place("a"), &place("b")));
    }
}
