//! The window: made when it is first asked for, shown when its first frame is filled, and gone when
//! it is closed, since hiding gives no memory back.
//!
//! Everything here runs in the main thread.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lamplighter_core::desk::View;
use tauri::{
    AppHandle, Manager, PhysicalPosition, Runtime, WebviewUrl, WebviewWindow, WebviewWindowBuilder,
    WindowEvent, ipc::Channel,
};

const LABEL: &str = "page";
/// In logical pixels.
const SIZE: (f64, f64) = (420.0, 620.0);
/// How far it stays from the edges of the work area, in logical pixels.
const MARGIN: f64 = 8.0;
/// A click on the icon first takes the focus away, which closes the window, and then asks for it.
const JUST_CLOSED: Duration = Duration::from_millis(250);

/// How long a window manager may take to put a window on the screen.
const SETTLED: Duration = Duration::from_millis(150);

/// What is known of the window, whether it is there or not.
#[derive(Default)]
pub(crate) struct Place {
    channel: Mutex<Option<Channel<View>>>,
    /// Where the icon was clicked last, in physical pixels.
    anchor: Mutex<Option<PhysicalPosition<f64>>>,
    closed_at: Mutex<Option<Instant>>,
    open: AtomicBool,
    pinned: AtomicBool,
    /// A sign-in runs: losing the focus to the browser must not close it.
    held: AtomicBool,
}

impl Place {
    /// The page listens here from now on.
    pub(crate) fn subscribe(&self, channel: Channel<View>) {
        *lock(&self.channel) = Some(channel);
    }

    /// Sends a view to the page that listens; whether one does.
    pub(crate) fn send(&self, view: &View) -> bool {
        // A page that is just closing hears nothing.
        lock(&self.channel).as_ref().is_some_and(|channel| channel.send(view.clone()).is_ok())
    }

    /// It is about to be open.
    pub(crate) fn opens(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn hold(&self, on: bool) {
        self.held.store(on, Ordering::Relaxed);
    }

    pub(crate) fn anchor_at(&self, position: PhysicalPosition<f64>) {
        *lock(&self.anchor) = Some(position);
    }

    /// Whether it was closed by this very click.
    pub(crate) fn was_just_closed(&self) -> bool {
        lock(&self.closed_at).is_some_and(|at| at.elapsed() < JUST_CLOSED)
    }

    fn closed(&self) {
        self.open.store(false, Ordering::Relaxed);
        *lock(&self.channel) = None;
        *lock(&self.closed_at) = Some(Instant::now());
    }
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens it, or brings it to the front.
pub(crate) fn open<R: Runtime>(app: &AppHandle<R>) {
    if let Some(window) = app.get_webview_window(LABEL) {
        let _ = window.unminimize();
        let _ = window.show();
        let _ = window.set_focus();
        return;
    }
    let place = app.state::<Place>();
    place.opens();
    if let Err(fault) = make(app) {
        tracing::error!(%fault, "the window can't be made");
        place.closed();
    }
}

fn make<R: Runtime>(app: &AppHandle<R>) -> tauri::Result<()> {
    let pinned = app.state::<Place>().pinned.load(Ordering::Relaxed);
    // No access to the clipboard beyond a click's: that is enough to copy, and must not read.
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App("index.html".into()))
        .title("Lamplighter")
        .inner_size(SIZE.0, SIZE.1)
        .min_inner_size(320.0, 360.0)
        .visible(false)
        .decorations(pinned)
        .skip_taskbar(!pinned)
        .always_on_top(!pinned)
        .build()?;
    let handle = app.clone();
    window.on_window_event(move |event| happened(&handle, event));
    Ok(())
}

/// Something happened to the window.
pub(crate) fn happened<R: Runtime>(app: &AppHandle<R>, event: &WindowEvent) {
    let place = app.state::<Place>();
    if let WindowEvent::Focused(false) = event {
        let stays = place.pinned.load(Ordering::Relaxed) || place.held.load(Ordering::Relaxed);
        if !stays {
            close(app);
        }
    }
    if let WindowEvent::Destroyed = event {
        place.closed();
    }
}

/// The first frame is filled: puts it where it belongs and shows it.
pub(crate) fn ready<R: Runtime>(app: &AppHandle<R>) {
    let Some(window) = app.get_webview_window(LABEL) else { return };
    if !app.state::<Place>().pinned.load(Ordering::Relaxed) {
        put(app, &window);
    }
    let _ = window.show();
    let _ = window.set_focus();
    // Before it is on the screen some window managers give it no focus.
    let app = app.clone();
    std::thread::spawn(move || {
        std::thread::sleep(SETTLED);
        let again = app.clone();
        let _ = app.run_on_main_thread(move || {
            if let Some(window) = again.get_webview_window(LABEL) {
                let _ = window.set_focus();
            }
        });
    });
}

/// Near where the icon was clicked, inside the work area; in its upper right corner where nobody
/// clicked.
fn put<R: Runtime>(app: &AppHandle<R>, window: &WebviewWindow<R>) {
    let anchor = *lock(&app.state::<Place>().anchor);
    let monitor = anchor
        .and_then(|at| app.monitor_from_point(at.x, at.y).ok().flatten())
        .or_else(|| app.primary_monitor().ok().flatten());
    let Some(monitor) = monitor else { return };
    let (area, scale) = (monitor.work_area(), monitor.scale_factor());
    let margin = MARGIN * scale;
    let size = (SIZE.0 * scale, SIZE.1 * scale);
    let left = f64::from(area.position.x) + margin;
    let top = f64::from(area.position.y) + margin;
    let right = f64::from(area.position.x) + f64::from(area.size.width) - size.0 - margin;
    let bottom = f64::from(area.position.y) + f64::from(area.size.height) - size.1 - margin;
    let wanted = anchor.map_or((right, top), |at| (at.x - size.0 / 2.0, at.y));
    let x = wanted.0.clamp(left, right.max(left));
    let y = wanted.1.clamp(top, bottom.max(top));
    let _ = window.set_position(PhysicalPosition::new(x, y));
}

/// Closes it, and lets its memory go.
pub(crate) fn close<R: Runtime>(app: &AppHandle<R>) {
    if let Some(window) = app.get_webview_window(LABEL) {
        let _ = window.destroy();
    }
}

/// Makes it an ordinary window that stays, or the popover that goes with the focus.
pub(crate) fn pin<R: Runtime>(app: &AppHandle<R>, on: bool) {
    app.state::<Place>().pinned.store(on, Ordering::Relaxed);
    if let Some(window) = app.get_webview_window(LABEL) {
        let _ = window.set_decorations(on);
        let _ = window.set_skip_taskbar(!on);
        let _ = window.set_always_on_top(!on);
    }
}
