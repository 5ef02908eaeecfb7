//! One sign-in by the engine, with a browser that follows one redirect.
//!
//! It must not answer for the engine: it brings the page's answer back and waits for the end.
//! Where to read next: the engine's `redirect`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use lamplighter_core::{
    ids::GrantId,
    keeper::{Action, Event, Mode, Reconnect},
    secret::Secret,
    signin::RedirectWish,
    time::Millis,
};
use lamplighter_engine::redirect::Knock;
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use super::{Failure, home::Home};
use crate::browser::visit;

/// As the engine calls the home's one server.
const GRANT: &str = "claude-code/examined";
/// No page of the suite takes longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// For the browser to come back.
const ANSWER: Millis = Millis::seconds(5);

/// Signs in, asking for `more_scopes` beside those that are held.
pub(super) async fn sign_in(
    home: &Home,
    redirect: RedirectWish,
    more_scopes: Vec<String>,
) -> Result<(), Failure> {
    let ended = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&ended);
    let listener = Box::new(move |event: &Event, _: &_| {
        eprintln!("{event:?}");
        if let Some(end) = end(event) {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        }
    });
    let mut driver = home.place()?.open(Mode::OnRequest, "conformance", PATIENCE, listener)?;
    driver.look().await;
    let knocker = driver.knocker();
    driver.invite_by(Box::new(move |_, invitation| {
        let (page, knocker) = (invitation.url.expose().to_owned(), knocker.clone());
        thread::spawn(move || browse(&page, &knocker));
    }));
    driver.act(Action::Reconnect(Reconnect {
        redirect,
        more_scopes,
        patience: ANSWER,
        ..Reconnect::of(GrantId::from(GRANT))
    }));
    driver.settle(std::future::pending(), PATIENCE).await;
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
    ended.unwrap_or_else(|| Err("the sign-in did not end".into())).map_err(Into::into)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "two events of many end a sign-in")]
fn end(event: &Event) -> Option<Result<(), String>> {
    match event {
        Event::SignedIn { .. } => Some(Ok(())),
        Event::SignInFailed { code, why, .. } => Some(Err(format!("{code}: {why}"))),
        _ => None,
    }
}

/// Opens the page and goes where it sends: to the listener, or by the scheme.
fn browse(page: &str, knocker: &UnboundedSender<Knock>) {
    let Some(back) = visit(page).location else { return };
    if back.starts_with("http://") {
        visit(&back);
        return;
    }
    let query = back.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let (answer, _) = oneshot::channel();
    // A sign-in that ended meanwhile waits for nobody.
    let _ = knocker.send(Knock { query: Secret::new(query), answer });
}
