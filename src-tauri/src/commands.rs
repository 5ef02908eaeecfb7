//! The page's two commands. No secret crosses here: a view holds none, and an act asks for none.

use lamplighter_core::desk::{Act, View};
use lamplighter_engine::desk::{Bell, Tick};
use tauri::{State, ipc::Channel};

use crate::page::Place;

/// Sends the view now, and again after every change.
#[tauri::command]
pub(crate) fn subscribe(channel: Channel<View>, place: State<'_, Place>, bell: State<'_, Bell>) {
    place.subscribe(channel);
    bell.ring(Tick::PageOpened);
}

/// Does what was clicked; what to copy, or what is wrong in words.
#[tauri::command]
pub(crate) async fn act(act: Act, bell: State<'_, Bell>) -> Result<Option<String>, String> {
    bell.act(act).await
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use lamplighter_core::{
        desk::view::{Around, Consent, Settings},
        snapshot::Snapshot,
        time::Wall,
    };
    use lamplighter_engine::desk::bell;
    use serde_json::{Value, json};
    use tauri::{
        App, Manager, WebviewWindow, WebviewWindowBuilder, WindowEvent,
        ipc::{CallbackFn, InvokeBody},
        test::{
            INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder, mock_context, noop_assets,
        },
        webview::InvokeRequest,
    };
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;
    use crate::page;

    /// The program without a desktop, its window, and what its actor would hear.
    fn program() -> (App<MockRuntime>, WebviewWindow<MockRuntime>, UnboundedReceiver<Tick>) {
        let (bell, ticks) = bell();
        let app = mock_builder()
            .manage(bell)
            .manage(Place::default())
            .invoke_handler(tauri::generate_handler![subscribe, act])
            .build(mock_context(noop_assets()))
            .unwrap();
        let window =
            WebviewWindowBuilder::new(&app, "page", tauri::WebviewUrl::default()).build().unwrap();
        (app, window, ticks)
    }

    /// Calls a command as the page does.
    fn call(
        window: &WebviewWindow<MockRuntime>,
        command: &str,
        args: Value,
    ) -> Result<Value, Value> {
        let request = InvokeRequest {
            cmd: command.into(),
            callback: CallbackFn(0),
            error: CallbackFn(1),
            url: "tauri://localhost".parse().unwrap(),
            body: InvokeBody::Json(args),
            headers: tauri::http::HeaderMap::default(),
            invoke_key: INVOKE_KEY.into(),
        };
        get_ipc_response(window, request).map(|body| body.deserialize().unwrap())
    }

    fn view(seq: u64) -> View {
        let snapshot =
            Snapshot { rows: Vec::new(), stores: Vec::new(), exit: 0, unfinished: Vec::new() };
        let settings = Settings {
            file: String::new(),
            start_at_login: None,
            notices: true,
            probe: true,
            keep: true,
            folders: Vec::new(),
        };
        let around = Around {
            consent: Consent::Keep,
            demo: false,
            elsewhere: None,
            pinned: false,
            notes: Vec::new(),
            past: std::collections::BTreeMap::new(),
            hints: Vec::new(),
            activity: Vec::new(),
            offered: Vec::new(),
            looked: Vec::new(),
            focus: None,
            linked: None,
            turn_to_settings: false,
            settings,
            update_command: String::new(),
        };
        View::of(seq, Wall(0), &snapshot, around)
    }

    #[test]
    fn whoever_subscribes_is_sent_a_view_at_once_and_every_later_one_until_the_page_closes() {
        let (app, _window, mut ticks) = program();
        let place = app.state::<Place>();
        assert!(!place.send(&view(1)), "nobody listens yet");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let page_has = Arc::clone(&seen);
        let channel = Channel::new(move |body| {
            let view: Value = body.deserialize()?;
            page_has.lock().unwrap().push(view["seq"].as_u64());
            Ok(())
        });
        subscribe(channel, app.state(), app.state());
        // The actor answers this with a view, which is the first that is seen.
        assert!(matches!(ticks.try_recv(), Ok(Tick::PageOpened)));
        assert!(place.send(&view(2)) && place.send(&view(3)));
        assert_eq!(*seen.lock().unwrap(), [Some(2), Some(3)]);
        page::happened(app.handle(), &WindowEvent::Destroyed);
        assert!(!place.send(&view(4)) && !place.is_open());
        assert_eq!(seen.lock().unwrap().len(), 2, "a closed page is sent nothing");
    }

    #[test]
    fn the_page_subscribes_with_a_channel_and_with_nothing_else() {
        let (app, window, mut ticks) = program();
        assert!(call(&window, "subscribe", json!({"channel": "everything"})).is_err());
        assert!(ticks.try_recv().is_err());
        assert!(call(&window, "subscribe", json!({"channel": "__CHANNEL__:7"})).is_ok());
        assert!(matches!(ticks.try_recv(), Ok(Tick::PageOpened)));
        assert!(app.state::<Place>().send(&view(1)));
    }

    #[test]
    fn an_act_is_handed_on_and_its_answer_comes_back() {
        let (_app, window, mut ticks) = program();
        let actor = std::thread::spawn(move || {
            for said in [Ok(Some("words to copy".to_owned())), Err("it can't be".to_owned())] {
                let Some(Tick::Act(act, Some(answer))) = ticks.blocking_recv() else {
                    panic!("an act was expected");
                };
                assert_eq!(act, Act::CopyLink { grant: "claude-code/rig".into() });
                answer.send(said).unwrap();
            }
        });
        let act = || json!({"act": {"act": "copy_link", "grant": "claude-code/rig"}});
        assert_eq!(call(&window, "act", act()), Ok(json!("words to copy")));
        assert_eq!(call(&window, "act", act()), Err(json!("it can't be")));
        actor.join().unwrap();
    }

    #[test]
    fn an_act_that_nobody_knows_is_refused_and_reaches_nobody() {
        let (_app, window, mut ticks) = program();
        for act in [json!({"act": "run", "command": "true"}), json!({"act": "renew"}), json!(null)]
        {
            assert!(call(&window, "act", json!({"act": act})).is_err());
        }
        assert!(call(&window, "eval", json!({})).is_err());
        assert!(ticks.try_recv().is_err());
    }
}
