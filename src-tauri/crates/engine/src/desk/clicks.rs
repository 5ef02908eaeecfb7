//! What each click does. What the keeper is to do is core's to say; the rest is this desktop's.

use lamplighter_core::{
    desk::{Act, Answer, diagnostics},
    ids::StoreId,
};

use super::{
    Answered, Desk, Shell,
    leaving::{self, Leaving},
    show_file,
};
use crate::{
    browser,
    open::Place,
    paths::Env,
    reader::Reader,
    settings::{
        self, Consent, edit,
        live::{Change, LiveSettings},
    },
    traces::Traces,
};

/// What is said to a click that would reach out of the demo.
const NOT_IN_THE_DEMO: &str = "This is the demo, which touches nothing of yours. Leave it first.";

impl<S: Shell> Desk<S> {
    /// Does it; what is to be copied, or what is wrong in words.
    pub(super) fn click(&mut self, act: &Act) -> Result<Option<String>, String> {
        if self.leaving.is_some() && !matches!(act, Act::Open | Act::Close | Act::Ready | Act::Quit)
        {
            return Err(leaving::WORDS.into());
        }
        if self.is_demo() && !act.is_for_the_demo() {
            return Err(NOT_IN_THE_DEMO.into());
        }
        self.forget_notes_after(act);
        let actions = act.actions(&self.snapshot);
        if let Act::Reconnect { grant } | Act::SignOut { grant } = act {
            self.mine.insert(grant.clone());
        }
        for action in actions {
            self.link.act(action);
        }
        match act {
            Act::Renew { .. }
            | Act::Check { .. }
            | Act::Reconnect { .. }
            | Act::AnotherWay { .. }
            | Act::CancelSignIn { .. }
            | Act::Trust { .. }
            | Act::SignOut { .. }
            | Act::Pause { .. }
            | Act::Resume { .. }
            | Act::CheckAll
            | Act::PauseAll
            | Act::ResumeAll => {}
            Act::CopyLink { grant } => {
                let link = self.links.get(grant);
                let none = || String::from("The sign-in page's address is not known yet");
                return link.map(|url| Some(url.expose().to_owned())).ok_or_else(none);
            }
            Act::CopyDiagnostics { grant } => {
                let row = self.snapshot.rows.iter().find(|row| row.id == *grant);
                let reader = Reader::here();
                let words = row.map(|row| diagnostics(&self.snapshot, row, |at| reader.time(at)));
                return Ok(words);
            }
            Act::Show { grant } => {
                self.focus = Some(grant.clone());
                self.shell.open_page();
            }
            Act::Open => self.shell.open_page(),
            Act::OpenSettings => {
                self.turn_to_settings = true;
                self.shell.open_page();
            }
            Act::ShowFile { store } => self.show_file(store)?,
            Act::Unlock { .. } => browser::open_keychain().map_err(|fault| fault.to_string())?,
            Act::OpenSettingsFile => {
                let file = &self.place()?.paths.settings;
                edit::make(file).map_err(|error| format!("{}: {error}", file.display()))?;
                show_file::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
            }
            Act::Demo => self.enter_demo()?,
            Act::LeaveDemo => self.leave_demo(),
            Act::Close => self.shell.close_page(),
            Act::Ready => {
                self.shell.page_is_ready();
                self.page_seen = true;
                // The frame that it is shown with holds them all.
                self.notes.seen();
                self.mark_window();
            }
            Act::RemoveLamplighter => self.remove(None),
            Act::Quit => self.shell.quit(),
            Act::Consent { answer: Answer::Keep } => {
                self.set(&edit::Change::Consent(Consent::Keep))?;
            }
            Act::Consent { answer: Answer::Watch } => {
                self.set(&edit::Change::Consent(Consent::Watch))?;
            }
            Act::StartAtLogin { on } => self.shell.set_start_at_login(*on)?,
            Act::Notices { on } => self.set(&edit::Change::Notices(*on))?,
            Act::Probe { on } => self.set(&edit::Change::Probe(*on))?,
            Act::Pin { on } => {
                self.pinned = *on;
                self.shell.pin(*on);
            }
            Act::AddFolder { folder } => self.set(&edit::Change::AddFolder(folder.clone()))?,
            Act::RemoveFolder { folder } => {
                self.set(&edit::Change::RemoveFolder(folder.clone()))?;
            }
        }
        Ok(None)
    }

    /// What was seen goes with the next thing that a person does; what nobody saw stays.
    fn forget_notes_after(&mut self, act: &Act) {
        // The page's own word is nothing that a person does, nor is what opens a page that is there.
        let opens = matches!(act, Act::Open | Act::OpenSettings | Act::Show { .. });
        if matches!(act, Act::Ready) || (opens && self.page_seen) {
            return;
        }
        self.notes.acted();
    }

