//! The end of the program. It must not come before all that was on its way is home.
//!
//! Read next: `start`, which asks for it; `display`, which waits for it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tauri::{AppHandle, Manager, Runtime};

/// How long the desktop may take to let the program go once all of its own is done.
const FAREWELL: Duration = Duration::from_secs(5);

/// Whether all that was on its way has come home, so that the process may end.
#[derive(Default)]
pub(crate) struct AtHome(pub(crate) AtomicBool);

/// Ends the process when it is dropped, however the loop ended.
pub(crate) struct Last<R: Runtime>(AppHandle<R>);

impl<R: Runtime> Last<R> {
    pub(crate) fn of(app: &AppHandle<R>) -> Self {
        Self(app.clone())
    }
}

impl<R: Runtime> Drop for Last<R> {
    fn drop(&mut self) {
        self.0.state::<AtHome>().0.store(true, Ordering::Release);
        self.0.exit(0);
        // A desktop that hangs may keep its own thread for ever; nothing of ours is left to be done.
        std::thread::spawn(|| {
            std::thread::sleep(FAREWELL);
            tracing::warn!("the desktop does not let go; ending without it");
            std::process::exit(0);
        });
    }
}
