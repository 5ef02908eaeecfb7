//! What the person has set, as the desktop sees it.
//!
//! Settings that can't be read change nothing here: the last good ones stay, and where there were none
//! it only watches. The note about them stays until the file is mended. It must not write the file:
//! `clicks` does, for a click. Read next: [`live`](crate::settings::live).

use lamplighter_core::desk::view;

use super::{Desk, Shell};
use crate::{
    link::Known,
    open::Place,
    paths::{Env, Paths},
    settings::{
        Consent, Settings, SettingsFault,
        live::{Change, LiveSettings},
    },
};

/// Where things lie, and the settings file as it is now; nothing where no place for either is known.
pub(super) fn find(env: &Env) -> (Option<Place>, Option<LiveSettings>) {
    let paths = Paths::find(env).ok().filter(|paths| paths.check(env).is_ok());
    let Some(paths) = paths else { return (None, None) };
    let mut live = LiveSettings::new(&paths.settings, env, None);
    live.look();
    let settings = live.good().cloned().unwrap_or_default();
    (Some(Place::with(env.clone(), paths, settings)), Some(live))
}

/// What the link goes by: the very settings that are shown here.
pub(super) fn known(live: Option<&LiveSettings>) -> Known {
    let live = live?;
    let good = live.good().cloned().map(Ok);
    good.or_else(|| live.fault().cloned().map(Err))
}

/// Waits until the file came to something else.
pub(super) async fn changed(live: &mut Option<LiveSettings>) -> Change {
    match live {
        Some(live) => live.changed().await,
        None => std::future::pending().await,
    }
}

impl<S: Shell> Desk<S> {
    /// Looks anew where things lie; what is set stays.
    pub(super) fn look_around(&mut self) {
        if let Ok(paths) = Paths::find(&self.env) {
            self.place = Some(Place::with(self.env.clone(), paths, self.settings()));
        }
    }

    pub(super) fn settings(&self) -> Settings {
        self.place.as_ref().map(|place| place.settings.clone()).unwrap_or_default()
    }

    pub(super) fn consent(&self) -> view::Consent {
        if self.is_demo() {
            return view::Consent::Keep;
        }
        match self.settings().consent {
            Some(Consent::Keep) => view::Consent::Keep,
            Some(Consent::Watch) => view::Consent::Watch,
            // Whether the question was answered is not known.
            None if self.unset => view::Consent::Watch,
            None => view::Consent::Unasked,
        }
    }

    /// Whether it starts with the desktop: nothing of the demo's.
    pub(super) fn start_at_login(&self) -> Option<bool> {
        if self.is_demo() { None } else { self.shell.start_at_login() }
    }

    /// The file was written by a click.
    pub(super) fn settings_changed(&mut self) {
        if let Some(change) = self.live.as_mut().and_then(LiveSettings::look) {
            self.settings_came(change);
        }
    }

    /// The file came to something else.
    pub(super) fn settings_came(&mut self, change: Change) {
        self.link.set(known(self.live.as_ref()));
        match change {
            Change::Settings(settings) => {
                self.settings_readable();
                let before = (!std::mem::take(&mut self.unset)).then(|| self.settings());
                if let Some(place) = &mut self.place {
                    place.settings = (*settings).clone();
                }
                self.look_around();
                self.serve_links();
                // Whether notices are shown is nothing to the keeper.
                let but_for_notices = |settings| Settings { notices: true, ..settings };
                self.reopen_owed |= before.map(but_for_notices) != Some(but_for_notices(*settings));
                tracing::info!(for_the_keeper = self.reopen_owed, "the settings were changed");
                self.reopen();
            }
            Change::Fault(fault) => self.settings_unreadable(&fault),
            Change::Mended => {
                self.settings_readable();
                tracing::info!("the settings can be read again");
            }
        }
    }

    fn settings_unreadable(&mut self, fault: &SettingsFault) {
        tracing::warn!(%fault, "the settings can't be read");
        let holds = if self.unset {
            "Nothing is renewed until the file is mended"
        } else {
            "What was set before stays in effect"
        };
        let body = format!("{fault}. {holds}.");
        self.settings_readable();
        self.settings_note = Some(format!("The settings can't be read: {body}"));
        // The last good word about notices counts here too.
        if self.settings().notices {
            let title = "Lamplighter's settings can't be read".into();
            let notice = self.notices.about_itself(title, body);
            self.settings_notice = Some(notice.number);
            self.shell.notify(&notice);
        }
    }

    /// What was said about the file holds no more.
    pub(super) fn settings_readable(&mut self) {
        self.settings_note = None;
        if let Some(number) = self.settings_notice.take() {
            self.shell.withdraw(number);
        }
    }
}
