//! The icons in the tray as a panel gets them: `StatusNotifierItem`, and the menu behind each.
//!
//! It must not know whose icon it is. A real click on the panel is `Desktop::click`; what an icon is
//! asked here is what any panel may ask. Where to read next: `panel`; the freedesktop.org text
//! "`StatusNotifierItem`" and `com.canonical.dbusmenu`.

use serde_json::Value;
use zbus::Variant;

use super::{Desktop, panel::WATCHER};
use crate::{bus::Bus, process::until};

const ITEM: &str = "org.kde.StatusNotifierItem";
const MENU: &str = "com.canonical.dbusmenu";

/// An icon in the tray.
#[derive(Debug)]
pub struct Item<'a> {
    bus: &'a Bus,
    owner: String,
    path: String,
}

/// A picture, row by row from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icon {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Alpha, red, green, blue of each.
    pub pixels: Vec<[u8; 4]>,
}

/// A line of a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// By what the menu knows it.
    id: i32,
    /// What is written there; nothing for a line between groups.
    pub label: String,
    /// Whether it can be chosen.
    pub enabled: bool,
    /// Whether it is ticked, for one that can be.
    pub ticked: Option<bool>,
    /// The menu that it opens.
    pub below: Vec<Self>,
}

impl Desktop<'_> {
    /// The icons in the tray now.
    pub fn items(&self) -> Vec<Item<'_>> {
        let name = "RegisteredStatusNotifierItems";
        let items = self.bus().property(WATCHER, "/StatusNotifierWatcher", WATCHER, name);
        let items = items.as_ref().and_then(Value::as_array).into_iter().flatten();
        let items = items.filter_map(Value::as_str).map(|item| {
            // Some watchers write an `@` in between.
            let (owner, path) = item.split_once('/').unwrap_or((item, "StatusNotifierItem"));
            let owner = owner.trim_end_matches('@').to_owned();
            Item { bus: self.bus(), owner, path: format!("/{path}") }
        });
        items.collect()
    }

    /// The icon with this id, once it is there.
    pub fn until_item(&self, id: &str) -> Item<'_> {
        until(&format!("{id} is in the tray"), || {
            self.items().into_iter().find(|item| item.text("Id") == id)
        })
    }
}

impl Item<'_> {
    /// What the icon is named.
    pub fn title(&self) -> String {
        self.text("Title")
    }

    /// `Active`, `Passive` or `NeedsAttention`.
    pub fn status(&self) -> String {
        self.text("Status")
    }

    /// What is shown beside the mouse: a title, a sentence.
    pub fn tooltip(&self) -> (String, String) {
        let told = self.property("ToolTip");
        let text = |index: usize| told[index].as_str().unwrap_or_default().to_owned();
        (text(2), text(3))
    }

    /// The largest of its pictures; nothing for one that is only named.
    pub fn icon(&self) -> Option<Icon> {
        let told = self.property("IconPixmap");
        let icons = told.as_array().into_iter().flatten().filter_map(|one| {
            let size = |index: usize| usize::try_from(one[index].as_u64()?).ok();
            let bytes = one[2].as_array()?.iter().filter_map(Value::as_u64);
            let bytes: Vec<u8> = bytes.filter_map(|byte| u8::try_from(byte).ok()).collect();
            let pixels = bytes.as_chunks::<4>().0.to_vec();
            Some(Icon { width: size(0)?, height: size(1)?, pixels })
        });
        icons.max_by_key(|icon| icon.width)
    }

    /// A left click, here on the screen.
    pub fn activate(&self, place: (i32, i32)) {
        self.ask("Activate", place);
    }

    /// A click with the middle button.
    pub fn secondary_activate(&self, place: (i32, i32)) {
        self.ask("SecondaryActivate", place);
    }

    /// Its menu now.
    pub fn menu(&self) -> Vec<Entry> {
        let menu = self.property("Menu");
        let menu = menu.as_str().expect("an icon with a menu");
        // As panels do before they show one.
        drop(self.bus.call(&self.owner, menu, MENU, "AboutToShow", &(0,)));
        let all: &[&str] = &[];
        let told = self.bus.call(&self.owner, menu, MENU, "GetLayout", &(0, -1, all));
        entries(&told.unwrap_or_else(|why| panic!("no menu: {why}"))[1])
    }

    /// Chooses from its menu, from the top down to the last of these lines.
    pub fn choose(&self, lines: &[&str]) {
        let mut entries = self.menu();
        let mut chosen = None;
        for line in lines {
            let place = entries.iter().position(|entry| entry.label == *line);
            let place = place.unwrap_or_else(|| panic!("no line {line:?} in {entries:#?}"));
            let entry = entries.swap_remove(place);
            assert!(entry.enabled, "{line:?} can't be chosen now");
            entries.clone_from(&entry.below);
            chosen = Some(entry.id);
        }
        let menu = self.property("Menu");
        let body = (chosen.expect("a line"), "clicked", Variant::from(0), 0_u32);
        let told = menu.as_str().expect("an icon with a menu");
        let asked = self.bus.call(&self.owner, told, MENU, "Event", &body);
        assert!(asked.is_ok(), "{lines:?}: {asked:?}");
    }

    fn ask(&self, method: &str, place: (i32, i32)) {
        let asked = self.bus.call(&self.owner, &self.path, ITEM, method, &place);
        assert!(asked.is_ok(), "{method}: {asked:?}");
    }

    fn text(&self, name: &str) -> String {
        self.property(name).as_str().unwrap_or_default().to_owned()
    }

    fn property(&self, name: &str) -> Value {
        self.bus.property(&self.owner, &self.path, ITEM, name).unwrap_or_default()
    }
}

/// The lines below one: id, properties, lines.
fn entries(node: &Value) -> Vec<Entry> {
    let nodes = node[2].as_array().into_iter().flatten();
    let seen = nodes.filter(|node| node[1]["visible"] != false);
    seen.map(|node| {
        let properties = &node[1];
        // One underscore stands for a key, two for one that is written.
        let label = properties["label"].as_str().unwrap_or_default().replace("__", "\0");
        let ticks = properties["toggle-type"].as_str().is_some_and(|kind| !kind.is_empty());
        Entry {
            id: node[0].as_i64().and_then(|id| i32::try_from(id).ok()).expect("an id"),
            label: label.replace('_', "").replace('\0', "_"),
            enabled: properties["enabled"] != false,
            ticked: ticks.then(|| properties["toggle-state"] == 1),
            below: entries(node),
        }
    })
    .collect()
}
