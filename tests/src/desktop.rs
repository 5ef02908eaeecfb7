//! A desktop of a test's own: a screen that nobody sees, a session bus, a window manager, and what
//! else a test asks for.
//!
//! It must not reach the developer's desktop: home, bus, display and settings are a test's own, and
//! whatever it starts ends with it. When its test fails it leaves a picture of the screen.
//! Where to read next: `home`; `chromium`, the browser on it.

mod panel;

use std::{
    cell::{OnceCell, RefCell},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    bus::Bus,
    home::Home,
    peers,
    process::{Process, until},
};

/// Programs that desktops start by name, and that this one lets start.
const SERVICES: &[&str] = &["org.xfce.Xfconf.service"];
/// What opens the keyring.
const PASSWORD: &[u8] = b"of a test";
/// Where programs put their secrets if they don't say where.
const COLLECTION: &str = "/org/freedesktop/secrets/aliases/default";
const SIZE: &str = "1280x800x24";

/// The desktop.
#[derive(Debug)]
pub struct Desktop<'a> {
    home: &'a Home,
    /// Taken when the test had failed already.
    picture: OnceCell<PathBuf>,
    /// By name, the newest last.
    programs: RefCell<Vec<(String, Process)>>,
    display: String,
    bus: Bus,
    _screen: Process,
}

impl<'a> Desktop<'a> {
    /// Screen, bus and window manager, ready.
    pub fn start(home: &'a Home) -> Self {
        fs::create_dir(home.run("log")).expect("a new folder");
        let bus = Bus::start(home, &home.run("bus"), SERVICES).expect("dbus-daemon starts");
        let mut screen = home.command(Path::new("Xvfb"));
        screen.args(["-displayfd", "1", "-screen", "0", SIZE, "-nolisten", "tcp"]);
        let (screen, number) = Process::told(screen, &home.run("log/Xvfb")).expect("Xvfb starts");
        let desktop = Self {
            home,
            picture: OnceCell::new(),
            programs: RefCell::default(),
            display: format!(":{number}"),
            bus,
            _screen: screen,
        };
        desktop.run("openbox", &["--sm-disable"]);
        until("the window manager is there", || {
            desktop.tool("xdotool", &["get_num_desktops"]).map(drop)
        });
        desktop
    }

    /// The home that it is in.
    pub fn home(&self) -> &'a Home {
        self.home
    }

    /// Its session bus.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// A command on this desktop.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.home.command(program);
        command
            .env("DISPLAY", &self.display)
            .env("DBUS_SESSION_BUS_ADDRESS", self.home.session_bus())
            .env("XDG_SESSION_TYPE", "x11")
            // No second bus for readers of the screen.
            .env("NO_AT_BRIDGE", "1")
            .env("GTK_A11Y", "none");
        command
    }

    /// Shows notices as they come, and nothing else.
    pub fn notices(&self) {
        let file = self.home.run("dunstrc");
        // Until the test closes them; at a place that it knows.
        let settings = "[global]\ntimeout = 0\norigin = bottom-right\nidle_threshold = 0\n";
        fs::write(&file, settings).expect("written");
        self.run("dunst", &["-conf", &file.display().to_string()]);
        self.until_owned("org.freedesktop.Notifications");
    }

    /// An unlocked keyring.
    pub fn keyring(&self) {
        let mut daemon = self.command(Path::new("gnome-keyring-daemon"));
        daemon.args(["--foreground", "--unlock", "--components=secrets"]).stdin(Stdio::piped());
        let log = self.home.run("log/gnome-keyring-daemon");
        let mut daemon = Process::start(daemon, &log).expect("gnome-keyring-daemon starts");
        let mut input = daemon.input().expect("piped");
        input.write_all(PASSWORD).expect("taken");
        drop(input);
        self.programs.borrow_mut().push(("gnome-keyring-daemon".to_owned(), daemon));
        until("the keyring is open", || {
            let (place, kind) = (COLLECTION, "org.freedesktop.Secret.Collection");
            let locked = self.bus.property("org.freedesktop.secrets", place, kind, "Locked")?;
            (locked == false.into()).then_some(())
        });
    }

    /// A program that runs as long as the desktop does.
    pub fn run(&self, name: &str, args: &[&str]) {
        let mut command = self.command(Path::new(name));
        command.args(args);
        let log = self.home.run("log").join(name);
        let started = Process::start(command, &log);
        let started = started.unwrap_or_else(|e| crate::home::not_started(name.as_ref(), &e));
        self.programs.borrow_mut().push((name.to_owned(), started));
    }

    /// Ends one of them.
    pub fn end(&self, name: &str) {
        let mut programs = self.programs.borrow_mut();
        let place = programs.iter().position(|(running, _)| running == name);
        programs.remove(place.unwrap_or_else(|| panic!("{name} does not run")));
    }

    /// Makes this command line what opens things of these kinds, as an installer does.
    pub fn application(&self, name: &str, exec: &str, kinds: &[&str]) {
        let id = format!("{name}.desktop");
        let folder = self.home.data("applications");
        fs::create_dir_all(&folder).expect("a folder");
        let entry = format!(
            "[Desktop Entry]\nType=Application\nName={name}\nExec={exec}\nNoDisplay=true\n\
             MimeType={};\n",
            kinds.join(";")
        );
        fs::write(folder.join(&id), entry).expect("written");
        let args = [&["default", &id], kinds].concat();
        assert!(self.tool("xdg-mime", &args).is_some(), "{id} could not be made the default");
    }

    /// Waits until somebody goes by this name on the bus.
    pub fn until_owned(&self, name: &str) {
        let log = self.home.run("log");
        until(&format!("{name} is on the bus; {} has what programs said", log.display()), || {
            self.bus.is_owned(name).then_some(())
        });
    }

    /// What a small tool says of this desktop; nothing where it fails.
    pub fn tool(&self, name: &str, args: &[&str]) -> Option<String> {
        let told = self.command(Path::new(name)).args(args).stderr(Stdio::null()).output();
        let told = told.unwrap_or_else(|e| crate::home::not_started(name.as_ref(), &e));
        told.status.success().then(|| String::from_utf8_lossy(&told.stdout).into_owned())
    }

    /// Clicks here, with this button: 1 is the left one.
    pub fn click(&self, (x, y): (u32, u32), button: u8) {
        let (x, y, button) = (x.to_string(), y.to_string(), button.to_string());
        let clicked = self.tool("xdotool", &["mousemove", &x, &y, "click", &button]);
        assert!(clicked.is_some(), "no click at {x}, {y}");
    }

    /// A picture of the whole screen.
    pub fn screenshot(&self, file: &Path) {
        let file = format!("png:{}", file.display());
        assert!(self.tool("import", &["-window", "root", &file]).is_some(), "no picture in {file}");
    }

    /// Leaves a picture of the screen in `target/pictures` if the test has failed; the first one
    /// counts, as afterwards there is ever less to see.
    pub fn picture_of_a_failure(&self) {
        if !std::thread::panicking() || self.picture.get().is_some() {
            return;
        }
        let test = std::thread::current().name().unwrap_or("a test").replace("::", "-");
        let file = peers::pictures().join(test).with_extension("png");
        let target = format!("png:{}", file.display());
        if self.tool("import", &["-window", "root", &target]).is_some() {
            let _ = writeln!(std::io::stderr().lock(), "the screen: {}", file.display());
        }
        let _ = self.picture.set(file);
    }
}

impl Drop for Desktop<'_> {
    fn drop(&mut self) {
        self.picture_of_a_failure();
        // The newest first.
        while self.programs.get_mut().pop().is_some() {}
    }
}
