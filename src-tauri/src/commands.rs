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
    use lamplighter_engine::desk;
    use serde_json::{Value, json};
    use tauri::{
        App, Manager, WebviewWindow, WebviewWindowBuilder,
        ipc::{CallbackFn, InvokeBody},
        test::{
            INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder, mock_context, noop_assets,
        },
        webview::InvokeRequest,
    };
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;

    /// A page that nobody sees, and what rings when it calls.
    fn page() -> (App<MockRuntime>, WebviewWindow<MockRuntime>, UnboundedReceiver<Tick>) {
        let (bell, ticks) = desk::bell();
        let app = mock_builder()
            .manage(bell)
            .manage(Place::default())
            .invoke_handler(tauri::generate_handler![subscribe, act])
            .build(mock_context(noop_assets()))
            .unwrap();
        let window = WebviewWindowBuilder::new(&app, "page", tauri::WebviewUrl::default());
        let window = window.build().unwrap();
        (app, window, ticks)
    }

    fn call(
        window: &WebviewWindow<MockRuntime>,
        command: &str,
        words: Value,
    ) -> Result<Value, Value> {
        let request = InvokeRequest {
            cmd: command.into(),
            callback: CallbackFn(0),
            error: CallbackFn(1),
            url: "tauri://localhost".parse().unwrap(),
            body: InvokeBody::Json(words),
            headers: tauri::http::HeaderMap::default(),
            invoke_key: INVOKE_KEY.into(),
        };
        get_ipc_response(window, request).map(|body| body.deserialize().unwrap())
    }

    #[test]
    fn a_click_is_handed_on_and_its_answer_comes_back() {
        let (_app, window, mut ticks) = page();
        let answers = std::thread::spawn(move || {
            let mut clicked = Vec::new();
            for answer in [Ok(Some("link".to_owned())), Err("it is gone".to_owned())] {
                let Some(Tick::Act(act, Some(back))) = ticks.blocking_recv() else { break };
                clicked.push(act);
                back.send(answer).unwrap();
            }
            clicked
        });
        let copy = json!({"act": {"act": "copy_link", "grant": "claude-code/slack"}});
        assert_eq!(call(&window, "act", copy.clone()), Ok(json!("link")));
        assert_eq!(call(&window, "act", copy), Err(json!("it is gone")));
        let grant = lamplighter_core::ids::GrantId::from("claude-code/slack");
        let wanted = Act::CopyLink { grant };
        assert_eq!(answers.join().unwrap(), [wanted.clone(), wanted]);
    }

    #[test]
    fn what_is_no_act_is_refused_and_rings_nothing() {
        let (_app, window, mut ticks) = page();
        for words in [
            json!({"act": {"act": "run", "program": "sh"}}),
            json!({"act": "quit"}),
            json!({"act": {"act": "copy_link"}}),
            json!({}),
        ] {
            assert!(call(&window, "act", words.clone()).is_err(), "{words}");
        }
        assert!(call(&window, "plugin:shell|open", json!({"path": "sh"})).is_err());
        assert!(ticks.try_recv().is_err());
    }

    #[test]
    fn a_page_that_listens_is_told_at_once() {
        let (app, window, mut ticks) = page();
        assert_eq!(
            call(&window, "subscribe", json!({"channel": "__CHANNEL__:1"})),
            Ok(Value::Null)
        );
        assert!(matches!(ticks.try_recv(), Ok(Tick::PageOpened)));
        assert!(!app.state::<Place>().is_open(), "only the shell opens it");
    }
}
