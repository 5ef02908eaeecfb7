//! Where our own files lie, worked out from an environment that is handed in.
//!
//! Nothing here reads the process environment unless it is given [`Env::Process`], and nothing but
//! [`Paths::make`] touches the disk to change it. It must not let a folder be ours that a person uses
//! for something else: [`Paths::check`] refuses it. Files of other programs are the business of
//! [`stores`](crate::stores).
//!
//! Read next: [`home`], which says what makes a folder ours.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    fs::DirBuilder,
    io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::home::{self, Holds, Home};

/// Overrides every folder with one: settings, state and runtime files all lie in it.
pub const HOME_OVERRIDE: &str = "LAMPLIGHTER_HOME";

const NAME: &str = "lamplighter";

/// The environment, as a value.
#[derive(Clone)]
pub enum Env {
    /// The environment of this process.
    Process,
    /// These variables and no others.
    Fixed(BTreeMap<OsString, OsString>),
}

impl Env {
    /// An environment that holds just `vars`.
    pub fn fixed<K: Into<OsString>, V: Into<OsString>>(
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self::Fixed(vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// The variable's value; `None` where it is unset or empty, which XDG treats alike.
    pub fn get(&self, name: &str) -> Option<OsString> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// The variable's value as it is set, empty or not.
    pub fn raw(&self, name: &str) -> Option<OsString> {
        match self {
            Self::Process => std::env::var_os(name),
            Self::Fixed(vars) => vars.get(std::ffi::OsStr::new(name)).cloned(),
        }
    }

    /// Gives a program this environment and no other.
    pub fn dress(&self, command: &mut Command) {
        if let Self::Fixed(vars) = self {
            command.env_clear().envs(vars);
        }
    }

    /// The user's home folder.
    pub fn home(&self) -> Option<PathBuf> {
        match self {
            Self::Process => std::env::home_dir(),
            Self::Fixed(_) => {
                self.get(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(PathBuf::from)
            }
        }
        .filter(|home| home.is_absolute())
    }

    /// The variable as an absolute path; a relative one is ignored, as the XDG specification has it.
    pub(crate) fn folder(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// An environment may hold tokens, so its values are never shown.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("Env::Process"),
            Self::Fixed(vars) => f.debug_tuple("Env::Fixed").field(&vars.len()).finish(),
        }
    }
}

/// Why our own folders could not be found or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathsFault {
    /// No home folder.
    #[error("this user has no home folder; set {HOME_OVERRIDE} to a folder for Lamplighter")]
    NoHome,
    /// `LAMPLIGHTER_HOME` is relative: where it lies would depend on where the command was typed.
    #[error("{HOME_OVERRIDE} is {}, which is not an absolute path", .0.display())]
    Relative(PathBuf),
    /// `LAMPLIGHTER_HOME` is a folder that holds something else.
    #[error(
        "{HOME_OVERRIDE} is {}, which holds files that are not Lamplighter's; nothing was changed. \
         Set it to an empty folder, or to one that does not exist yet",
        .0.display()
    )]
    NotOurs(PathBuf),
    /// `LAMPLIGHTER_HOME` is the person's own home folder.
    #[error(
        "{HOME_OVERRIDE} is {}, your own home folder; nothing was changed. Set it to a folder for \
         Lamplighter alone, such as {}, and move there what an older version left here (state.json, \
         journal, history.jsonl, settings.toml)",
        .0.display(), .0.join("lamplighter").display()
    )]
    PersonsHome(PathBuf),
    /// `LAMPLIGHTER_HOME` is the folder that holds the settings of the person's own home.
    #[error(
        "{HOME_OVERRIDE} is {}, where the settings of your own Lamplighter belong; nothing was changed. \
         Set it to a folder for another Lamplighter alone",
        .0.display()
    )]
    OwnSettings(PathBuf),
    /// The folder belongs to someone else, or others may write in it.
    #[error("{}: {what}", .place.display())]
    Unsafe {
        /// The folder.
        place: PathBuf,
        /// What is wrong with it, and what helps.
        what: &'static str,
    },
    /// What the folder holds can't be told.
    #[error("{} can't be looked into: {what}", .place.display())]
    Unreadable {
        /// The folder.
        place: PathBuf,
        /// What the system said.
        what: String,
    },
    /// The system said no.
    #[error("{} can't be made: {what}", .place.display())]
    Io {
        /// The folder.
        place: PathBuf,
        /// What the system said.
        what: String,
    },
}

