//! What the tray leaves in a desktop's own folders on Linux: the start at login, the handler of our
//! links, and the line that makes it the one for our scheme.
//!
//! A file is ours by the program it starts, never by its name alone; of a list that is everybody's only
//! our line goes. It must not touch what a package put into the system's folders.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{files, paths::Env};

/// The program that these files start.
const TRAY: &str = "lamplighter-tray";
/// The key of our scheme in a list of associations.
const SCHEME: &str = "x-scheme-handler/dev.lamplighter";

/// The files that are ours alone.
pub(super) fn files(env: &Env) -> Vec<PathBuf> {
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    let folders =
        [config(env).map(|c| c.join("autostart")), data(env).map(|d| d.join("applications"))];
    let entries = folders.into_iter().flatten().filter_map(|folder| fs::read_dir(folder).ok());
    let files = entries.flatten().flatten().map(|entry| entry.path());
    let mut ours: Vec<PathBuf> = files.filter(|file| starts_the_tray(file)).collect();
    ours.sort();
    ours
}

/// Takes our scheme out of the lists of who opens what; what failed, with its place.
pub(super) fn forget_scheme(env: &Env) -> Vec<(PathBuf, io::Error)> {
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    let lists = [config(env), data(env).map(|data| data.join("applications"))];
    let lists = lists.into_iter().flatten().map(|folder| folder.join("mimeapps.list"));
    lists.filter_map(|list| forget_in(&list).err().map(|error| (list, error))).collect()
}

fn forget_in(list: &Path) -> io::Result<()> {
    let text = match fs::read_to_string(list) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_ours = |line: &str| {
        let named = line.split_once('=');
        named.is_some_and(|(key, to)| key.trim() == SCHEME && to.contains(TRAY))
    };
    let left: String = text.split_inclusive('\n').filter(|line| !is_ours(line)).collect();
    if left == text { Ok(()) } else { files::replace(list, left.as_bytes()) }
}

/// Whether this is a desktop entry whose command is the tray.
fn starts_the_tray(file: &Path) -> bool {
    let entry = file.extension().is_some_and(|ending| ending == "desktop");
    let text = fs::read_to_string(file).ok().filter(|_| entry).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("Exec=")).any(|exec| {
        let program = match exec.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => exec.split_whitespace().next(),
        };
        program
            .is_some_and(|program| Path::new(program).file_name().is_some_and(|name| name == TRAY))
    })
}

fn config(env: &Env) -> Option<PathBuf> {
    env.folder("XDG_CONFIG_HOME").or_else(|| Some(env.home()?.join(".config")))
}

fn data(env: &Env) -> Option<PathBuf> {
    env.folder("XDG_DATA_HOME").or_else(|| Some(env.home()?.join(".local/share")))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_starts_the_tray_is_ours_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let env = Env::fixed([("HOME", home.path())]);
        let (autostart, applications) =
            (home.path().join(".config/autostart"), home.path().join(".local/share/applications"));
        fs::create_dir_all(&autostart).unwrap();
        fs::create_dir_all(&applications).unwrap();
        let entry = |exec: &str| format!("[Desktop Entry]\nType=Application\nExec={exec}\n");
        for (folder, name, exec) in [
            (&autostart, "Lamplighter.desktop", "/opt/lamplighter-tray --hidden"),
            (&autostart, "other.desktop", "/opt/other lamplighter-tray"),
            (&autostart, "notes.txt", "/opt/lamplighter-tray"),
            (&applications, "lamplighter-tray-handler.desktop", "\"/opt/a b/lamplighter-tray\" %u"),
            (&applications, "lamplighter-tray.desktop", "/usr/bin/something-else %u"),
        ] {
            fs::write(folder.join(name), entry(exec)).unwrap();
        }
        let ours = [
            autostart.join("Lamplighter.desktop"),
            applications.join("lamplighter-tray-handler.desktop"),
        ];
        assert_eq!(files(&env), ours);
    }

    #[test]
    fn of_a_list_that_is_everybodys_only_our_line_goes() {
        let home = tempfile::tempdir().unwrap();
        let env = Env::fixed([("HOME", home.path())]);
        let list = home.path().join(".config/mimeapps.list");
        fs::create_dir_all(home.path().join(".config")).unwrap();
        let theirs = "# mine\n[Default Applications]\ntext/html=firefox.desktop\n";
        let scheme = "x-scheme-handler/dev.lamplighter";
        let ours = format!("{scheme}=lamplighter-tray-handler.desktop\n");
        fs::write(&list, format!("{theirs}{ours}\n[Added Associations]\nimage/png=gimp.desktop;"))
            .unwrap();
        assert!(forget_scheme(&env).is_empty());
        let left = format!("{theirs}\n[Added Associations]\nimage/png=gimp.desktop;");
        assert_eq!(fs::read_to_string(&list).unwrap(), left);
        // Somebody else serves it: that is theirs.
        fs::write(&list, format!("{scheme}=another.desktop\n")).unwrap();
        assert!(forget_scheme(&env).is_empty());
        assert_eq!(fs::read_to_string(&list).unwrap(), format!("{scheme}=another.desktop\n"));
    }
}
