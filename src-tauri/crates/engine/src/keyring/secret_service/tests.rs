//! Against the real thing where it is installed: a bus and a keyring daemon of the test's own, far
//! from the developer's.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use super::*;
use crate::{
    keyring::{Later, ask, forget},
    paths::Env,
};

const LONG: Duration = Duration::from_secs(30);
/// Long enough for an answer, and much less than the time to the next question.
const SOON: Duration = Duration::from_secs(2);

/// A bus on which nothing starts by itself.
const CONFIG: &str = r#"<busconfig><type>session</type><listen>unix:dir=HOME</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>"#;

enum Unlock {
    /// Which also makes the first keyring.
    ByPassword,
    No,
}

/// A session bus of the test's own; ends with it.
struct Bus {
    home: tempfile::TempDir,
    processes: Vec<Child>,
    address: String,
}

impl Bus {
    /// `None` where this machine has no D-Bus.
    fn start() -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("bus.conf");
        // The usual one would start services of the machine's.
        std::fs::write(&config, CONFIG.replace("HOME", home.path().to_str().unwrap())).unwrap();
        let mut daemon = lonely("dbus-daemon", home.path());
        daemon.arg(format!("--config-file={}", config.display()));
        let Ok(mut daemon) = daemon.args(["--nofork", "--print-address=1"]).spawn() else {
            println!("skipped: no dbus-daemon on this machine");
            return None;
        };
        let mut address = String::new();
        let said = daemon.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut address).unwrap();
        Some(Self { home, processes: vec![daemon], address: address.trim().into() })
    }

    /// Starts a real keyring daemon; says whether there is one on this machine.
    fn keyring(&mut self, unlock: Unlock) -> bool {
        let mut daemon = lonely("gnome-keyring-daemon", self.home.path());
        daemon.args(["--foreground", "--components=secrets"]).env(BUS, &self.address);
        if matches!(unlock, Unlock::ByPassword) {
            daemon.arg("--unlock");
        }
        let Ok(mut daemon) = daemon.stdin(Stdio::piped()).spawn() else {
            println!("skipped: no gnome-keyring-daemon on this machine");
            return false;
        };
        let _ = daemon.stdin.take().unwrap().write_all(b"password");
        self.processes.push(daemon);
        block_on(self.wait_for_name());
        true
    }

    /// Waits until the service has its name on the bus.
    async fn wait_for_name(&self) {
        let bus =
            Builder::address(self.address.as_str()).method_timeout(LONG).build().await.unwrap();
        let dbus = Some("org.freedesktop.DBus");
        let named = async {
            let mut owned = false;
            while !owned {
                let asked =
                    bus.call_method(dbus, "/", dbus, "NameHasOwner", &(NAME,)).await.unwrap();
                owned = asked.body().deserialize().unwrap();
            }
        };
        tokio::time::timeout(LONG, named).await.expect("the keyring daemon does not start");
    }

    /// Locks the default keyring, as a desktop does when its user leaves.
    fn lock(&self) {
        block_on(async {
            let own = Builder::address(self.address.as_str()).build().await.unwrap();
            let all: OwnedObjectPath = service(&own, "ReadAlias", &("default",)).await.unwrap();
            let _: (Vec<OwnedObjectPath>, OwnedObjectPath) =
                service(&own, "Lock", &(vec![all],)).await.unwrap();
        });
    }

    /// Unlocks it by its password, as a log in does: with an interface of this daemon's own, since the
    /// usual way asks a person.
    fn unlock(&self) {
        block_on(async {
            let own = Builder::address(self.address.as_str()).build().await.unwrap();
            let all: OwnedObjectPath = service(&own, "ReadAlias", &("default",)).await.unwrap();
            let (_, session): (OwnedVariant, OwnedObjectPath) =
                service(&own, "OpenSession", &("plain", Variant::from(""))).await.unwrap();
            let password = (session, &b""[..], &b"password"[..], "text/plain");
            let interface = Some("org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface");
            let unlock = "UnlockWithMasterPassword";
            own.call_method(Some(NAME), ROOT, interface, unlock, &(all, password)).await.unwrap();
        });
    }

    /// What a keeper asks again with.
    fn later(&self) -> Later {
        let env = Env::fixed([(BUS, self.address.clone())]);
        Later::new(Arc::new(move || ask(SystemKeyring::new(&env), LONG)))
    }

    fn ask(&self) -> KeyringAnswer {
        ask(SystemKeyring::new(&Env::fixed([(BUS, &self.address)])), LONG)
    }

    fn forget(&self) -> Forgotten {
        forget(SystemKeyring::new(&Env::fixed([(BUS, &self.address)])), LONG)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A program that knows nothing of the developer's session.
fn lonely(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for name in ["HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
        command.env(name, home);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

#[test]
fn a_real_keyring_keeps_the_key_and_a_locked_one_is_told_without_a_dialog() {
    let Some(mut bus) = Bus::start() else { return };
    if !bus.keyring(Unlock::ByPassword) {
        return;
    }
    assert_eq!(bus.forget(), Forgotten::NotThere);
    let KeyringAnswer::Created(first) = bus.ask() else { panic!("no key was made") };
    assert_eq!(bus.ask(), KeyringAnswer::Present(first.clone()));
    assert_eq!(bus.forget(), Forgotten::Gone);
    let KeyringAnswer::Created(key) = bus.ask() else { panic!("the key is still there") };
    assert_ne!(key, first);
    bus.lock();
    // Not a time-out: nothing waits for a person.
    assert_eq!(bus.ask(), KeyringAnswer::Locked);
    assert_eq!(bus.forget(), Forgotten::Locked);
}

#[test]
fn a_keyring_that_appears_later_is_found_without_a_restart() {
    let Some(mut bus) = Bus::start() else { return };
    assert!(matches!(bus.ask(), KeyringAnswer::Absent(_)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut later = bus.later();
    if !bus.keyring(Unlock::ByPassword) {
        return;
    }
    later.hurry();
    let key = runtime.block_on(later.key());
    assert_eq!(bus.ask(), KeyringAnswer::Present(key));
}

#[test]
fn a_keyring_that_is_unlocked_later_is_found_without_a_restart() {
    let Some(mut bus) = Bus::start() else { return };
    if !bus.keyring(Unlock::ByPassword) {
        return;
    }
    let KeyringAnswer::Created(key) = bus.ask() else { panic!("no key was made") };
    bus.lock();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut later = bus.later();
    later.hurry();
    // Asked and told that it is locked, which brings up nothing, it waits for its next turn.
    let soon = runtime.block_on(async { tokio::time::timeout(SOON, later.key()).await });
    assert!(soon.is_err());
    bus.unlock();
    later.hurry();
    assert_eq!(runtime.block_on(later.key()), key);
}

#[test]
fn where_no_keyring_was_ever_set_up_none_is_made() {
    let Some(mut bus) = Bus::start() else { return };
    if !bus.keyring(Unlock::No) {
        return;
    }
    let KeyringAnswer::Absent(why) = bus.ask() else { panic!("there is none") };
    assert_eq!(why, "no default keyring has been set up yet");
}

#[test]
fn a_bus_without_a_keyring_is_no_keyring() {
    let Some(bus) = Bus::start() else { return };
    let KeyringAnswer::Absent(why) = bus.ask() else { panic!("there is none") };
    assert_eq!(why, "no keyring service is running");
}

#[test]
fn without_a_session_bus_nothing_is_asked() {
    for env in [Env::fixed::<&str, &str>([]), Env::fixed([(BUS, "autolaunch:")])] {
        let answer = ask(SystemKeyring::new(&env), LONG);
        assert!(matches!(&answer, KeyringAnswer::Absent(why) if why.contains(BUS)), "{answer:?}");
    }
}

#[test]
fn a_bus_that_is_gone_is_no_keyring() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:path={}", folder.path().join("bus").display());
    let answer = ask(SystemKeyring::new(&Env::fixed([(BUS, &address)])), LONG);
    assert_eq!(answer, KeyringAnswer::Absent("the session bus can't be reached".into()));
}

#[test]
fn a_bus_that_never_answers_runs_out_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let env = Env::fixed([(BUS, format!("unix:path={}", path.display()))]);
    let answer = ask(SystemKeyring::new(&env), Duration::from_millis(100));
    assert_eq!(answer, KeyringAnswer::TimedOut);
}
