//! A real keyring on a bus of a test's own, and what programs have put into it.
//!
//! It must not show a secret: entries are told by their attributes alone. Where to read next: `bus`.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    bus::Bus,
    home::Home,
    process::{Process, until},
};

/// The program.
pub(crate) const DAEMON: &str = "gnome-keyring-daemon";
/// What opens the keyring.
const PASSWORD: &[u8] = b"of a test";
const NAME: &str = "org.freedesktop.secrets";
/// Where programs put their secrets if they don't say where.
const COLLECTION: &str = "/org/freedesktop/secrets/aliases/default";

/// A session bus with an unlocked keyring on it; both end when dropped.
#[derive(Debug)]
pub struct Keyring {
    /// The bus.
    pub bus: Bus,
    _daemon: Process,
}

impl Keyring {
    /// Starts both in this home.
    pub fn start(home: &Home) -> Self {
        let bus = Bus::start(home, &home.run("bus"), &[]).expect("dbus-daemon starts");
        let mut daemon = home.command(Path::new(DAEMON));
        daemon.env("DBUS_SESSION_BUS_ADDRESS", home.session_bus());
        let daemon = unlocked(daemon, &bus, &home.run("keyring.log")).expect("the daemon starts");
        Self { bus, _daemon: daemon }
    }

    /// The attributes of every entry of Lamplighter's.
    pub fn entries(&self) -> Vec<BTreeMap<String, Value>> {
        let ours = BTreeMap::from([("service", "dev.lamplighter")]);
        let kind = "org.freedesktop.Secret.Collection";
        let found = self.bus.call(NAME, COLLECTION, kind, "SearchItems", &(ours,));
        let found = found.expect("an answer");
        let places = found[0].as_array().expect("a list").iter().filter_map(Value::as_str);
        let attributes = places.map(|place| {
            let kind = "org.freedesktop.Secret.Item";
            let found = self.bus.property(NAME, place, kind, "Attributes").expect("attributes");
            found.as_object().expect("a map").clone().into_iter().collect()
        });
        attributes.collect()
    }
}

/// Starts the daemon with an open keyring.
pub(crate) fn unlocked(mut daemon: Command, bus: &Bus, log: &Path) -> io::Result<Process> {
    daemon.args(["--foreground", "--unlock", "--components=secrets"]).stdin(Stdio::piped());
    let mut daemon = Process::start(daemon, log)?;
    let mut input = daemon.input().ok_or(io::ErrorKind::BrokenPipe)?;
    input.write_all(PASSWORD)?;
    drop(input);
    until("the keyring is open", || {
        let kind = "org.freedesktop.Secret.Collection";
        let locked = bus.property(NAME, COLLECTION, kind, "Locked")?;
        (locked == false).then_some(())
    });
    Ok(daemon)
}
