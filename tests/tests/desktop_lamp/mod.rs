//! An icon in the tray that is no program of ours, so that what reads icons can be examined.
//!
//! It must not do anything: it notes what is done to it. Where to read next: `desktop`.

#![expect(
    clippy::unused_self,
    clippy::used_underscore_binding,
    reason = "methods on a bus have the arguments that it says, and are methods"
)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use lamplighter_tests::desktop::Desktop;
use zbus::{ObjectPath, Variant};

/// An icon as a program puts it into the tray: red, with a menu of three lines.
struct Lamp(Seen);

/// The menu behind it.
struct Menu(Seen);

/// Width, height, and the pixels as alpha, red, green, blue.
type Pixmap = (i32, i32, Vec<u8>);

/// What was done to them, in order.
pub(crate) type Seen = Arc<Mutex<Vec<String>>>;

#[zbus::interface(name = "org.kde.StatusNotifierItem")]
impl Lamp {
    #[zbus(property)]
    fn id(&self) -> &'static str {
        "lamp"
    }

    #[zbus(property)]
    fn category(&self) -> &'static str {
        "ApplicationStatus"
    }

    #[zbus(property)]
    fn status(&self) -> &'static str {
        "Active"
    }

    #[zbus(property)]
    fn title(&self) -> &'static str {
        "A lamp"
    }

    #[zbus(property)]
    fn icon_name(&self) -> &'static str {
        ""
    }

    #[zbus(property)]
    fn icon_pixmap(&self) -> Vec<Pixmap> {
        vec![(16, 16, [255, 0, 0, 0].repeat(256)), (32, 32, [255, 255, 0, 0].repeat(1024))]
    }

    #[zbus(property)]
    fn tool_tip(&self) -> (String, Vec<Pixmap>, String, String) {
        (String::new(), Vec::new(), "Lamp".to_owned(), "It is lit".to_owned())
    }

    #[zbus(property)]
    fn item_is_menu(&self) -> bool {
        false
    }

    #[zbus(property)]
    fn menu(&self) -> ObjectPath<'static> {
        ObjectPath::from_static_str_unchecked("/Menu")
    }

    fn activate(&self, x: i32, y: i32) {
        note(&self.0, format!("activated at {x}, {y}"));
    }

    fn secondary_activate(&self, x: i32, y: i32) {
        note(&self.0, format!("activated otherwise at {x}, {y}"));
    }
}

type Properties = HashMap<&'static str, Variant<'static>>;
/// Id, properties, and the nodes below.
type Node = (i32, Properties, Vec<Variant<'static>>);

#[zbus::interface(name = "com.canonical.dbusmenu")]
impl Menu {
    #[zbus(property)]
    fn version(&self) -> u32 {
        3
    }

    #[zbus(property)]
    fn status(&self) -> &'static str {
        "normal"
    }

    fn get_layout(&self, _parent: i32, _depth: i32, _names: Vec<String>) -> (u32, Node) {
        let node = |id: i32, properties: Properties, below: Vec<Variant<'static>>| -> Node {
            (id, properties, below)
        };
        let label = |text: &'static str| Properties::from([("label", text.into())]);
        let mut ticked = label("Start at _login");
        ticked.insert("toggle-type", "checkmark".into());
        ticked.insert("toggle-state", 1.into());
        let mut off = label("Pause");
        off.insert("enabled", false.into());
        let line = Properties::from([("type", "separator".into())]);
        let leaf = node(11, label("Reconnect…"), Vec::new());
        let slack = node(1, label("my__server"), vec![Variant::new(leaf)]);
        let rest = [(2, line), (3, ticked), (4, off)];
        let rest = rest.map(|(id, properties)| Variant::new(node(id, properties, Vec::new())));
        let mut all = vec![Variant::new(slack)];
        all.extend(rest);
        (1, node(0, Properties::new(), all))
    }

    fn about_to_show(&self, _id: i32) -> bool {
        false
    }

    fn event(&self, id: i32, kind: &str, _data: Variant<'_>, _time: u32) {
        note(&self.0, format!("{id} {kind}"));
    }
}

fn note(seen: &Seen, what: String) {
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

/// Whether something was done that begins like this.
pub(crate) fn was(seen: &Seen, what: &str) -> Option<()> {
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.iter().any(|one| one.starts_with(what)).then_some(())
}

/// Puts the lamp into the tray.
pub(crate) fn hang(desktop: &Desktop) -> Seen {
    let seen = Seen::default();
    let connection = desktop.bus().connection();
    desktop.bus().wait(async {
        let server = connection.object_server();
        server.at("/StatusNotifierItem", Lamp(Arc::clone(&seen))).await.expect("served");
        server.at("/Menu", Menu(Arc::clone(&seen))).await.expect("served");
    });
    let watcher = "org.kde.StatusNotifierWatcher";
    let name = connection.unique_name().expect("a name").to_string();
    let place = "/StatusNotifierWatcher";
    let method = "RegisterStatusNotifierItem";
    desktop.bus().call(watcher, place, watcher, method, &(name,)).expect("registered");
    seen
}
