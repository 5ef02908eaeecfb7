//! What the tray leaves with the desktop: the entry that starts it at login, the one that hands our
//! links to it, the line that says so, and the folders of its window's engine.
//!
//! Each carries the mark of its home. It must not touch an entry that is not the tray's or that is
//! another home's, nor any other line of a file that is shared. Where a desktop keeps these elsewhere
//! (the registry of Windows), the tray's own installer does.
//!
//! Read next: [`leave`](crate::leave), which removes all that is ours; [`home`].

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    bounded, files,
    home::{self, Home},
    paths::Env,
    stores::atomic,
};

/// The entry for links, named after the program.
pub(crate) const HANDLER: &str = "lamplighter-tray-handler.desktop";
/// What desktops and the window's engine call the tray of the person's own home.
pub const IDENTIFIER: &str = "dev.lamplighter";
pub(crate) const SCHEME: &str = "x-scheme-handler/dev.lamplighter";
/// The program, as every entry of ours names it.
pub(crate) const TRAY: &str = "lamplighter-tray";
/// The line of an entry that names its home.
pub(crate) const HOME: &str = "X-Lamplighter-Home=";

/// What they call the tray of this home.
pub fn identifier(home: &Home) -> String {
    home.name(IDENTIFIER, ".h")
}

/// How long a desktop may take to make its list of programs anew.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the traces of one home may lie.
#[derive(Debug, Clone)]
pub struct Traces {
    env: Env,
    home: Home,
    config: Option<PathBuf>,
    data: Option<PathBuf>,
    cache: Option<PathBuf>,
}

impl Traces {
    /// Works out where; reads nothing.
    pub fn of(env: &Env, home: &Home) -> Self {
        let folder =
            |name: &str, usual: &str| env.folder(name).or_else(|| Some(env.home()?.join(usual)));
        Self {
            env: env.clone(),
            home: home.clone(),
            config: folder("XDG_CONFIG_HOME", ".config"),
            data: folder("XDG_DATA_HOME", ".local/share"),
            cache: folder("XDG_CACHE_HOME", ".cache"),
        }
    }

