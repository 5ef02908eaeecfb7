//! A D-Bus of a test's own: the daemon, and a connection to it.
//!
//! It must not touch the machine's real buses, and starts nothing by itself but what a test names.
//! Where to read next: `logind` and `desktop`, which live on one.

use std::{fs, os::unix::fs::symlink, path::Path};

use tokio::runtime::Runtime;
use zbus::{Connection, OwnedVariant, connection::Builder};

use crate::{home::Home, process::Process};

/// Where systems keep what may be started by name.
const SERVICES: &str = "/usr/share/dbus-1/services";
/// A bus on which everybody may do and hear everything.
const CONFIG: &str = r#"<busconfig><type>session</type><listen>ADDRESS</listen>
<servicedir>SERVICES</servicedir>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>"#;

/// The daemon and the connection; both end when dropped.
#[derive(Debug)]
pub struct Bus {
    runtime: Runtime,
    connection: Connection,
    _daemon: Process,
}

impl Bus {
    /// Starts one at `unix:path=PLACE`, with its own files beside that. These of the system's
    /// services may be started by name, in this home. `None`: this machine has no D-Bus daemon.
    pub fn start(home: &Home, place: &Path, services: &[&str]) -> Option<Self> {
        let folder = place.with_extension("services");
        fs::create_dir(&folder).expect("a new folder");
        for service in services {
            symlink(Path::new(SERVICES).join(service), folder.join(service)).expect("a link");
        }
        let address = format!("unix:path={}", place.display());
        let config = CONFIG.replace("ADDRESS", &address);
        let config = config.replace("SERVICES", &folder.display().to_string());
        let file = place.with_extension("conf");
        fs::write(&file, config).expect("written");
        // What it starts lives in its environment.
        let mut daemon = home.command(Path::new("dbus-daemon"));
        daemon.arg(format!("--config-file={}", file.display()));
        daemon.args(["--nofork", "--nopidfile", "--print-address=1"]);
        let (daemon, _) = Process::told(daemon, &place.with_extension("log")).ok()?;
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let connection = runtime.block_on(connect(&address));
        Some(Self { runtime, connection, _daemon: daemon })
    }

    /// The test's own connection to it.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Waits for an answer.
    pub fn wait<F: Future>(&self, answer: F) -> F::Output {
        self.runtime.block_on(answer)
    }

    /// Whether somebody goes by this name.
    pub fn is_owned(&self, name: &str) -> bool {
        let (bus, place) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
        let name = (name,);
        let asked = self.connection.call_method(Some(bus), place, Some(bus), "NameHasOwner", &name);
        self.wait(asked).expect("an answer").body().deserialize().expect("yes or no")
    }

    /// A property of something on this bus; nothing where there is none.
    pub fn property(
        &self,
        owner: &str,
        path: &str,
        interface: &str,
        name: &str,
    ) -> Option<OwnedVariant> {
        let body = (interface, name);
        let properties = Some("org.freedesktop.DBus.Properties");
        let asked = self.connection.call_method(Some(owner), path, properties, "Get", &body);
        self.wait(asked).ok()?.body().deserialize().ok()
    }
}

/// One more connection to a bus.
pub(crate) async fn connect(address: &str) -> Connection {
    Builder::address(address).build().await.expect("on its bus")
}
