//! Notices on the screen: one button, a click elsewhere opens the row.
//!
//! On Linux the engine speaks to the notification daemon; elsewhere the plugin does.

#[cfg(target_os = "linux")]
pub(crate) use by_engine::{show, start, withdraw};
#[cfg(not(target_os = "linux"))]
pub(crate) use by_plugin::{show, start, withdraw};

#[cfg(target_os = "linux")]
mod by_engine {
    use lamplighter_core::desk::notices::Shown;
    use lamplighter_engine::{desk::Bell, notifications::Notifications, paths::Env};
    use tauri::{AppHandle, Manager, Runtime};

    /// Must be called before the first notice is shown.
    pub(crate) fn start<R: Runtime>(app: &AppHandle<R>, bell: &Bell) {
        match Notifications::start(Env::Process, bell.clone()) {
            Ok(notifications) => drop(app.manage(notifications)),
            Err(fault) => tracing::warn!(%fault, "no notice can be shown"),
        }
    }

    /// Puts one on the screen.
    pub(crate) fn show<R: Runtime>(app: &AppHandle<R>, notice: &Shown) {
        if let Some(notifications) = app.try_state::<Notifications>() {
            notifications.show(notice.clone());
        }
    }

    /// Takes one away.
    pub(crate) fn withdraw<R: Runtime>(app: &AppHandle<R>, number: u32) {
        if let Some(notifications) = app.try_state::<Notifications>() {
            notifications.withdraw(number);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod by_plugin {
    use std::{
        collections::BTreeMap,
        sync::{Mutex, PoisonError},
    };

    use lamplighter_core::desk::{
        Act,
        notices::{Left, Shown},
    };
    use lamplighter_engine::desk::{Bell, Tick};
    use tauri::{AppHandle, Manager, Runtime};
    use tauri_plugin_notification::{Action, ActionType, NotificationExt};

    /// What each notice on the screen does: its button, and a click elsewhere.
    #[derive(Default)]
    struct OnScreen(Mutex<BTreeMap<u32, (Act, Act)>>);

    const BUTTON: &str = "act";

    /// Hears clicks; must be called before the first notice is shown.
    pub(crate) fn start<R: Runtime>(app: &AppHandle<R>, bell: &Bell) {
        app.manage(OnScreen::default());
        let (handle, bell) = (app.clone(), bell.clone());
        let listening = app.notification().on_action(move |action| {
            let Some(notice) = action.notification() else { return };
            let number = u32::try_from(notice.id()).unwrap_or(0);
            let acts = with(&handle, |on_screen| on_screen.remove(&number));
            let Some((button, elsewhere)) = acts else { return };
            bell.ring(Tick::NoticeLeft(number, Left::Clicked));
            let act = if action.action_id() == BUTTON { button } else { elsewhere };
            bell.ring(Tick::Pressed(act));
        });
        if let Err(fault) = listening {
            tracing::warn!(%fault, "clicks on notices are not heard");
        }
    }

    /// Puts one on the screen.
    pub(crate) fn show<R: Runtime>(app: &AppHandle<R>, notice: &Shown) {
        let number = notice.number;
        with(app, |on_screen| {
            on_screen.insert(number, (notice.act.clone(), notice.click.clone()));
        });
        // The words of a button belong to its kind, so each has one of its own.
        let kind = format!("notice-{}", notice.button);
        let button = Action::builder(BUTTON, notice.button.as_str()).build();
        let kinds = vec![ActionType::builder(kind.as_str()).actions(vec![button]).build()];
        if let Err(fault) = app.notification().register_action_types(kinds) {
            tracing::warn!(%fault, "a notice has no button");
        }
        let shown = app
            .notification()
            .builder()
            .id(i32::try_from(number).unwrap_or(0))
            .title(notice.title.as_str())
            .body(notice.body.as_str())
            .action_type_id(kind);
        // Nobody tells that a notice was closed here, and it counts as read.
        let bell = app.state::<Bell>();
        match shown.show() {
            Ok(()) => bell.ring(Tick::NoticeShown(number)),
            Err(fault) => {
                tracing::warn!(%fault, "a notice can't be shown");
                with(app, |on_screen| on_screen.remove(&number));
                bell.ring(Tick::NoticeNotShown(number));
            }
        }
    }

    /// Takes one away.
    pub(crate) fn withdraw<R: Runtime>(app: &AppHandle<R>, number: u32) {
        with(app, |on_screen| on_screen.remove(&number));
        if let Ok(id) = i32::try_from(number) {
            // Where notices can't be taken away they go by themselves.
            let _ = app.notification().remove_active(vec![id]);
        }
    }

    fn with<R: Runtime, T>(
        app: &AppHandle<R>,
        look: impl FnOnce(&mut BTreeMap<u32, (Act, Act)>) -> T,
    ) -> T {
        look(&mut app.state::<OnScreen>().0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
