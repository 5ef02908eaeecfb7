//! A logind of a test's own, on a system bus of its own: it says that the machine falls asleep and
//! wakes, and knows whether anybody still asks it to wait.
//!
//! It must not touch the machine's real bus. Where to read next: `home`, which says where this one is.

use std::{
    io::{BufRead, BufReader, Read},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;
use zbus::{Connection, connection::Builder};

use crate::home::Home;

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
/// A bus on which nothing starts by itself and everybody may do everything.
const CONFIG: &str = r#"<busconfig><type>session</type><listen>ADDRESS</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>"#;

/// The readers of the locks that were given out: each ends when its lock is let go.
type Locks = Arc<Mutex<Vec<std::io::PipeReader>>>;

/// The daemon and the service; both end when dropped.
#[derive(Debug)]
pub struct Logind {
    _daemon: Daemon,
    runtime: Runtime,
    bus: Connection,
    locks: Locks,
}

#[derive(Debug)]
struct Daemon(Child);

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
        let config = home.project().join("bus.conf");
        std::fs::write(&config, CONFIG.replace("ADDRESS", &home.system_bus())).expect("written");
        let mut daemon = Command::new("dbus-daemon");
        daemon.arg(format!("--config-file={}", config.display()));
        daemon.args(["--nofork", "--nopidfile", "--print-address=1"]);
        daemon.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null());
        let mut daemon = Daemon(daemon.spawn().ok()?);
        let mut said = String::new();
        let out = daemon.0.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut said).expect("an address");
        let locks = Locks::default();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let bus = Builder::address(home.system_bus().as_str())
            .serve_at(PATH, Manager(Arc::clone(&locks)))
            .name(NAME)
            .build();
        let bus = runtime.block_on(bus).expect("on its bus");
        Some(Self { _daemon: daemon, runtime, bus, locks })
    }

    /// Says that the machine is about to sleep, or that it woke.
    pub fn prepare_for_sleep(&self, before: bool) {
        let signal = "PrepareForSleep";
        let body = (before,);
        let said = self.bus.emit_signal(None::<&str>, PATH, MANAGER, signal, &body);
        self.runtime.block_on(said).expect("said");
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

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
