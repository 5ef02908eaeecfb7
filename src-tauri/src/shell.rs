//! The desktop as the engine's actor sees it. Every call is handed to the main thread, where window
//! systems want to be spoken to.

use std::path::PathBuf;

use lamplighter_core::{
    desk::{View, menu::Item, notices::Shown},
    health::Shape,
};
use lamplighter_engine::desk::Shell;
use tauri::{AppHandle, Manager, Runtime};

use crate::{demo::Demo, desktop, notices, page, tray};

/// See the [module](self).
pub(crate) struct Window<R: Runtime> {
    app: AppHandle<R>,
    demo: Option<Demo>,
    /// Started on the demo's servers: nothing of the person's is asked or touched.
    demo_alone: bool,
    at_login: Option<bool>,
}

impl<R: Runtime> Window<R> {
    pub(crate) fn new(app: AppHandle<R>, demo_alone: bool) -> Self {
        let at_login = if demo_alone { None } else { desktop::starts_at_login(&app) };
        Self { app, demo: None, demo_alone, at_login }
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
        desktop::start_at_login(&self.app, on)
            .map_err(|fault| format!("The start at login can't be changed: {fault}"))?;
        self.at_login = Some(on);
        Ok(())
    }

    fn serve_links(&mut self) -> Result<(), String> {
        desktop::serve_links(&self.app)
    }

    fn forget_links(&mut self) -> Result<(), String> {
        desktop::forget_links(&self.app)
    }

    fn start_demo(&mut self) -> Result<PathBuf, String> {
        let demo = Demo::start().map_err(|fault| format!("The demo can't be started: {fault}"))?;
        let home = demo.home().to_owned();
        if self.demo_alone {
            self.app.state::<page::Place>().keep_in(home.join("window"));
        }
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