    /// The files that are this home's tray's whole and there now.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = self.login_entries();
        files.extend(self.handler().filter(|file| self.is_ours(file, SCHEME)));
        files
    }

    /// The entries that start this home's tray at login and are there now.
    fn login_entries(&self) -> Vec<PathBuf> {
        let below = |name: &str| Some(self.env.home()?.join(name));
        let mut entries = if cfg!(target_os = "macos") {
            vec![below("Library/LaunchAgents/Lamplighter.plist")]
        } else {
            // An older version did not ask where the folder of settings is.
            vec![self.login_entry(), below(".config/autostart/Lamplighter.desktop")]
        };
        entries.dedup();
        entries.into_iter().flatten().filter(|file| self.is_ours(file, TRAY)).collect()
    }

    /// Whether the file has this word of ours, and this home's mark. One without any mark is from an
    /// older version, and the user's own home's.
    pub(crate) fn is_ours(&self, file: &Path, word: &str) -> bool {
        let Ok(text) = fs::read_to_string(file) else { return false };
        let is_mine = match text.lines().find_map(|line| line.strip_prefix(HOME)) {
            Some(mark) => self.home.made(mark),
            None => !self.home.is_apart(),
        };
        text.contains(word) && is_mine
    }

    /// Where the entry belongs that starts this home's tray at login.
    fn login_entry(&self) -> Option<PathBuf> {
        let name = self.home.name("Lamplighter", "-");
        Some(self.config.as_ref()?.join("autostart").join(format!("{name}.desktop")))
    }

    fn handler(&self) -> Option<PathBuf> {
        Some(self.applications()?.join(HANDLER))
    }

    /// The folders that the window's engine keeps under our name for this home.
    pub fn folders(&self) -> Vec<PathBuf> {
        let ours = |folder: &PathBuf| {
            let marked = fs::read_to_string(folder.join(home::MARKER_FILE));
            let is_mine = marked.map(|mark| self.home.made(&mark));
            folder.is_dir() && is_mine.unwrap_or(!self.home.is_apart())
        };
        self.window_folders().filter(ours).collect()
    }

    /// Marks the folders that the window's engine has made. One that another home has marked stays its.
    pub fn mark_folders(&self) {
        let unmarked = |folder: &PathBuf| !folder.join(home::MARKER_FILE).exists();
        for folder in self.window_folders().filter(|f| f.is_dir()).filter(unmarked) {
            let mark = self.home.mark() + "\n";
            if let Err(fault) = files::write_new(&folder.join(home::MARKER_FILE), mark.as_bytes()) {
                tracing::info!(%fault, folder = %folder.display(), "not marked");
            }
        }
    }

    fn window_folders(&self) -> impl Iterator<Item = PathBuf> {
        let name = identifier(&self.home);
        let folders = [&self.data, &self.cache].into_iter().flatten().cloned();
        folders.map(move |folder| folder.join(&name))
    }

    /// Files of the desktop's that name this home's tray among others.
    pub fn shared(&self) -> Vec<PathBuf> {
        // As long as another home's entry for links stands there, the line is that home's.
        let handler = self.handler().filter(|file| file.exists());
        let is_mine = match handler {
            Some(handler) => self.is_ours(&handler, SCHEME),
            None => !self.home.is_apart(),
        };
        if !is_mine {
            return Vec::new();
        }
        let lists = [
            self.config.as_ref().map(|folder| folder.join("mimeapps.list")),
            self.applications().map(|folder| folder.join("mimeapps.list")),
        ];
        let names_us =
            |file: &PathBuf| fs::read_to_string(file).is_ok_and(|text| without_us(&text).is_some());
        lists.into_iter().flatten().filter(names_us).collect()
    }

    /// Removes the tray's lines from a file that [`Traces::shared`] named; whether nothing is left of
    /// it, and so the file is gone.
    pub fn clean(&self, shared: &Path) -> io::Result<bool> {
        let Some(rest) = without_us(&fs::read_to_string(shared)?) else { return Ok(false) };
        let empty = |line: &str| line.trim().is_empty() || line.starts_with('[');
        if rest.lines().all(empty) && !fs::symlink_metadata(shared)?.is_symlink() {
            return fs::remove_file(shared).map(|()| true);
        }
        let mode = fs::metadata(shared)?.permissions();
        let replaced = atomic::prepare(shared, rest.as_bytes()).and_then(atomic::Ready::commit);
        replaced.map_err(io::Error::other)?;
        // A store's new file is for its user alone; this one is as it was.
        fs::set_permissions(shared, mode).map(|()| false)
    }

    /// Lets the desktop take note that the entry for links is gone. Where it has no list of them there
    /// is nothing to do.
    pub fn refresh(&self) {
        let Some(folder) = self.applications() else { return };
        let cache = fs::read_to_string(folder.join("mimeinfo.cache")).unwrap_or_default();
        if cache.contains(HANDLER) {
            let mut update = Command::new("update-desktop-database");
            self.env.dress(&mut update);
            update.arg(folder);
            if let Err(fault) = bounded::output(update, PATIENCE) {
                tracing::info!(%fault, "the desktop's list of programs is as it was");
            }
        }
    }

    fn applications(&self) -> Option<PathBuf> {
        Some(self.data.as_ref()?.join("applications"))
    }
}

