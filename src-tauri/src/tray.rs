//! The icon in the panel and its menu: sets what it is told, and says what was clicked.
//!
//! That there is no panel yet is normal: it is waited for. Everything here runs in the main thread.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lamplighter_core::{
    desk::{Act, menu::Item},
    health::Shape,
    text,
};
use lamplighter_engine::{
    desk::{Bell, Tick},
    output,
};
use tauri::{
    AppHandle, Manager, Runtime,
    image::Image,
    menu::{CheckMenuItem, IsMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu},
    tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent},
};

use crate::page::Place;

const ID: &str = "lamplighter";
/// How soon a panel that was not there is looked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// The icon, once there is a panel, and what it shows or is to show.
#[derive(Default)]
pub(crate) struct Icon(Mutex<State>);

#[derive(Default)]
struct State {
    icon: Option<Box<dyn std::any::Any + Send>>,
    lamp: Option<(Shape, String)>,
    menu: Vec<Item>,
    /// What each line of the menu does.
    acts: BTreeMap<String, Act>,
    /// That there is no panel was said.
    missed: bool,
}

/// Puts the icon into the panel, now or when one comes; `seen`: a window is open meanwhile anyway. A
/// panel that hangs would keep the main thread for ever, so another one asks it first.
#[cfg(target_os = "linux")]
pub(crate) fn appear<R: Runtime>(app: &AppHandle<R>, bell: &Bell, seen: bool) {
    use lamplighter_engine::{panel, paths::Env};
    let (handle, bell) = (app.clone(), bell.clone());
    let watched = panel::watch(Env::Process, move |news| {
        let (app, bell) = (handle.clone(), bell.clone());
        let _ = handle.run_on_main_thread(move || match news {
            panel::Panel::Takes => put(&app, &bell, seen),
            panel::Panel::Missing(why) => miss(&app, &why, seen),
            panel::Panel::Gone => {
                with(&app, |state| state.icon = None);
                drop(app.remove_tray_by_id(ID));
            }
        });
    });
    if let Err(fault) = watched {
        tracing::error!(%fault, "there is no icon");
    }
}

/// Puts the icon into the panel.
#[cfg(not(target_os = "linux"))]
pub(crate) fn appear<R: Runtime>(app: &AppHandle<R>, bell: &Bell, seen: bool) {
    put(app, bell, seen);
}

fn put<R: Runtime>(app: &AppHandle<R>, bell: &Bell, seen: bool) {
    match build(app, bell) {
        Ok(icon) => {
            with(app, |state| state.icon = Some(Box::new(icon)));
            refresh(app);
        }
        Err(fault) => {
            miss(app, &fault.to_string(), seen);
            let (app, bell) = (app.clone(), bell.clone());
            std::thread::spawn(move || {
                std::thread::sleep(AGAIN);
                let again = app.clone();
                let _ = app.run_on_main_thread(move || {
                    if again.tray_by_id(ID).is_none() {
                        put(&again, &bell, seen);
                    }
                });
            });
        }
    }
}

/// Says once that there is no panel.
fn miss<R: Runtime>(app: &AppHandle<R>, why: &str, seen: bool) {
    if with(app, |state| std::mem::replace(&mut state.missed, true)) {
        return;
    }
    tracing::info!(why, "no panel takes the icon yet");
    if !seen {
        output::err().line(
            "lamplighter-tray: no panel shows icons yet; waiting for one. Start it again to open its \
             window.",
        );
    }
}

fn build<R: Runtime>(app: &AppHandle<R>, bell: &Bell) -> tauri::Result<TrayIcon<R>> {
    let (for_menu, for_click) = (bell.clone(), bell.clone());
    let shape = with(app, |state| state.lamp.as_ref().map_or(Shape::Hollow, |lamp| lamp.0));
    TrayIconBuilder::with_id(ID)
        .icon(picture(shape)?)
        .icon_as_template(cfg!(target_os = "macos"))
        .menu(&Menu::new(app)?)
        .show_menu_on_left_click(false)
        .on_menu_event(move |app, event| {
            let act = with(app, |state| state.acts.get(event.id().as_ref()).cloned());
            if let Some(act) = act {
                for_menu.ring(Tick::Act(act, None));
            }
        })
        .on_tray_icon_event(move |icon, event| {
            let TrayIconEvent::Click { button, button_state, position, .. } = event else { return };
            if button == MouseButton::Left && button_state == MouseButtonState::Up {
                let place = icon.app_handle().state::<Place>();
                place.anchor_at(position);
                let act = if place.is_open() { Act::Close } else { Act::Open };
                if !place.was_just_closed() {
                    for_click.ring(Tick::Act(act, None));
                }
            }
        })
        .build(app)
}