/// Our own folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The user's settings file; it need not exist, and we never make it.
    pub settings: PathBuf,
    /// State, journal, lock and history.
    pub state: PathBuf,
    /// The socket.
    pub runtime: PathBuf,
    /// Which home this is.
    pub home: Home,
}

impl Paths {
    /// Finds them; makes nothing, and asks nothing of what they hold: [`Paths::check`] does.
    ///
    /// | | settings | state | runtime |
    /// |---|---|---|---|
    /// | `LAMPLIGHTER_HOME` set | `settings.toml` in it | it | `run` in it |
    /// | macOS | `~/Library/Application Support/lamplighter` | the same | `run` in it |
    /// | Windows | `%LOCALAPPDATA%\lamplighter` | the same | `run` in it |
    /// | elsewhere | `$XDG_CONFIG_HOME/lamplighter` | `$XDG_STATE_HOME/lamplighter` | `$XDG_RUNTIME_DIR/lamplighter`, else `run` in state |
    pub fn find(env: &Env) -> Result<Self, PathsFault> {
        if let Some(one) = env.get(HOME_OVERRIDE).map(PathBuf::from) {
            return if one.is_absolute() {
                let home = Home::new(&one, false, true);
                Ok(Self::in_one(one, home))
            } else {
                Err(PathsFault::Relative(one))
            };
        }
        Self::without_override(env)
    }

    fn without_override(env: &Env) -> Result<Self, PathsFault> {
        if cfg!(target_os = "macos") {
            let home = env.home().ok_or(PathsFault::NoHome)?;
            return Ok(Self::usual(home.join("Library/Application Support").join(NAME)));
        }
        if cfg!(windows) {
            let local = env
                .folder("LOCALAPPDATA")
                .or_else(|| env.home().map(|home| home.join("AppData").join("Local")));
            return local.map(|local| Self::usual(local.join(NAME))).ok_or(PathsFault::NoHome);
        }
        let base = |variable: &str, below_home: &str| {
            env.folder(variable).or_else(|| env.home().map(|home| home.join(below_home)))
        };
        let config = base("XDG_CONFIG_HOME", ".config").ok_or(PathsFault::NoHome)?;
        let state = base("XDG_STATE_HOME", ".local/state").ok_or(PathsFault::NoHome)?.join(NAME);
        let runtime = env
            .folder("XDG_RUNTIME_DIR")
            .filter(|folder| is_ours_alone(folder))
            .map_or_else(|| state.join("run"), |folder| folder.join(NAME));
        let usual = env
            .home()
            .is_some_and(|home| home::is_same(&state, &home.join(".local/state").join(NAME)));
        let home = Home::new(&state, usual, false);
        Ok(Self { settings: config.join(NAME).join("settings.toml"), state, runtime, home })
    }

    fn usual(folder: PathBuf) -> Self {
        let home = Home::new(&folder, true, false);
        Self::in_one(folder, home)
    }

    fn in_one(folder: PathBuf, home: Home) -> Self {
        let (settings, runtime) = (folder.join("settings.toml"), folder.join("run"));
        Self { settings, runtime, state: folder, home }
    }

    /// Refuses a home that a person uses for something else. A folder with our own name is never
    /// refused: only `LAMPLIGHTER_HOME` can name another. Changes nothing.
    pub fn check(&self, env: &Env) -> Result<(), PathsFault> {
        if !self.home.is_apart() {
            return Ok(());
        }
        if env.home().is_some_and(|home| home::is_same(&home, &self.state)) {
            return Err(PathsFault::PersonsHome(self.state.clone()));
        }
        let own = Self::without_override(env).ok();
        let own_settings = own.as_ref().filter(|own| !own.settings.starts_with(&own.state));
        let folder = own_settings.and_then(|own| own.settings.parent());
        if folder.is_some_and(|folder| home::is_same(folder, &self.state)) {
            return Err(PathsFault::OwnSettings(self.state.clone()));
        }
        match home::holds(&self.state) {
            Ok(Holds::Nothing | Holds::Empty | Holds::Marker | Holds::OlderHome) => Ok(()),
            Ok(Holds::SomethingElse) => Err(PathsFault::NotOurs(self.state.clone())),
            Err(error) => {
                Err(PathsFault::Unreadable { place: self.state.clone(), what: error.to_string() })
            }
        }
    }

