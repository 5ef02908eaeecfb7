//! The process that draws the window's page: ended with the page, and replaced when it dies or hangs.

use std::time::Duration;

use tauri::{AppHandle, Manager, Runtime, WebviewWindow};
use webkit2gtk::{WebProcessTerminationReason, WebView, WebViewExt};

use super::{LABEL, later, revive};

/// A process that has not answered for so long after it was found not to answer hangs.
const HANGS: Duration = Duration::from_secs(5);

/// Looks after the process of this window's pages from now on.
pub(super) fn watch<R: Runtime>(app: &AppHandle<R>, window: &WebviewWindow<R>) {
    let (for_death, for_hang) = (app.clone(), app.clone());
    with(window, move |view| {
        view.connect_web_process_terminated(move |_, why| {
            // What is ended by us is meant to be.
            if why != WebProcessTerminationReason::TerminatedByApi {
                // Not from within its own word: it begins a new one only after that.
                later(&for_death, Duration::ZERO, revive);
            }
        });
        view.connect_is_web_process_responsive_notify(move |view| {
            if !view.is_web_process_responsive() {
                later(&for_hang, HANGS, give_up);
            }
        });
    });
}

/// Ends the process, and so lets the page's memory go.
pub(super) fn end<R: Runtime>(window: &WebviewWindow<R>) {
    with(window, WebViewExt::terminate_web_process);
}

/// Replaces the page if its process still does not answer.
fn give_up<R: Runtime>(app: &AppHandle<R>) {
    let Some(window) = app.get_webview_window(LABEL) else { return };
    let app = app.clone();
    with(&window, move |view| {
        if !view.is_web_process_responsive() {
            view.terminate_web_process();
            later(&app, Duration::ZERO, revive);
        }
    });
}

fn with<R: Runtime>(window: &WebviewWindow<R>, look: impl FnOnce(&WebView) + Send + 'static) {
    if let Err(fault) = window.with_webview(move |view| look(&view.inner())) {
        tracing::warn!(%fault, "the window's engine can't be spoken to");
    }
}