/// The text without the tray, where it is named; every other byte as it was.
fn without_us(text: &str) -> Option<String> {
    let mut rest = String::with_capacity(text.len());
    let mut found = false;
    for line in text.split_inclusive('\n') {
        let value = line.split_once('=').filter(|(key, _)| key.trim() == SCHEME);
        let Some((key, value)) = value.filter(|(_, value)| value.contains(HANDLER)) else {
            rest.push_str(line);
            continue;
        };
        found = true;
        let others = value.trim().split(';').filter(|name| !name.is_empty() && *name != HANDLER);
        let others: Vec<&str> = others.collect();
        if !others.is_empty() {
            rest.extend([key, "=", &others.join(";"), ";\n"]);
        }
    }
    found.then_some(rest)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Traces) {
        let home = tempfile::tempdir().unwrap();
        for folder in [".config/autostart", ".local/share/applications"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let traces = traces_in(&Env::fixed([("HOME", home.path())]));
        (home, traces)
    }

    fn traces_in(env: &Env) -> Traces {
        Traces::of(env, &crate::paths::Paths::find(env).unwrap().home)
    }

    #[test]
    fn entries_that_are_not_the_trays_are_nobodys_business_here() {
        let (home, traces) = home();
        let login = home.path().join(".config/autostart/Lamplighter.desktop");
        let handler = home.path().join(".local/share/applications").join(HANDLER);
        fs::write(&login, "[Desktop Entry]\nExec=/opt/street-lamps\n").unwrap();
        assert_eq!(traces.files(), Vec::<PathBuf>::new());
        fs::write(&login, "[Desktop Entry]\nExec=/usr/bin/lamplighter-tray --hidden\n").unwrap();
        fs::write(&handler, format!("[Desktop Entry]\nMimeType={SCHEME}\n")).unwrap();
        assert_eq!(traces.files(), [login, handler]);
    }

    #[test]
    fn what_another_home_left_is_nobodys_business_here() {
        let (home, usual) = home();
        let home_folder = home.path().to_owned();
        let variables = [("HOME", home.path()), ("LAMPLIGHTER_HOME", Path::new("/try it/50%"))];
        let apart = traces_in(&Env::fixed(variables));
        let handler = home.path().join(".local/share/applications").join(HANDLER);
        let list = home.path().join(".config/mimeapps.list");
        let folder = home.path().join(".local/share/dev.lamplighter");
        fs::write(&handler, format!("[Desktop Entry]\nMimeType={SCHEME}\n")).unwrap();
        fs::write(&list, format!("[Default Applications]\n{SCHEME}={HANDLER}\n")).unwrap();
        fs::create_dir(&folder).unwrap();
        let login = |name: &str, home: &Home| {
            let file = home_folder.join(".config/autostart").join(name);
            let mark = home.mark();
            let text = format!("[Desktop Entry]\n{HOME}{mark}\nExec=/opt/lamplighter-tray\n");
            fs::write(&file, text).unwrap();
            file
        };
        // What carries no mark is from an older version, and the user's own.
        assert!(apart.files().is_empty() && apart.shared().is_empty());
        assert!(apart.folders().is_empty());
        assert_eq!(usual.files(), [handler.as_path()]);
        let mark = format!("{HOME}{}\n", usual.home.mark());
        fs::write(&handler, format!("[Desktop Entry]\n{mark}MimeType={SCHEME}\n")).unwrap();
        let name = format!("Lamplighter-{}.desktop", apart.home.id());
        let (own, others) = (login("Lamplighter.desktop", &usual.home), login(&name, &apart.home));
        assert_eq!(apart.files(), [others]);
        assert_eq!(usual.files(), [own, handler.clone()]);
        assert_eq!((usual.shared(), usual.folders()), (vec![list], vec![folder.clone()]));
        // One that another home moved to by XDG_STATE_HOME alone has marked is that home's.
        let moved = [("HOME", home.path()), ("XDG_STATE_HOME", Path::new("/moved"))];
        traces_in(&Env::fixed(moved)).mark_folders();
        usual.mark_folders();
        assert!(usual.folders().is_empty() && folder.join(home::MARKER_FILE).exists());
        // A handler that another home's tray took over is that home's, and so is the line.
        let mark = format!("{HOME}{}\n", apart.home.mark());
        fs::write(&handler, format!("[Desktop Entry]\n{mark}MimeType={SCHEME}\n")).unwrap();
        assert!(usual.shared().is_empty() && !usual.files().contains(&handler));
    }

    #[test]
    fn a_shared_list_loses_the_trays_line_and_nothing_else() {
        let (home, traces) = home();
        let list = home.path().join(".config/mimeapps.list");
        let others = "# mine\r\n[Default Applications]\ntext/html=browser.desktop\n";
        fs::write(&list, others).unwrap();
        assert_eq!(traces.shared(), Vec::<PathBuf>::new());
        let added = format!("\n[Added Associations]\n{SCHEME}={HANDLER};other.desktop;\n");
        fs::write(&list, format!("{others}{SCHEME}={HANDLER}\n{added}")).unwrap();
        assert_eq!(traces.shared(), [list.as_path()]);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        fs::set_permissions(&list, mode).unwrap();
        assert!(!traces.clean(&list).unwrap());
        let left = format!("{others}\n[Added Associations]\n{SCHEME}=other.desktop;\n");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&list).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(fs::read_to_string(&list).unwrap(), left);
        assert_eq!(traces.shared(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_list_that_held_nothing_else_goes() {
        let (home, traces) = home();
        let list = home.path().join(".config/mimeapps.list");
        fs::write(&list, format!("[Default Applications]\n{SCHEME}={HANDLER}\n")).unwrap();
        assert!(traces.clean(&list).unwrap());
        assert!(!list.exists());
    }
}
