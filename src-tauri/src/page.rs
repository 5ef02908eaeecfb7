//! The window: made when it is first asked for, shown when its first frame is filled, and gone from the
//! screen when it is closed, with the memory of what it showed.
//!
//! On Linux a window is made once and only hidden; the process that draws it ends. The library of the
//! window's engine never lets a destroyed one go, and each would keep a descriptor. A process that dies
//! or hangs while the window is open is replaced: `process`. Everything here runs in the main thread.

#[cfg(target_os = "linux")]
mod process;

use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lamplighter_core::desk::View;
use tauri::{
    AppHandle, LogicalSize, Manager, PhysicalPosition, Runtime, WebviewUrl, WebviewWindow,
    WebviewWindowBuilder, WindowEvent, ipc::Channel,
};

const LABEL: &str = "page";
/// Where the page begins.
const START: &str = if cfg!(windows) { "http://tauri.localhost/" } else { "tauri://localhost" };
/// In logical pixels.
const SIZE: (f64, f64) = (420.0, 620.0);
/// How far it stays from the edges of the work area, in logical pixels.
const MARGIN: f64 = 8.0;
/// A click on the icon first takes the focus away, which closes the window, and then asks for it.
const JUST_CLOSED: Duration = Duration::from_millis(250);

/// How long a window manager may take to put a window on the screen.
const SETTLED: Duration = Duration::from_millis(150);
/// The smallest it can be made by hand, in logical pixels.
const LEAST: (f64, f64) = (320.0, 360.0);
/// What a window manager may put around it, in logical pixels: at the sides, above.
const FRAME: (f64, f64) = (4.0, 40.0);
/// A page that has not filled its first frame by then never will.
const LOADED: Duration = Duration::from_secs(20);
/// So many pages in a row that die or hang are replaced.
const REVIVALS: u8 = 3;
/// One that has lived for so long begins a new row.
const WELL: Duration = Duration::from_secs(60);

/// What is known of the window, whether it is there or not.
#[derive(Default)]
pub(crate) struct Place {
    channel: Mutex<Option<Channel<View>>>,
    /// Where the icon was clicked last, in physical pixels.
    anchor: Mutex<Option<PhysicalPosition<f64>>>,
    closed_at: Mutex<Option<Instant>>,
    open: AtomicBool,
    page: Mutex<Page>,
    pinned: AtomicBool,
    /// A sign-in runs: losing the focus to the browser must not close it.
    held: AtomicBool,
    /// Where the window's engine keeps what it keeps, if not where the desktop wants it.
    folder: Mutex<Option<PathBuf>>,
}

/// What is in the window.
#[derive(Default)]
struct Page {
    stage: Stage,
    /// How many there were, so that one is not taken for the next.
    number: u64,
    made_at: Option<Instant>,
    /// How many in a row had to be replaced.
    revivals: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing.
    #[default]
    Gone,
    /// A page that has not filled its first frame.
    Loads,
    /// A page on the screen.
    Shown,
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

