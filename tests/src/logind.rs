//! A logind of a test's own, on a system bus of its own: it says that the machine falls asleep and
//! wakes, knows whether anybody still asks it to wait, and says whether somebody sees the screen.
//!
//! It must not touch the machine's real bus. Where to read next: `home`, which says where this one is.

use std::{
    io::Read,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{bus::Bus, home::Home};

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "/org/freedesktop/login1/session/_31";

/// The readers of the locks that were given out: each ends when its lock is let go.
type Locks = Arc<Mutex<Vec<std::io::PipeReader>>>;

/// The daemon and the service; both end when dropped.
#[derive(Debug)]
pub struct Logind {
    bus: Bus,
    locks: Locks,
    shutdown_locks: Locks,
    asked: Arc<AtomicUsize>,
}

/// Who asks to be waited for before a sleep, and before a shutdown.
struct Manager(Locks, Locks);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    #[expect(clippy::unused_self, reason = "the interface wants it")]
    fn get_session(&self, name: &str) -> zbus::fdo::Result<zbus::OwnedObjectPath> {
        if name != "auto" {
            return Err(zbus::fdo::Error::InvalidArgs(name.to_owned()));
        }
        Ok(zbus::ObjectPath::from_static_str_unchecked(SESSION).into())
    }

    fn inhibit(
        &self,
        what: &str,
        who: &str,
        why: &str,
        mode: &str,
    ) -> zbus::fdo::Result<zbus::OwnedFd> {
        let locks = match (what, mode) {
            ("sleep", "delay") => &self.0,
            ("shutdown", "delay") => &self.1,
            _ => return Err(zbus::fdo::Error::NotSupported(format!("{what} {mode}"))),
        };
        if who.is_empty() || why.is_empty() {
            return Err(zbus::fdo::Error::InvalidArgs("who and why".into()));
        }
        let failed = |error: std::io::Error| zbus::fdo::Error::IOError(error.to_string());
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        locks.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        Ok(OwnedFd::from(writer).into())
    }
}

/// What is known of the one session.
struct Session {
    locked: bool,
    idle: bool,
    /// How often somebody asked whether it is idle, which is the last that is asked.
    asked: Arc<AtomicUsize>,
}

#[zbus::interface(name = "org.freedesktop.login1.Session")]
impl Session {
    #[zbus(property)]
    fn locked_hint(&self) -> bool {
        // Whoever hears this one asks no further.
        if self.locked {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
        self.locked
    }

    #[zbus(property)]
    fn idle_hint(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.idle
    }
}

impl Logind {
    /// Starts both for programs in this home. `None`: this machine has no D-Bus daemon.
    pub fn start(home: &Home) -> Option<Self> {
        let (locks, shutdown_locks, asked) = (Locks::default(), Locks::default(), Arc::default());
        let session = Session { locked: false, idle: false, asked: Arc::clone(&asked) };
        let bus = Bus::start(home, &home.run("system_bus"), &[])?;
        let connection = bus.connection();
        bus.wait(async {
            let served = Manager(Arc::clone(&locks), Arc::clone(&shutdown_locks));
            connection.object_server().at(PATH, served).await.expect("served");
            connection.object_server().at(SESSION, session).await.expect("served");
            connection.request_name(NAME).await.expect("its name");
        });
        Some(Self { bus, locks, shutdown_locks, asked })
    }

    /// Locks the session, or unlocks it.
    pub fn lock(&self, locked: bool) {
        self.session(|session| session.locked = locked);
    }

    /// Nobody has touched anything for long, or somebody does.
    pub fn idle(&self, idle: bool) {
        self.session(|session| session.idle = idle);
    }

    /// Waits until somebody has asked how the session is since `lock` or `idle` changed it.
    pub fn until_seen(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.asked.load(Ordering::Relaxed) == 0 {
            assert!(Instant::now() < deadline, "nobody asks whether somebody is there");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn session(&self, change: impl FnOnce(&mut Session)) {
        let server = self.bus.connection().object_server();
        self.bus.wait(async {
            let session = server.interface::<_, Session>(SESSION).await.expect("it is served");
            let mut known = session.get_mut().await;
            change(&mut known);
            let emitter = session.signal_emitter();
            known.locked_hint_changed(emitter).await.expect("said");
            known.idle_hint_changed(emitter).await.expect("said");
            // Saying what has changed asks for it as well; everybody else still waits for an answer.
            self.asked.store(0, Ordering::Relaxed);
        });
    }

    /// Says that the machine is about to sleep, or that it woke.
    pub fn prepare_for_sleep(&self, before: bool) {
        self.prepare_for("PrepareForSleep", before);
    }

    /// Says that the machine is about to be shut down, or that it is not after all.
    pub fn prepare_for_shutdown(&self, before: bool) {
        self.prepare_for("PrepareForShutdown", before);
    }

    fn prepare_for(&self, signal: &str, before: bool) {
        let body = (before,);
        let said = self.bus.connection().emit_signal(None::<&str>, PATH, MANAGER, signal, &body);
        self.bus.wait(said).expect("said");
    }

    /// Waits until somebody asks to be waited for, so often in all.
    pub fn until_asked(&self, times: usize) {
        asked(&self.locks, times);
    }

    /// Waits until the newest lock is let go.
    pub fn until_let_go(&self) {
        let_go(&self.locks);
    }

    /// The same for a shutdown.
    pub fn until_asked_before_shutdown(&self, times: usize) {
        asked(&self.shutdown_locks, times);
    }

    /// The same for a shutdown.
    pub fn until_shutdown_may_go_on(&self) {
        let_go(&self.shutdown_locks);
    }
}

fn asked(locks: &Locks, times: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while locks.lock().unwrap_or_else(PoisonError::into_inner).len() < times {
        assert!(Instant::now() < deadline, "nobody asks to be waited for");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn let_go(locks: &Locks) {
    let newest = locks.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut newest = newest.expect("a lock was given out");
    let end = newest.read(&mut [0]).expect("read");
    assert_eq!(end, 0, "nobody writes to it");
}