    /// What is remembered between runs.
    pub fn state_file(&self) -> PathBuf {
        self.state.join("state.json")
    }

    /// The lock that makes us one engine per user.
    pub fn lock_file(&self) -> PathBuf {
        self.state.join("engine.lock")
    }

    /// What is between a refresh token that was spent and a store that holds the new one.
    pub fn journal_file(&self) -> PathBuf {
        self.state.join("journal")
    }

    /// Where commands reach the keeper that runs.
    pub fn socket_file(&self) -> PathBuf {
        self.runtime.join("keeper.sock")
    }

    /// What happened, as JSON lines.
    pub fn history_file(&self) -> PathBuf {
        self.state.join("history.jsonl")
    }

    /// Makes the state and runtime folders, mode 0700, marks the home, and refuses folders that others
    /// could tamper with. A folder that exists keeps its mode: it may be one that the user chose.
    pub fn make(&self) -> Result<(), PathsFault> {
        make_private(&self.state)?;
        if let Err(error) = home::mark(&self.state) {
            // A home that is known as one works without the marker, on a disk that is full as well.
            if !home::is_home(&self.state) {
                let place = self.state.join(home::MARKER_FILE);
                return Err(PathsFault::Io { place, what: error.to_string() });
            }
            tracing::info!(%error, "the home is not marked yet");
        }
        make_private(&self.runtime)
    }
}

fn make_private(folder: &Path) -> Result<(), PathsFault> {
    let failed =
        |error: io::Error| PathsFault::Io { place: folder.to_path_buf(), what: error.to_string() };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(failed)?;
    let refused = |what| PathsFault::Unsafe { place: folder.to_path_buf(), what };
    match tampering(folder).map_err(failed)? {
        Tampering::None => Ok(()),
        Tampering::OtherOwner => Err(refused("this folder belongs to another user")),
        Tampering::OthersWrite => {
            Err(refused("other users may write in this folder; `chmod 700` on it helps"))
        }
    }
}

enum Tampering {
    None,
    OtherOwner,
    OthersWrite,
}

#[cfg(unix)]
fn tampering(folder: &Path) -> io::Result<Tampering> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(folder)?;
    Ok(if found.uid() != rustix::process::geteuid().as_raw() {
        Tampering::OtherOwner
    } else if found.mode() & 0o022 != 0 {
        Tampering::OthersWrite
    } else {
        Tampering::None
    })
}

/// Windows profiles are private by their inherited access list.
#[cfg(not(unix))]
fn tampering(_folder: &Path) -> io::Result<Tampering> {
    Ok(Tampering::None)
}