    /// What the window's engine keeps goes into this folder, and not where the desktop wants it.
    pub(crate) fn keep_in(&self, folder: PathBuf) {
        *lock(&self.folder) = Some(folder);
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

    fn stage(&self) -> Stage {
        lock(&self.page).stage
    }

    /// A new page is being made; its number.
    fn loads(&self) -> u64 {
        let mut page = lock(&self.page);
        page.stage = Stage::Loads;
        page.number += 1;
        page.made_at = Some(Instant::now());
        page.number
    }

    /// Whether one more page may take the place of one that is dead.
    fn may_revive(&self) -> bool {
        let mut page = lock(&self.page);
        if page.made_at.is_some_and(|at| at.elapsed() > WELL) {
            page.revivals = 0;
        }
        page.revivals += 1;
        page.revivals <= REVIVALS
    }

    fn closed(&self) {
        self.open.store(false, Ordering::Relaxed);
        lock(&self.page).stage = Stage::Gone;
        *lock(&self.channel) = None;
        *lock(&self.closed_at) = Some(Instant::now());
    }
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens it, or brings it to the front.
pub(crate) fn open<R: Runtime>(app: &AppHandle<R>) {
    let place = app.state::<Place>();
    match (app.get_webview_window(LABEL), place.stage()) {
        (Some(window), Stage::Shown) => {
            let _ = window.unminimize();
            let _ = window.show();
            let _ = window.set_focus();
        }
        // It is shown when it is filled.
        (Some(_), Stage::Loads) => {}
        (Some(window), Stage::Gone) => load(app, &window),
        (None, _) => {
            place.opens();
            let number = place.loads();
            if let Err(fault) = make(app) {
                tracing::error!(%fault, "the window can't be made");
                place.closed();
                return;
            }
            expect_a_page(app, number);
        }
    }
}

fn make<R: Runtime>(app: &AppHandle<R>) -> tauri::Result<()> {
    let pinned = app.state::<Place>().pinned.load(Ordering::Relaxed);
    // No access to the clipboard beyond a click's: that is enough to copy, and must not read.
    let mut builder = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App("index.html".into()));
    if let Some(folder) = lock(&app.state::<Place>().folder).clone() {
        builder = builder.data_directory(folder);
    }
    let window = builder
        .title("Lamplighter")
        .inner_size(SIZE.0, SIZE.1)
        .visible(false)
        .decorations(pinned)
        .skip_taskbar(!pinned)
        .always_on_top(!pinned)
        .build()?;
    #[cfg(target_os = "linux")]
    process::watch(app, &window);
    let handle = app.clone();
    window.on_window_event(move |event| happened(&handle, event));
    Ok(())
}

/// Puts a new page into a window that is there.
fn load<R: Runtime>(app: &AppHandle<R>, window: &WebviewWindow<R>) {
    let place = app.state::<Place>();
    place.opens();
    let number = place.loads();
    let loads = START.parse().map_or_else(|_| window.reload(), |start| window.navigate(start));
    if let Err(fault) = loads {
        tracing::error!(%fault, "the page can't be loaded");
        close(app);
        return;
    }
    expect_a_page(app, number);
}

/// Replaces this page if it does not fill its first frame in time.
fn expect_a_page<R: Runtime>(app: &AppHandle<R>, number: u64) {
    later(app, LOADED, move |app| {
        let place = app.state::<Place>();
        let still = { lock(&place.page).number == number && place.stage() == Stage::Loads };
        if still {
            revive(app);
        }
    });
}

/// The page is dead, or hangs: a new one takes its place, unless the last ones died as well.
pub(crate) fn revive<R: Runtime>(app: &AppHandle<R>) {
    let place = app.state::<Place>();
    if place.stage() == Stage::Gone {
        return;
    }
    let Some(window) = app.get_webview_window(LABEL) else { return };
    if place.may_revive() {
        tracing::warn!("the window's page has died or hangs; here is a new one");
        load(app, &window);
    } else {
        tracing::error!("the window's pages die one after the other; it is closed");
        close(app);
    }
}

/// Does it in the main thread, after a while.
fn later<R: Runtime>(
    app: &AppHandle<R>,
    pause: Duration,
    what: impl FnOnce(&AppHandle<R>) + Send + 'static,
) {
    let app = app.clone();
    std::thread::spawn(move || {
        std::thread::sleep(pause);
        let then = app.clone();
        // A program that is about to end shows nothing more.
        let _ = app.run_on_main_thread(move || what(&then));
    });
}

/// Something happened to the window.
pub(crate) fn happened<R: Runtime>(app: &AppHandle<R>, event: &WindowEvent) {
    let place = app.state::<Place>();
    if let WindowEvent::Focused(false) = event {
        let stays = place.pinned.load(Ordering::Relaxed) || place.held.load(Ordering::Relaxed);
        if !stays && place.stage() == Stage::Shown {
            close(app);
        }
    }
    #[cfg(target_os = "linux")]
    if let WindowEvent::CloseRequested { api, .. } = event {
        api.prevent_close();
        close(app);
    }
    if let WindowEvent::Destroyed = event {
        place.closed();
    }
}

/// The first frame is filled: puts it where it belongs and shows it.
pub(crate) fn ready<R: Runtime>(app: &AppHandle<R>) {
    let Some(window) = app.get_webview_window(LABEL) else { return };
    let place = app.state::<Place>();
    {
        let mut page = lock(&place.page);
        // A page that was closed while it was being filled is not shown any more.
        if page.stage == Stage::Gone {
            return;
        }
        page.stage = Stage::Shown;
    }
    put(app, &window);
    let _ = window.show();
    let _ = window.set_focus();
    // Before it is on the screen some window managers give it no focus.
    later(app, SETTLED, |app| {
        if let Some(window) = app.get_webview_window(LABEL)
            && app.state::<Place>().stage() == Stage::Shown
        {
            let _ = window.set_focus();
        }
    });
}

/// Near where the icon was clicked, inside the work area and no larger; in its upper right corner where
/// nobody clicked. A window that stays keeps the place that it has.
fn put<R: Runtime>(app: &AppHandle<R>, window: &WebviewWindow<R>) {
    let place = app.state::<Place>();
    let pinned = place.pinned.load(Ordering::Relaxed);
    let anchor = *lock(&place.anchor);
    let monitor = anchor
        .and_then(|at| app.monitor_from_point(at.x, at.y).ok().flatten())
        .or_else(|| app.primary_monitor().ok().flatten());
    let Some(monitor) = monitor else { return };
    let (area, scale) = (monitor.work_area(), monitor.scale_factor());
    let room = area.size.to_logical::<f64>(scale);
    let frame = if pinned { FRAME } else { (0.0, 0.0) };
    let fits =
        |wanted: f64, room: f64, frame: f64| wanted.min(room - 2.0 * MARGIN - frame).max(1.0);
    let size =
        LogicalSize::new(fits(SIZE.0, room.width, frame.0), fits(SIZE.1, room.height, frame.1));
    let least = LogicalSize::new(LEAST.0.min(size.width), LEAST.1.min(size.height));
    let _ = window.set_min_size(Some(least));
    let _ = window.set_size(size);
    if pinned {
        return;
    }
    let margin = MARGIN * scale;
    let left = f64::from(area.position.x) + margin;
    let top = f64::from(area.position.y) + margin;
    let far = |begin: i32, length: u32, size: f64| {
        f64::from(begin) + f64::from(length) - size * scale - margin
    };
    let right = far(area.position.x, area.size.width, size.width);
    let bottom = far(area.position.y, area.size.height, size.height);
    let wanted = anchor.map_or((right, top), |at| (at.x - size.width * scale / 2.0, at.y));
    let x = wanted.0.clamp(left, right.max(left));
    let y = wanted.1.clamp(top, bottom.max(top));
    let _ = window.set_position(PhysicalPosition::new(x, y));
}

/// Closes it, and lets its memory go.
pub(crate) fn close<R: Runtime>(app: &AppHandle<R>) {
    let Some(window) = app.get_webview_window(LABEL) else { return };
    #[cfg(target_os = "linux")]
    {
        app.state::<Place>().closed();
        let _ = window.hide();
        process::end(&window);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = window.destroy();
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
