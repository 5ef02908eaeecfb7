//! The keeper as a service of the user's own: systemd on Linux, launchd on macOS.
//!
//! It must not touch a service file that it did not write or that another home's service lies in, leave
//! one behind half-installed, or point one at a program that the next build replaces. The system's own
//! commands are found on the `PATH`
//! of the environment that is handed in, which is the seam for tests.
//!
//! Read next: [`systemd`], [`launchd`] for what is written and said to each.

pub mod launchd;
mod programs;
pub mod systemd;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    files,
    home::Home,
    paths::{Env, HOME_OVERRIDE, Paths},
};

/// In the first lines of every file that we write, and of none that we did not.
pub const MARKER: &str = "Written by `lamplighter service install`";
/// Before the mark of the home that a file of ours belongs to.
const HOME: &str = "Home: ";

/// Variables that decide where things lie: the service must look where the command did that
/// installed it. None of them is a secret.
const CARRIED: [&str; 5] = [
    HOME_OVERRIDE,
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "CLAUDE_CONFIG_DIR",
    "CLAUDE_SECURESTORAGE_CONFIG_DIR",
];

/// Why a service can't be installed, removed or asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceFault {
    /// This system has no service manager that we know.
    #[error(
        "services are not supported on this system; on Windows let the Task Scheduler run \
         `lamplighter keep` at log on"
    )]
    Unsupported,
    /// No home folder.
    #[error("no home folder is known, so there is no place for a service file; set HOME")]
    NoHome,
    /// The program lies where the next build replaces or removes it.
    #[error(
        "{} lies in a build folder, and a service must outlive it; install the command first \
         (`cargo install --path src-tauri/crates/cli`) and run that one's `service install`",
        .0.display()
    )]
    InBuildFolder(PathBuf),
    /// The program's path can't stand in a service file.
    #[error("{} can't be named in a service file: {what}", .place.display())]
    Unfit {
        /// The path.
        place: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system's command is not on the path.
    #[error(
        "no {0} on the PATH, so nothing here can run a service; start `lamplighter keep` from \
         whatever starts programs on this machine"
    )]
    NoManager(&'static str),
    /// The service manager can't be reached.
    #[error("the service manager of this user can't be reached ({said}); {advice}")]
    Unreachable {
        /// What it said.
        said: String,
        /// What helps.
        advice: String,
    },
    /// The file is somebody else's.
    #[error(
        "{} was not written by Lamplighter and is left as it is; move it away to go on",
        .0.display()
    )]
    Foreign(PathBuf),
    /// The file is of the service of another Lamplighter's home.
    #[error(
        "{} is the service of another home of Lamplighter's ({home}) and is left as it is; remove it \
         with that home's `lamplighter service remove` to go on",
        .file.display()
    )]
    OtherHome {
        /// The file.
        file: PathBuf,
        /// That home's mark.
        home: String,
    },
    /// The service manager said no.
    #[error("`{command}` failed: {said}")]
    Refused {
        /// As a person would type it.
        command: String,
        /// What it said.
        said: String,
    },
    /// The system said no.
    #[error("{}: {what}", .place.display())]
    Io {
        /// The file.
        place: PathBuf,
        /// What was being done, and what the system said.
        what: String,
    },
}

/// What lies where the service file belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// Nothing.
    No,
    /// Ours, and the program it runs.
    Ours {
        /// The program, where it could be read.
        program: Option<PathBuf>,
    },
    /// Somebody else's.
    Foreign,
    /// The service of another home of Lamplighter's.
    OtherHome {
        /// That home's mark.
        home: String,
    },
}

/// What is known of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where its file belongs.
    pub file: PathBuf,
    /// What lies there.
    pub installed: Installed,
    /// Whether it starts by itself; `None` where that can't be told.
    pub enabled: Option<bool>,
    /// Whether it runs; `None` where that can't be told.
    pub running: Option<bool>,
    /// Its process.
    pub pid: Option<u32>,
    /// Whether it runs while nobody is logged in; `None` where that can't be told or does not exist.
    pub lingering: Option<bool>,
    /// Why something can't be told.
    pub unknown: Option<String>,
}

/// What installing came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// There was none.
    Installed,
    /// There was one of ours that differed.
    Replaced,
    /// It was there already, and ran a program that was replaced since: it was started again.
    Restarted,
    /// It was there already.
    Unchanged,
}

/// Who runs services here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// systemd, the user's own instance.
    Systemd,
    /// launchd, in the user's desktop session.
    Launchd,
}

impl Manager {
    /// The one of this system.
    pub const fn of_this_system() -> Option<Self> {
        if cfg!(target_os = "macos") {
            Some(Self::Launchd)
        } else if cfg!(unix) {
            Some(Self::Systemd)
        } else {
            None
        }
    }

    /// Its name, for scripts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Launchd => "launchd",
        }
    }
}

/// The service of one home.
#[derive(Debug, Clone)]
pub struct Service {
    manager: Manager,
    name: String,
    file: PathBuf,
    env: Env,
    home: Home,
}