/// Whether it exists, is ours and nobody else writes there: `sudo` may leave another user's
/// `XDG_RUNTIME_DIR` behind.
fn is_ours_alone(folder: &Path) -> bool {
    matches!(tampering(folder), Ok(Tampering::None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn xdg_folders_are_used_where_they_are_set() {
        let runtime = tempfile::tempdir().unwrap();
        let env = Env::fixed([
            ("HOME", "/home/ada"),
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap()),
        ]);
        let paths = Paths::find(&env).unwrap();
        assert_eq!(paths.settings, Path::new("/c/lamplighter/settings.toml"));
        assert_eq!(paths.state_file(), Path::new("/s/lamplighter/state.json"));
        assert_eq!(paths.runtime, runtime.path().join("lamplighter"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn without_xdg_variables_everything_lies_below_home() {
        let env = Env::fixed([("HOME", "/home/ada"), ("XDG_CONFIG_HOME", "relative")]);
        let paths = Paths::find(&env).unwrap();
        assert_eq!(paths.settings, Path::new("/home/ada/.config/lamplighter/settings.toml"));
        assert_eq!(paths.lock_file(), Path::new("/home/ada/.local/state/lamplighter/engine.lock"));
        assert_eq!(paths.runtime, Path::new("/home/ada/.local/state/lamplighter/run"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_runtime_folder_that_others_write_in_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let open = tempfile::tempdir().unwrap();
        std::fs::set_permissions(open.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let env =
            Env::fixed([("HOME", "/home/ada"), ("XDG_RUNTIME_DIR", open.path().to_str().unwrap())]);
        let runtime = Paths::find(&env).unwrap().runtime;
        assert_eq!(runtime, Path::new("/home/ada/.local/state/lamplighter/run"));
    }

    #[test]
    fn one_variable_moves_everything_into_one_folder() {
        let env = Env::fixed([(HOME_OVERRIDE, "/lamp"), ("HOME", "/home/ada")]);
        let paths = Paths::find(&env).unwrap();
        assert_eq!(paths.settings, Path::new("/lamp/settings.toml"));
        assert_eq!(paths.history_file(), Path::new("/lamp/history.jsonl"));
        assert_eq!(paths.runtime, Path::new("/lamp/run"));
        let relative = Paths::find(&Env::fixed([(HOME_OVERRIDE, "lamp")]));
        assert_eq!(relative, Err(PathsFault::Relative(PathBuf::from("lamp"))));
    }

    #[test]
    fn a_user_without_a_home_is_told_what_helps() {
        let fault = Paths::find(&Env::fixed::<&str, &str>([])).unwrap_err();
        assert!(fault.to_string().contains(HOME_OVERRIDE), "{fault}");
    }

    #[test]
    #[cfg(unix)]
    fn folders_are_made_for_the_user_alone() {
        let home = tempfile::tempdir().unwrap();
        let below = home.path().join("a/b");
        let paths = Paths::find(&Env::fixed([(HOME_OVERRIDE, &below)])).unwrap();
        paths.make().unwrap();
        paths.make().unwrap();
        assert_eq!((mode(&paths.state), mode(&paths.runtime)), (0o700, 0o700));
    }

    #[test]
    #[cfg(unix)]
    fn a_home_that_holds_something_else_is_refused_and_one_that_is_made_is_marked() {
        let folder = tempfile::tempdir().unwrap();
        let (place, link) = (folder.path().join("lamp"), folder.path().join("link"));
        std::fs::create_dir(&place).unwrap();
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let checked = |home: &Path, place: &Path| {
            let env = Env::fixed([(HOME_OVERRIDE, place), ("HOME", home)]);
            Paths::find(&env).unwrap().check(&env)
        };
        let elsewhere = Path::new("/nowhere");
        assert_eq!(checked(elsewhere, &place), Ok(()));
        assert_eq!(checked(elsewhere, &place.join("new")), Ok(()));
        let theirs = PathsFault::PersonsHome(link.join("lamp"));
        assert_eq!(checked(&place, &link.join("lamp")), Err(theirs), "by whatever name");
        std::fs::write(place.join("journal"), "dear diary").unwrap();
        let refused = checked(elsewhere, &place).unwrap_err();
        assert_eq!(refused, PathsFault::NotOurs(place.clone()));
        assert!(refused.to_string().contains("an empty folder"), "{refused}");
        std::fs::remove_file(place.join("journal")).unwrap();
        Paths::find(&Env::fixed([(HOME_OVERRIDE, &place)])).unwrap().make().unwrap();
        std::fs::write(place.join("journal"), "").unwrap();
        assert_eq!(checked(elsewhere, &place), Ok(()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_usual_home_is_the_one_without_any_variable() {
        let usual = |variables: &[(&str, &str)]| {
            let home = [("HOME", "/home/ada")];
            let env = Env::fixed(home.into_iter().chain(variables.iter().copied()));
            let home = Paths::find(&env).unwrap().home;
            (home.is_usual(), home.is_apart())
        };
        assert_eq!(usual(&[]), (true, false));
        assert_eq!(usual(&[("XDG_STATE_HOME", "/home/ada/.local/state")]), (true, false));
        assert_eq!(usual(&[("XDG_STATE_HOME", "/s")]), (false, false));
        assert_eq!(usual(&[(HOME_OVERRIDE, "/lamp")]), (false, true));
    }

    #[test]
    #[cfg(unix)]
    fn a_state_folder_that_others_write_in_is_refused_and_left_as_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let paths = Paths::find(&Env::fixed([(HOME_OVERRIDE, home.path())])).unwrap();
        let fault = paths.make().unwrap_err();
        assert!(fault.to_string().contains("chmod 700"), "{fault}");
        assert_eq!(mode(home.path()), 0o777);
    }

    #[test]
    fn debug_of_an_environment_shows_no_value() {
        let env = Env::fixed([("API_TOKEN", "hush-hush")]);
        assert!(!format!("{env:?}").contains("hush"));
    }
}
