//! A logind of a test's own, on a system bus of its own: it says that the machine falls asleep and
//! wakes, and knows whether anybody still asks it to wait.
//!
//! It must not touch the machine's real bus. Where to read next: `home`, which says where this one is.

use std::{
    io::Read,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{bus::Bus, home::Home};

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

/// The readers of the locks that were given out: each ends when its lock is let go.
type Locks = Arc<Mutex<Vec<std::io::PipeReader>>>;

/// The daemon and the service; both end when dropped.
#[derive(Debug)]
pub struct Logind {
    bus: Bus,
    locks: Locks,
}

struct Manager(Locks);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    fn inhibit(
        &self,
        what: &str,
        who: &str,
        why: &str,
        mode: &str,
    ) -> zbus::fdo::Result<zbus::OwnedFd> {
        if (what, mode) != ("sleep", "delay") || who.is_empty() || why.is_empty() {
            return Err(zbus::fdo::Error::NotSupported(format!("{what} {mode}")));
        }
        let failed = |error: std::io::Error| zbus::fdo::Error::IOError(error.to_string());
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        Ok(OwnedFd::from(writer).into())
    }
}

impl Logind {
    /// Starts both for programs in this home. `None`: this machine has no D-Bus daemon.
    pub fn start(home: &Home) -> Option<Self> {
        let locks = Locks::default();
        let bus = Bus::start(home, &home.run("system_bus"), &[])?;
        let connection = bus.connection();
        bus.wait(async {
            let served = Manager(Arc::clone(&locks));
            connection.object_server().at(PATH, served).await.expect("served");
            connection.request_name(NAME).await.expect("its name");
        });
        Some(Self { bus, locks })
    }

    /// Says that the machine is about to sleep, or that it woke.
    pub fn prepare_for_sleep(&self, before: bool) {
        let signal = "PrepareForSleep";
        let body = (before,);
        let said = self.bus.connection().emit_signal(None::<&str>, PATH, MANAGER, signal, &body);
        self.bus.wait(said).expect("said");
    }

    /// Waits until somebody asks to be waited for, so often in all.
    pub fn until_asked(&self, times: usize) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.locks.lock().unwrap_or_else(PoisonError::into_inner).len() < times {
            assert!(Instant::now() < deadline, "nobody asks to be waited for");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the newest lock is let go.
    pub fn until_let_go(&self) {
        let newest = self.locks.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut newest = newest.expect("a lock was given out");
        let end = newest.read(&mut [0]).expect("read");
        assert_eq!(end, 0, "nobody writes to it");
    }
}
