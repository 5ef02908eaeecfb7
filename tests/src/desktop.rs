//! A desktop of a test's own: a screen that nobody sees, a session bus, a window manager, and what
//! else a test asks for.
//!
//! It must not reach the developer's desktop: home, bus, display and settings are a test's own, and
//! whatever it starts ends with it. When its test fails it leaves a picture of the screen.
//! Where to read next: `home`; `chromium`, the browser on it.

mod app;
pub mod notices;
mod panel;
pub mod screen;
mod silent;
pub mod tray;
pub mod window;

use std::{
    cell::{Cell, RefCell},
    fs,
    path::Path,
    process::{Command, Stdio},
};

use self::screen::SIZE;
use crate::{
    bus::Bus,
    home::Home,
    keyring,
    process::{Process, until},
};

/// Programs that desktops start by name, and that this one lets start.
const SERVICES: &[&str] = &["org.xfce.Xfconf.service"];

/// The desktop.
#[derive(Debug)]
pub struct Desktop<'a> {
    home: &'a Home,
    /// Whether a picture was taken of a test that had failed already.
    pictured: Cell<bool>,
    /// By name, the newest last.
    programs: RefCell<Vec<(String, Process)>>,
    display: String,
    bus: Bus,
    /// Until a test ends it.
    screen: Option<Process>,
}

impl<'a> Desktop<'a> {
    /// Screen, bus and window manager, ready.
    pub fn start(home: &'a Home) -> Self {
        Self::start_on(home, SIZE)
    }

    /// The same with a screen of this width and height.
    pub fn start_on(home: &'a Home, size: (usize, usize)) -> Self {
        fs::create_dir(home.run("log")).expect("a new folder");
        let bus = Bus::start(home, &home.run("bus"), SERVICES).expect("dbus-daemon starts");
        let mut screen = home.command(Path::new("Xvfb"));
        let size = format!("{}x{}x24", size.0, size.1);
        // Without a client it would begin anew, and end whoever comes at that moment.
        screen.args(["-displayfd", "1", "-screen", "0", &size, "-nolisten", "tcp", "-noreset"]);
        let (screen, number) = Process::told(screen, &home.run("log/Xvfb")).expect("Xvfb starts");
        let desktop = Self {
            home,
            pictured: Cell::new(false),
            programs: RefCell::default(),
            display: format!(":{number}"),
            bus,
            screen: Some(screen),
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

    /// Ends the screen, as a logout does.
    pub fn end_screen(&mut self) {
        self.screen = None;
    }

    /// Ends the session bus, with the programs on it that a test has named; a new one listens at the
    /// same address.
    pub fn restart_bus(&mut self, programs: &[&str]) {
        self.bus.end();
        for program in programs {
            self.end(program);
        }
        self.bus.restart(self.home, &self.home.run("bus"));
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

    /// An unlocked keyring.
    pub fn keyring(&self) {
        let daemon = self.command(Path::new(keyring::DAEMON));
        let log = self.home.run("log").join(keyring::DAEMON);
        let daemon = keyring::unlocked(daemon, &self.bus, &log).expect("the daemon starts");
        self.programs.borrow_mut().push((keyring::DAEMON.to_owned(), daemon));
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
        Some(String::from_utf8_lossy(&self.tool_bytes(name, args)?).into_owned())
    }

    fn tool_bytes(&self, name: &str, args: &[&str]) -> Option<Vec<u8>> {
        let told = self.command(Path::new(name)).args(args).stderr(Stdio::null()).output();
        let told = told.unwrap_or_else(|e| crate::home::not_started(name.as_ref(), &e));
        told.status.success().then_some(told.stdout)
    }
}

impl Drop for Desktop<'_> {
    fn drop(&mut self) {
        self.picture_of_a_failure();
        // The newest first.
        while self.programs.get_mut().pop().is_some() {}
    }
}
