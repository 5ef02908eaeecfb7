//! A display that goes away: a logout, or a compositor or X server that crashes.
//!
//! GDK ends the whole process at that moment, and with it the answer to a renewal that is in the air.
//! It first logs why. That line holds GDK's thread until the keeper is done; then GDK goes on. It must
//! not hold any other thread, and nothing but these lines. Read next: `start`.

use std::{sync::atomic::Ordering, thread, time::Duration};

use gio::glib;
use lamplighter_engine::{
    desk::{Bell, Tick},
    output,
};
use tauri::{AppHandle, Manager, Runtime};

use crate::end::AtHome;

/// How often it is seen whether the keeper is done.
const LOOK: Duration = Duration::from_millis(20);
/// What GDK 3 says before it ends the process: the first two for X, by its version, then for Wayland.
const LAST_WORDS: [&str; 6] = [
    "Fatal IO error",
    "lost its connection to the display",
    "Lost connection to Wayland compositor",
    "Error reading events from display",
    "Error flushing display",
    "dispatching to Wayland display",
];

/// From now on a display that goes away ends the program like a person does: what is in the air comes
/// home first. To be called once the desktop's loop runs: only that says when it has.
pub(crate) fn outlive<R: Runtime>(app: &AppHandle<R>) {
    let app = app.clone();
    // GDK logs by fields, which no handler of a domain hears.
    glib::log_set_writer_func(move |level, fields| {
        let of = |key| fields.iter().find(|field| field.key() == key)?.value_str();
        if of("GLIB_DOMAIN") == Some("Gdk") && of("MESSAGE").is_some_and(are_last) {
            wait(&app);
        }
        glib::log_writer_default(level, fields)
    });
}

fn are_last(words: &str) -> bool {
    LAST_WORDS.iter().any(|last| words.contains(last))
}

fn wait<R: Runtime>(app: &AppHandle<R>) {
    tracing::warn!("the display has gone; ending once what is in the air is home");
    app.state::<Bell>().ring(Tick::End);
    while !app.state::<AtHome>().0.load(Ordering::Acquire) {
        thread::sleep(LOOK);
    }
    output::err().flush(Some(output::BRIEFLY));
}
