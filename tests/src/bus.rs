//! A D-Bus of a test's own: the daemon, and a connection to it.
//!
//! It must not touch the machine's real buses, and starts nothing by itself but what a test names.
//! Where to read next: `logind` and `desktop`, which live on one.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use zbus::{
    Connection, DynamicType, Message, MessageStream, Structure, Variant, connection::Builder,
};

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
    address: String,
    daemon: Mutex<Option<Process>>,
}

impl Bus {
    /// Starts one at `unix:path=PLACE`, with its own files beside that. These of the system's
    /// services may be started by name, in this home. `None`: this machine has no D-Bus daemon.
    pub fn start(home: &Home, place: &Path, services: &[&str]) -> Option<Self> {
        let folder = place.with_extension("services");
        // One that was started here before has left its files.
        drop(fs::remove_dir_all(&folder));
        drop(fs::remove_file(place));
        fs::create_dir(&folder).expect("a new folder");
        for service in services {
            symlink(Path::new(SERVICES).join(service), folder.join(service)).expect("a link");
        }
        let address = format!("unix:path={}", place.display());
        let config = CONFIG.replace("ADDRESS", &address);
        let config = config.replace("SERVICES", &folder.display().to_string());
        fs::write(place.with_extension("conf"), config).expect("written");
        let daemon = daemon(home, place)?;
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let connection = runtime.block_on(connect(&address));
        let daemon = Mutex::new(Some(daemon));
        Some(Self { runtime, connection, address, daemon })
    }

    /// The test's own connection to it.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// One more connection to it.
    pub(crate) fn another(&self) -> Connection {
        self.runtime.block_on(connect(&self.address))
    }

    /// Starts one again where one has ended.
    pub(crate) fn restart(&mut self, home: &Home, place: &Path) {
        // Whoever ends a bus leaves its socket behind.
        drop(fs::remove_file(place));
        let started = daemon(home, place).expect("dbus-daemon starts");
        *self.daemon.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(started);
        self.connection = self.another();
    }

    /// Ends it under everybody who is on it.
    pub fn end(&self) {
        drop(self.daemon.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Waits for an answer.
    pub fn wait<F: Future>(&self, answer: F) -> F::Output {
        self.runtime.block_on(answer)
    }

    /// Whether somebody goes by this name.
    pub fn is_owned(&self, name: &str) -> bool {
        let (bus, place) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
        let owned = self.call(bus, place, bus, "NameHasOwner", &(name,));
        owned.expect("an answer")[0] == true
    }

    /// A property of something on this bus; nothing where there is none.
    pub fn property(&self, owner: &str, path: &str, interface: &str, name: &str) -> Option<Value> {
        let properties = "org.freedesktop.DBus.Properties";
        let answer = self.call(owner, path, properties, "Get", &(interface, name)).ok()?;
        Some(answer[0].clone())
    }

    /// What something on this bus answers: a list of values, or why there is none.
    pub fn call<B: Serialize + DynamicType>(
        &self,
        owner: &str,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<Value, String> {
        let asked = self.connection.call_method(Some(owner), path, Some(interface), method, body);
        self.wait(asked).map(|answer| body_of(&answer)).map_err(|error| error.to_string())
    }

    /// Hears what others on this bus say to each other, as far as one of these rules fits.
    pub(crate) fn listen(&self, rules: &[&str]) -> Heard {
        let heard = Heard::default();
        let into = Arc::clone(&heard);
        let address = self.address.clone();
        let mut messages = self.wait(async move {
            let connection = connect(&address).await;
            let (bus, place) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
            let kind = Some("org.freedesktop.DBus.Monitoring");
            let body = (rules, 0_u32);
            let asked = connection.call_method(Some(bus), place, kind, "BecomeMonitor", &body);
            asked.await.expect("a bus that can be listened to");
            MessageStream::from(connection)
        });
        self.runtime.spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                into.lock().unwrap_or_else(PoisonError::into_inner).push(message);
            }
        });
        heard
    }
}

/// What was said on a bus so far, in order.
pub(crate) type Heard = Arc<Mutex<Vec<Message>>>;

/// The values in a message.
pub(crate) fn body_of(message: &Message) -> Value {
    let body = message.body();
    let Ok(values) = body.deserialize::<Structure>() else { return json!([]) };
    values.fields().iter().map(plain).collect()
}

/// The same value without its types. What has no counterpart in JSON is left out.
fn plain(value: &Variant) -> Value {
    match value {
        Variant::U8(number) => (*number).into(),
        Variant::Bool(yes) => (*yes).into(),
        Variant::I16(number) => (*number).into(),
        Variant::U16(number) => (*number).into(),
        Variant::I32(number) => (*number).into(),
        Variant::U32(number) => (*number).into(),
        Variant::I64(number) => (*number).into(),
        Variant::U64(number) => (*number).into(),
        Variant::F64(number) => (*number).into(),
        Variant::Str(text) => text.as_str().into(),
        Variant::Signature(signature) => signature.to_string().into(),
        Variant::ObjectPath(path) => path.as_str().into(),
        Variant::Variant(inner) => plain(inner),
        Variant::Array(list) => list.inner().iter().map(plain).collect(),
        Variant::Structure(list) => list.fields().iter().map(plain).collect(),
        Variant::Dict(members) => {
            let text = |key: &Variant| {
                let key = plain(key);
                key.as_str().map_or_else(|| key.to_string(), str::to_owned)
            };
            let members = members.iter().map(|(key, value)| (text(key), plain(value)));
            Value::Object(members.collect())
        }
        Variant::Fd(_) => Value::Null,
    }
}

/// The daemon of the bus at this place, whose settings lie beside it.
fn daemon(home: &Home, place: &Path) -> Option<Process> {
    // What it starts lives in its environment.
    let mut daemon = home.command(Path::new("dbus-daemon"));
    daemon.arg(format!("--config-file={}", place.with_extension("conf").display()));
    daemon.args(["--nofork", "--nopidfile", "--print-address=1"]);
    Process::told(daemon, &place.with_extension("log")).ok().map(|(daemon, _)| daemon)
}

/// One more connection to a bus.
async fn connect(address: &str) -> Connection {
    Builder::address(address).build().await.expect("on its bus")
}
