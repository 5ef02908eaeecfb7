//! The desktop as the engine's actor sees it. Every call is handed to the main thread, where window
//! systems want to be spoken to.

use std::path::PathBuf;

use lamplighter_core::{
    desk::{View, menu::Item, notices::Shown},
    health::Shape,
};
use lamplighter_engine::desk::Shell;
use tauri::{AppHandle, Manager, Runtime};
use tauri_plugin_autostart::ManagerExt;
use tauri_plugin_deep_link::DeepLinkExt;

use crate::{demo::Demo, notices, page, start, tray};

/// What links to us begin with, as `tauri.conf.json` has it.
const SCHEME: &str = "dev.lamplighter";

/// See the [module](self).
pub(crate) struct Window<R: Runtime> {
    app: AppHandle<R>,
    demo: Option<Demo>,
    at_login: Option<bool>,
}

impl<R: Runtime> Window<R> {
    pub(crate) fn new(app: AppHandle<R>) -> Self {
        let at_login = app.autolaunch().is_enabled().ok();
        Self { app, demo: None, at_login }
    }

    fn main(&self, what: impl FnOnce(&AppHandle<R>) + Send + 'static) {
        let app = self.app.clone();
        // A program that is about to end shows nothing more.
        let _ = self.app.run_on_main_thread(move || what(&app));
    }
}

impl<R: Runtime> Shell for Window<R> {
    fn show_view(&mut self, view: &View) -> bool {
        self.app.state::<page::Place>().send(view)
    }

    fn set_menu(&mut self, menu: &[Item]) {
        let menu = menu.to_vec();
        self.main(move |app| tray::set_menu(app, menu));
    }

    fn set_lamp(&mut self, shape: Shape, sentence: &str) {
        let sentence = sentence.to_owned();
        self.main(move |app| tray::set_lamp(app, shape, sentence));
    }

    fn notify(&mut self, notice: &Shown) {
        notices::show(&self.app, notice);
    }

    fn withdraw(&mut self, number: u32) {
        notices::withdraw(&self.app, number);
    }

    fn open_page(&mut self) {
        self.app.state::<page::Place>().opens();
        self.main(page::open);
    }

    fn close_page(&mut self) {
        self.main(page::close);
    }

    fn is_page_open(&self) -> bool {
        self.app.state::<page::Place>().is_open()
    }

    fn page_is_ready(&mut self) {
        self.main(page::ready);
    }

    fn pin(&mut self, on: bool) {
        self.main(move |app| page::pin(app, on));
    }

    fn hold_page(&mut self, on: bool) {
        self.app.state::<page::Place>().hold(on);
    }

    fn start_at_login(&self) -> Option<bool> {
        self.at_login
    }

    fn set_start_at_login(&mut self, on: bool) -> Result<(), String> {
        let start = self.app.autolaunch();
        if start.is_enabled().unwrap_or(false) != on {
            let done = if on { start.enable() } else { start.disable() };
            done.map_err(|fault| format!("The start at login can't be changed: {fault}"))?;
        }
        self.at_login = Some(on);
        Ok(())
    }

    fn forget_links(&mut self) -> Result<(), String> {
        // On Linux that is a file of ours, on macOS the app's own manifest.
        if !cfg!(windows) || !start::may_register() {
            return Ok(());
        }
        self.app.deep_link().unregister(SCHEME).map_err(|fault| fault.to_string())
    }

    fn start_demo(&mut self) -> Result<PathBuf, String> {
        let demo = Demo::start().map_err(|fault| format!("The demo can't be started: {fault}"))?;
        let home = demo.home().to_owned();
        self.demo = Some(demo);
        Ok(home)
    }

    fn end_demo(&mut self) {
        self.demo = None;
    }

    fn quit(&mut self) {
        self.app.exit(0);
    }
}
