//! A service on the session bus that takes every call and answers none, as a program does that hangs.
//!
//! Where to read next: `desktop`.

use zbus::Connection;

use super::Desktop;

/// The one name of a service that nobody may wait for in line.
const DO_NOT_QUEUE: u32 = 4;

/// The service; its name is free again when this is dropped.
#[derive(Debug)]
#[must_use = "without it there is no such service"]
pub struct Silent(#[expect(dead_code, reason = "it holds the name")] Connection);

impl Desktop<'_> {
    /// A service of this name that never answers.
    pub fn silent(&self, name: &str) -> Silent {
        let connection = self.bus.another();
        let (bus, place) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
        let body = (name, DO_NOT_QUEUE);
        // By hand: the library's own way would begin to answer.
        let asked = connection.call_method(Some(bus), place, Some(bus), "RequestName", &body);
        self.bus.wait(asked).expect("the bus answers");
        assert!(self.bus.is_owned(name), "{name} is taken");
        Silent(connection)
    }
}
