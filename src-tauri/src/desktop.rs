//! What the desktop knows of the program besides its windows: who starts it at login, and who is handed
//! its links. On Linux these are files of the engine's; elsewhere plugins know how.

use tauri::{AppHandle, Runtime};

#[cfg(target_os = "linux")]
pub(crate) use by_files::{serve_links, start_at_login, starts_at_login};
#[cfg(not(target_os = "linux"))]
pub(crate) use by_plugins::{serve_links, start_at_login, starts_at_login};

/// Started without showing anything but the icon: at login.
pub(crate) const HIDDEN: &str = "--hidden";

/// Links come here no more, where that is not a file of ours.
#[cfg(not(windows))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(crate) fn forget_links<R: Runtime>(_app: &AppHandle<R>) -> Result<(), String> {
    Ok(())
}

/// Links come here no more, where that is not a file of ours.
#[cfg(windows)]
pub(crate) fn forget_links<R: Runtime>(app: &AppHandle<R>) -> Result<(), String> {
    use tauri_plugin_deep_link::DeepLinkExt;
    /// What links to us begin with, as `tauri.conf.json` has it.
    const SCHEME: &str = "dev.lamplighter";
    if by_plugins::is_built_here() {
        return Ok(());
    }
    app.deep_link().unregister(SCHEME).map_err(|fault| fault.to_string())
}

#[cfg(target_os = "linux")]
mod by_files {
    use std::path::PathBuf;

    use lamplighter_engine::{desktop_entries::DesktopEntries, paths::Env};
    use tauri::{AppHandle, Manager, Runtime};

    use super::HIDDEN;

    /// This program's entries. An `AppImage` is started by its own file, not by what is mounted from it.
    fn entries<R: Runtime>(app: &AppHandle<R>) -> Result<DesktopEntries, String> {
        let image = app.env().appimage.map(PathBuf::from);
        let program = image.map_or_else(std::env::current_exe, Ok);
        let program = program.map_err(|fault| fault.to_string())?;
        DesktopEntries::of(&Env::Process, &program).ok_or_else(|| "there is no home folder".into())
    }

    /// Whether it starts with the desktop.
    pub(crate) fn starts_at_login<R: Runtime>(app: &AppHandle<R>) -> Option<bool> {
        entries(app).ok().map(|entries| entries.starts_at_login())
    }

    /// Sets that.
    pub(crate) fn start_at_login<R: Runtime>(app: &AppHandle<R>, on: bool) -> Result<(), String> {
        entries(app)?.start_at_login(on, HIDDEN).map_err(|fault| fault.to_string())
    }

    /// Links come here from now on.
    pub(crate) fn serve_links<R: Runtime>(app: &AppHandle<R>) -> Result<(), String> {
        if !entries(app)?.serve_links().map_err(|fault| fault.to_string())? {
            tracing::info!("no links come to a program that runs from where it was built");
        }
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod by_plugins {
    use tauri::{AppHandle, Runtime};
    use tauri_plugin_autostart::ManagerExt;

    /// Whether it starts with the desktop.
    pub(crate) fn starts_at_login<R: Runtime>(app: &AppHandle<R>) -> Option<bool> {
        app.autolaunch().is_enabled().ok()
    }

    /// Sets that.
    pub(crate) fn start_at_login<R: Runtime>(app: &AppHandle<R>, on: bool) -> Result<(), String> {
        let start = app.autolaunch();
        if start.is_enabled().unwrap_or(false) == on {
            return Ok(());
        }
        let done = if on { start.enable() } else { start.disable() };
        done.map_err(|fault| fault.to_string())
    }

    /// Links come here from now on. On macOS the app's own manifest says so.
    pub(crate) fn serve_links<R: Runtime>(app: &AppHandle<R>) -> Result<(), String> {
        #[cfg(windows)]
        if !is_built_here() {
            use tauri_plugin_deep_link::DeepLinkExt;
            return app.deep_link().register_all().map_err(|fault| fault.to_string());
        }
        let _ = app;
        Ok(())
    }

    /// A program run from where it was built leaves no entry behind.
    #[cfg(windows)]
    pub(super) fn is_built_here() -> bool {
        std::env::current_exe().ok().is_some_and(|exe| {
            let mut folders = exe.ancestors();
            folders.any(|folder| folder.join("CACHEDIR.TAG").exists())
        })
    }
}