impl Service {
    /// Where the service of this home belongs in this environment. Asks nobody.
    ///
    /// A home that is set apart has a name of its own for it, and so has any other while the usual name
    /// is another home's. One that an older version installed under the usual name is found.
    pub fn find(env: &Env, home: &Home) -> Result<Self, ServiceFault> {
        let manager = Manager::of_this_system().ok_or(ServiceFault::Unsupported)?;
        let named = |own: bool| {
            let (name, file) = match manager {
                Manager::Systemd => {
                    let name = if own { systemd::own_unit(home) } else { systemd::UNIT.to_owned() };
                    let file = systemd::file(env, &name);
                    (name, file)
                }
                Manager::Launchd => {
                    let name =
                        if own { launchd::own_label(home) } else { launchd::LABEL.to_owned() };
                    let file = launchd::file(env, &name);
                    (name, file)
                }
            };
            let file = file.ok_or(ServiceFault::NoHome)?;
            Ok(Self { manager, name, file, env: env.clone(), home: home.clone() })
        };
        let usual = named(false)?;
        let own = match usual.installed() {
            Ok(Installed::Ours { .. }) => false,
            Ok(Installed::OtherHome { .. }) => true,
            Ok(Installed::No | Installed::Foreign) | Err(_) => home.is_apart(),
        };
        if own { named(true) } else { Ok(usual) }
    }

    /// What the service manager calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who runs it.
    pub const fn manager(&self) -> Manager {
        self.manager
    }

    /// Where its file belongs.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What lies there.
    pub fn installed(&self) -> Result<Installed, ServiceFault> {
        let Some(text) = self.read()? else { return Ok(Installed::No) };
        if !text.contains(MARKER) {
            return Ok(Installed::Foreign);
        }
        if let Some(home) = self.other_home(&text) {
            return Ok(Installed::OtherHome { home });
        }
        let program = match self.manager {
            Manager::Systemd => systemd::program_in(&text),
            Manager::Launchd => launchd::program_in(&text),
        };
        Ok(Installed::Ours { program })
    }

    /// Everything that is known.
    pub fn status(&self) -> Result<Status, ServiceFault> {
        let mut status = Status {
            file: self.file.clone(),
            installed: self.installed()?,
            enabled: None,
            running: None,
            pid: None,
            lingering: None,
            unknown: None,
        };
        let asked = match self.manager {
            Manager::Systemd => systemd::ask(&self.env, &self.name, &mut status),
            Manager::Launchd => launchd::ask(&self.env, &self.name, &mut status),
        };
        status.unknown = asked.err().map(|fault| fault.to_string());
        Ok(status)
    }

    /// Writes the service file for `program`, and starts it now and at each log in. Where that fails,
    /// everything is as it was.
    pub fn install(&self, program: &Path) -> Result<Change, ServiceFault> {
        if is_build_output(program) {
            return Err(ServiceFault::InBuildFolder(program.into()));
        }
        let program = fit(program)?;
        let mut carried = Vec::new();
        for name in CARRIED {
            if let Some(value) = self.env.get(name) {
                carried.push((name, fit(Path::new(&value))?.to_owned()));
            }
        }
        let text = match self.manager {
            Manager::Systemd => systemd::render(program, &self.home, &carried),
            Manager::Launchd => launchd::render(&self.name, program, &self.home, &carried),
        };
        self.refuse_others()?;
        let before = self.read()?;
        match self.manager {
            Manager::Systemd => systemd::reach(&self.env)?,
            Manager::Launchd => launchd::reach(&self.env)?,
        }
        let change = match &before {
            None => Change::Installed,
            Some(before) if *before != text => Change::Replaced,
            Some(_) if self.runs_another(program) => Change::Restarted,
            Some(_) => Change::Unchanged,
        };
        if matches!(change, Change::Installed | Change::Replaced) {
            self.write(&text)?;
        }
        let again = matches!(change, Change::Replaced | Change::Restarted);
        let started = match self.manager {
            Manager::Systemd => systemd::start(&self.env, &self.name, again),
            Manager::Launchd => launchd::start(&self.env, &self.name, &self.file),
        };
        if let Err(fault) = started {
            self.undo(before.as_deref());
            return Err(fault);
        }
        Ok(change)
    }

    /// Ends the service, for now.
    pub fn stop(&self) -> Result<(), ServiceFault> {
        match self.manager {
            Manager::Systemd => systemd::stop(&self.env, &self.name),
            Manager::Launchd => launchd::stop(&self.env, &self.name),
        }
    }

    /// Starts it again after [`stop`](Self::stop).
    pub fn resume(&self) -> Result<(), ServiceFault> {
        match self.manager {
            Manager::Systemd => systemd::start(&self.env, &self.name, false),
            Manager::Launchd => launchd::start(&self.env, &self.name, &self.file),
        }
    }