    /// The window's engine has made folders of its own by now: they are this home's. The demo's are gone
    /// with it.
    fn mark_window(&self) {
        if let Some(place) = self.place.as_ref().filter(|_| !self.is_demo()) {
            Traces::of(&place.env, &place.paths.home).mark_folders();
        }
    }

    fn place(&self) -> Result<&Place, String> {
        self.place.as_ref().ok_or_else(|| String::from("Lamplighter's own folders can't be found"))
    }

    /// Changes a setting; the keeper is opened anew with it.
    fn set(&mut self, change: &edit::Change) -> Result<(), String> {
        let file = self.place()?.paths.settings.clone();
        edit::change(&file, &self.env, change).map_err(|fault| fault.to_string())?;
        self.settings_changed();
        Ok(())
    }

    fn show_file(&self, store: &StoreId) -> Result<(), String> {
        let row = self.snapshot.stores.iter().find(|row| row.id == *store);
        let place = row.map(|row| row.place.as_str()).unwrap_or_default();
        // What is shown to a person is written as a person writes it.
        let path = settings::absolute(place, &self.env).unwrap_or_default();
        show_file::show(&path).map_err(|error| format!("{place}: {error}"))
    }

    fn enter_demo(&mut self) -> Result<(), String> {
        if self.is_demo() {
            return Ok(());
        }
        let home = self.shell.start_demo()?;
        let demo = Place::alone(&home).map_err(|fault| fault.to_string())?;
        let own = std::mem::replace(&mut self.env, demo.env.clone());
        self.own = Some(own);
        self.moved(true);
        Ok(())
    }

    fn leave_demo(&mut self) {
        // There is nothing else that it may show.
        if self.demo_alone {
            self.shell.quit();
        }
        if let Some(own) = self.own.take() {
            self.env = own;
            self.moved(false);
            self.shell.end_demo();
        }
    }

    /// Another home: nothing of the last one is shown any more.
    fn moved(&mut self, keep: bool) {
        let env: Env = self.env.clone();
        (self.place, self.live) = super::set::find(&env);
        self.unset = self.live.as_ref().is_some_and(|live| live.good().is_none());
        self.settings_readable();
        if let Some(fault) = self.live.as_ref().and_then(LiveSettings::fault).cloned() {
            self.settings_came(Change::Fault(fault));
        }
        for number in self.notices.put_aside() {
            self.shell.withdraw(number);
        }
        self.memory.keep_told(self.notices.told());
        self.memory = super::Memory::open(self.place.as_ref());
        self.notices.turn_to(self.memory.told());
        self.hints.clear();
        self.snapshot.rows.clear();
        self.snapshot.stores.clear();
        self.link.move_to(env, super::set::known(self.live.as_ref()), keep);
    }

    /// What `lamplighter uninstall` does. How it went comes later.
    pub(super) fn remove(&mut self, leaver: Option<Answered>) {
        self.notes.acted();
        self.leaver = leaver;
        let keeper = self.link.begin_to_end();
        match Leaving::begin(self.env.clone(), keeper, self.bell.clone()) {
            Ok(leaving) => self.leaving = Some(leaving),
            Err(error) => self.left(Err(error.to_string())),
        }
    }

    /// Removed, and it ends; or not, and all goes on as before.
    pub(super) fn left(&mut self, removed: Result<(), String>) {
        if let Some(leaving) = self.leaving.take() {
            leaving.end();
        }
        if let Err(fault) = removed {
            let words = format!("Nothing was removed: {fault}");
            let unheard = match self.leaver.take() {
                Some(leaver) => leaver.send(Err(words)).err().and_then(Result::err),
                None => Some(words),
            };
            if let Some(words) = unheard {
                self.notes.write(super::About::Act, words);
            }
            if let Err(error) = self.join_anew() {
                self.fault = Some(error.to_string());
            }
            return;
        }
        self.leave_the_desktop();
        self.shell.quit();
    }

    /// Its entries are gone already where they are files; elsewhere the desktop is asked. What that knows
    /// names no home, and may be the user's own home's.
    fn leave_the_desktop(&mut self) {
        if self.place.as_ref().is_some_and(|place| place.paths.home.is_apart()) {
            return;
        }
        if let Err(fault) = self.shell.set_start_at_login(false) {
            tracing::warn!(%fault, "it may start at the next login");
        }
        if let Err(fault) = self.shell.forget_links() {
            tracing::warn!(%fault, "links may still lead here");
        }
    }
}
