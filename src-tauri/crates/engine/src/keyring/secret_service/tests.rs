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
    home::Home,
    keyring::{Later, ask, forget, look},
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
        let keyring = self.of(usual());
        Later::new(Arc::new(move || ask(keyring.clone(), LONG)))
    }

    /// This home's view of it.
    fn of(&self, owner: Owner) -> SystemKeyring {
        SystemKeyring::new(&Env::fixed([(BUS, &self.address)]), owner)
    }

    fn ask(&self) -> KeyringAnswer {
        ask(self.of(usual()), LONG)
    }

    fn forget(&self) -> Forgotten {
        forget(self.of(usual()), LONG)
    }

    /// The key that a version from before homes made, for all of them.
    fn older_key(&self) -> Key {
        let key = Key::generate().unwrap();
        block_on(async {
            let own = Builder::address(self.address.as_str()).build().await.unwrap();
            let all: OwnedObjectPath = service(&own, "ReadAlias", &("default",)).await.unwrap();
            let session = session(&own).await.unwrap();
            let attributes = HashMap::from([("service", SERVICE), ("username", USER)]);
            let properties = HashMap::from([
                ("org.freedesktop.Secret.Item.Label", Variant::from("Lamplighter")),
                ("org.freedesktop.Secret.Item.Attributes", Variant::from(attributes)),
            ]);
            let parameters: &[u8] = &[];
            let secret = (&session, parameters, &key.expose()[..], "application/octet-stream");
            let _: (OwnedObjectPath, OwnedObjectPath) =
                collected(&own, &all, "CreateItem", &(properties, secret, false)).await.unwrap();
        });
        key
    }

    /// How many entries of ours there are, and the homes that they name.
    fn homes(&self) -> Vec<Option<String>> {
        block_on(async {
            let own = Builder::address(self.address.as_str()).build().await.unwrap();
            let all: OwnedObjectPath = service(&own, "ReadAlias", &("default",)).await.unwrap();
            let items = ours(&own, &all).await.unwrap().into_iter();
            let mut homes: Vec<_> = items.map(|item| item.attributes.get(HOME).cloned()).collect();
            homes.sort();
            homes
        })
    }
}

/// The home of a person who has set no variable.
fn usual() -> Owner {
    let home = Home::new(Path::new("/home/ada/.local/state/lamplighter"), true, false);
    Owner { home, sealed_under: None }
}

/// A home that a variable sets apart; its journal is sealed under this key.
fn apart(folder: &str, sealed_under: Option<&Key>) -> Owner {
    let home = Home::new(Path::new(folder), false, true);
    Owner { home, sealed_under: sealed_under.map(Key::name) }
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
fn each_home_has_a_key_of_its_own_and_takes_no_other_with_it() {
    let Some(mut bus) = Bus::start() else { return };
    if !bus.keyring(Unlock::ByPassword) {
        return;
    }
    let homes = [usual(), apart("/try", None), apart("/other", None)];
    let keys: Vec<Key> = homes
        .iter()
        .map(|owner| {
            assert_eq!(look(bus.of(owner.clone()), LONG), KeyringAnswer::NotThere);
            let KeyringAnswer::Created(key) = ask(bus.of(owner.clone()), LONG) else {
                panic!("it found another home's key")
            };
            key
        })
        .collect();
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    assert_eq!(forget(bus.of(homes[1].clone()), LONG), Forgotten::Gone);
    assert_eq!(forget(bus.of(homes[1].clone()), LONG), Forgotten::NotThere);
    for kept in [0, 2] {
        let present = KeyringAnswer::Present(keys[kept].clone());
        assert_eq!(look(bus.of(homes[kept].clone()), LONG), present);
    }
    assert_eq!(look(bus.of(homes[1].clone()), LONG), KeyringAnswer::NotThere);
}

#[test]
fn looking_makes_and_changes_nothing() {
    let Some(mut bus) = Bus::start() else { return };
    if !bus.keyring(Unlock::ByPassword) {
        return;
    }
    assert_eq!(look(bus.of(usual()), LONG), KeyringAnswer::NotThere);
    assert_eq!(bus.homes(), Vec::<Option<String>>::new());
    let key = bus.older_key();
    for owner in [usual(), apart("/try", Some(&key))] {
        assert_eq!(look(bus.of(owner), LONG), KeyringAnswer::Present(key.clone()));
    }
    assert_eq!(look(bus.of(apart("/try", None)), LONG), KeyringAnswer::NotThere);
    assert_eq!(bus.homes(), [None]);
}

#[test]
fn the_usual_home_takes_the_older_key_over_and_a_sealed_journal_elsewhere_keeps_its_key() {
    let Some(mut bus) = Bus::start() else { return };
    if !bus.keyring(Unlock::ByPassword) {
        return;
    }
    let key = bus.older_key();
    let present = KeyringAnswer::Present(key.clone());
    assert_eq!(bus.ask(), present);
    assert_eq!(bus.homes(), [Some(usual().home.mark())], "marked, not copied");
    assert_eq!(bus.ask(), present);
    // Another home's journal was sealed under it when one key was for all.
    let sealed = apart("/try", Some(&key));
    assert_eq!(ask(bus.of(sealed.clone()), LONG), present);
    assert_eq!(bus.forget(), Forgotten::Gone);
    assert_eq!(ask(bus.of(sealed.clone()), LONG), present, "its copy is its own");
    assert_eq!(forget(bus.of(sealed), LONG), Forgotten::Gone);
    assert_eq!(bus.homes(), Vec::<Option<String>>::new());
}

#[test]
fn an_older_key_goes_with_the_usual_home_alone() {
    let Some(mut bus) = Bus::start() else { return };
    if !bus.keyring(Unlock::ByPassword) {
        return;
    }
    bus.older_key();
    assert_eq!(forget(bus.of(apart("/try", None)), LONG), Forgotten::NotThere);
    assert_eq!(bus.homes(), [None]);
    assert_eq!(bus.forget(), Forgotten::Gone);
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
        let answer = ask(SystemKeyring::new(&env, usual()), LONG);
        assert!(matches!(&answer, KeyringAnswer::Absent(why) if why.contains(BUS)), "{answer:?}");
    }
}

#[test]
fn a_bus_that_is_gone_is_no_keyring() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:path={}", folder.path().join("bus").display());
    let answer = ask(SystemKeyring::new(&Env::fixed([(BUS, &address)]), usual()), LONG);
    assert_eq!(answer, KeyringAnswer::Absent("the session bus can't be reached".into()));
}

#[test]
fn a_bus_that_never_answers_runs_out_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let env = Env::fixed([(BUS, format!("unix:path={}", path.display()))]);
    let answer = ask(SystemKeyring::new(&env, usual()), Duration::from_millis(100));
    assert_eq!(answer, KeyringAnswer::TimedOut);
}