    /// Ends the service and removes its file, if it is ours. `Ok(false)`: there was none.
    pub fn remove(&self) -> Result<bool, ServiceFault> {
        if self.installed()? == Installed::No {
            return Ok(false);
        }
        self.refuse_others()?;
        let before = self.status()?;
        match self.manager {
            Manager::Systemd => {
                systemd::reach(&self.env)?;
                systemd::disable(&self.env, &self.name)?;
            }
            Manager::Launchd => launchd::stop(&self.env, &self.name)?,
        }
        if let Err(error) = files::remove(&self.file) {
            self.put_back(&before);
            return Err(self.io("can't be removed", &error));
        }
        match self.manager {
            // Without its file it starts no more, whether or not systemd has taken note of that.
            Manager::Systemd => drop(systemd::reload(&self.env)),
            Manager::Launchd => {}
        }
        Ok(true)
    }

    /// Runs and starts by itself again, as it did before a removal that failed. What fails now is not
    /// worth more than the first fault.
    fn put_back(&self, before: &Status) {
        let ran = before.running == Some(true);
        match self.manager {
            Manager::Systemd if ran => drop(self.resume()),
            Manager::Systemd if before.enabled == Some(true) => {
                drop(systemd::enable(&self.env, &self.name));
            }
            Manager::Launchd if ran => drop(self.resume()),
            Manager::Systemd | Manager::Launchd => {}
        }
    }

    /// A file that somebody else wrote, or that is another home's, is neither replaced nor removed.
    fn refuse_others(&self) -> Result<(), ServiceFault> {
        let file = self.file.clone();
        match self.installed()? {
            Installed::No | Installed::Ours { .. } => Ok(()),
            Installed::Foreign => Err(ServiceFault::Foreign(file)),
            Installed::OtherHome { home } => Err(ServiceFault::OtherHome { file, home }),
        }
    }

    /// The home that a file of ours belongs to, where it is another than this one. A file from before
    /// homes had marks belongs to the home that its variables lead to.
    fn other_home(&self, text: &str) -> Option<String> {
        let written = text.lines().find_map(|line| {
            let comment = line.strip_prefix("# ").or_else(|| line.strip_prefix("<!-- "))?;
            let mark = comment.strip_prefix(HOME)?;
            Some(mark.trim_end_matches("-->").trim_end().to_owned())
        });
        if let Some(mark) = written {
            return (!self.home.made(&mark)).then_some(mark);
        }
        let variable = |name: &str| match self.manager {
            Manager::Systemd => systemd::variable_in(text, name),
            Manager::Launchd => launchd::variable_in(text, name),
        };
        let home = self.env.home().map(|home| ("HOME", home.into_os_string()));
        let moved = [HOME_OVERRIDE, "XDG_STATE_HOME"];
        let moved = moved.into_iter().filter_map(|name| Some((name, variable(name)?.into())));
        let paths = Paths::find(&Env::fixed(home.into_iter().chain(moved))).ok()?;
        (paths.home.folder() != self.home.folder()).then(|| paths.home.mark())
    }

    /// Whether the service runs a program that has been replaced since it was started, or may have.
    fn runs_another(&self, program: &str) -> bool {
        let running = self.status().ok().and_then(|status| status.pid);
        running.is_some_and(|pid| programs::was_replaced(pid, Path::new(program)))
    }

    /// Puts back what stood there before. What fails now is not worth more than the first fault.
    fn undo(&self, before: Option<&str>) {
        if let Some(before) = before {
            drop(self.write(before));
        } else {
            match self.manager {
                Manager::Systemd => drop(systemd::disable(&self.env, &self.name)),
                Manager::Launchd => drop(launchd::stop(&self.env, &self.name)),
            }
            drop(files::remove(&self.file));
        }
        match self.manager {
            Manager::Systemd => drop(systemd::reload(&self.env)),
            Manager::Launchd => {}
        }
    }

    fn read(&self) -> Result<Option<String>, ServiceFault> {
        match fs::read(&self.file) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io("can't be read", &error)),
        }
    }

    fn write(&self, text: &str) -> Result<(), ServiceFault> {
        let folder = self.file.parent().unwrap_or(&self.file);
        fs::create_dir_all(folder)
            .and_then(|()| files::replace(&self.file, text.as_bytes()))
            .map_err(|error| self.io("can't be written", &error))
    }

    fn io(&self, doing: &str, error: &io::Error) -> ServiceFault {
        ServiceFault::Io { place: self.file.clone(), what: format!("{doing}: {error}") }
    }
}

/// Whether a build put the program there: by the folder's usual name, or by what cargo leaves beside
/// what it builds.
fn is_build_output(program: &Path) -> bool {
    let named = program.components().any(|part| part.as_os_str() == "target");
    let beside = program.ancestors().skip(1).take(2);
    named || beside.into_iter().any(|folder| folder.join(".fingerprint").exists())
}

/// The path as text that a service file can hold.
fn fit(path: &Path) -> Result<&str, ServiceFault> {
    let unfit = |what| ServiceFault::Unfit { place: path.into(), what };
    let text = path.to_str().ok_or_else(|| unfit("it is not Unicode"))?;
    if !path.is_absolute() {
        return Err(unfit("it is not absolute"));
    }
    if text.chars().any(char::is_control) {
        return Err(unfit("there is a control character in it"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