/// The lamp, and the sentence beside it.
pub(crate) fn set_lamp<R: Runtime>(app: &AppHandle<R>, shape: Shape, sentence: String) {
    with(app, |state| state.lamp = Some((shape, sentence)));
    refresh_lamp(app);
}

/// The menu.
pub(crate) fn set_menu<R: Runtime>(app: &AppHandle<R>, menu: Vec<Item>) {
    with(app, |state| state.menu = menu);
    refresh_menu(app);
}

fn refresh<R: Runtime>(app: &AppHandle<R>) {
    refresh_lamp(app);
    refresh_menu(app);
}

fn refresh_lamp<R: Runtime>(app: &AppHandle<R>) {
    let lamp = with(app, |state| state.lamp.clone());
    let (Some(icon), Some((shape, sentence))) = (app.tray_by_id(ID), lamp) else { return };
    let set = || {
        icon.set_icon(Some(picture(shape)?))?;
        icon.set_icon_as_template(cfg!(target_os = "macos"))?;
        icon.set_tooltip(Some(tooltip(&sentence)))
    };
    if let Err(fault) = set() {
        tracing::warn!(%fault, "the lamp can't be set");
    }
}

/// On Linux a panel reads it as markup, says the specification of status notifier items.
fn tooltip(sentence: &str) -> String {
    let text = format!("Lamplighter: {sentence}");
    if cfg!(target_os = "linux") { text::for_markup(&text) } else { text }
}

fn refresh_menu<R: Runtime>(app: &AppHandle<R>) {
    let items = with(app, |state| state.menu.clone());
    let Some(icon) = app.tray_by_id(ID) else { return };
    let mut acts = BTreeMap::new();
    match translated(app, &items, &mut acts).and_then(|menu| icon.set_menu(Some(menu))) {
        Ok(()) => with(app, |state| state.acts = acts),
        Err(fault) => tracing::warn!(%fault, "the menu can't be set"),
    }
}

fn with<R: Runtime, T>(app: &AppHandle<R>, look: impl FnOnce(&mut State) -> T) -> T {
    look(&mut app.state::<Icon>().0.lock().unwrap_or_else(PoisonError::into_inner))
}

fn translated<R: Runtime>(
    app: &AppHandle<R>,
    items: &[Item],
    acts: &mut BTreeMap<String, Act>,
) -> tauri::Result<Menu<R>> {
    let menu = Menu::new(app)?;
    for item in items {
        menu.append(one(app, item, acts)?.as_ref())?;
    }
    Ok(menu)
}

fn one<R: Runtime>(
    app: &AppHandle<R>,
    item: &Item,
    acts: &mut BTreeMap<String, Act>,
) -> tauri::Result<Box<dyn IsMenuItem<R>>> {
    let mut name = |act: &Act| {
        let name = acts.len().to_string();
        acts.insert(name.clone(), act.clone());
        name
    };
    Ok(match item {
        Item::Line { label, act: Some(act) } => {
            Box::new(MenuItem::with_id(app, name(act), plain(label), true, None::<&str>)?)
        }
        Item::Line { label, act: None } => {
            Box::new(MenuItem::new(app, plain(label), false, None::<&str>)?)
        }
        Item::Tick { label, on, act } => {
            Box::new(CheckMenuItem::with_id(app, name(act), plain(label), true, *on, None::<&str>)?)
        }
        Item::Sub { label, items } => {
            let sub = Submenu::new(app, plain(label), true)?;
            for item in items {
                sub.append(one(app, item, acts)?.as_ref())?;
            }
            Box::new(sub)
        }
        Item::Separator => Box::new(PredefinedMenuItem::separator(app)?),
    })
}

/// A menu takes `&` for a mark; here it is a letter.
fn plain(label: &str) -> String {
    label.replace('&', "&&")
}

fn picture(shape: Shape) -> tauri::Result<Image<'static>> {
    macro_rules! drawn {
        ($name:literal) => {
            if cfg!(target_os = "macos") {
                include_bytes!(concat!("../../icons/tray/", $name, "-template.png")).as_slice()
            } else {
                match panel().as_deref() {
                    Some("light") => {
                        include_bytes!(concat!("../../icons/tray/", $name, "-light.png")).as_slice()
                    }
                    Some("dark") => {
                        include_bytes!(concat!("../../icons/tray/", $name, "-dark.png")).as_slice()
                    }
                    _ => include_bytes!(concat!("../../icons/tray/", $name, "-any.png")).as_slice(),
                }
            }
        };
    }
    Image::from_bytes(match shape {
        Shape::Lit => drawn!("lit"),
        Shape::Half => drawn!("half"),
        Shape::Alert => drawn!("alert"),
        Shape::Hollow => drawn!("hollow"),
    })
}

/// No system says how light its panel is; whoever knows may: `light` or `dark`.
fn panel() -> Option<String> {
    std::env::var("LAMPLIGHTER_PANEL").ok()
}
