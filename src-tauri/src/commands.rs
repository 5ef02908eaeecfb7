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
