//! The browser's side of a sign-in: listeners, tabs that wait for a word, and who began.
//!
//! It must not look into a callback, log one, or show a sign-in page's address to anybody but who
//! began. What a tab is told is decided by core and only worded here.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    time::Duration,
};

use lamplighter_core::{
    commands,
    ids::{Door, GrantId, SignInId},
    signin::{Invitation, Page, PortFault},
};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use crate::redirect::{self, Knock, Listener};

/// How long a tab may take to take its page.
pub(super) const SEE_OFF: Duration = Duration::from_secs(2);

/// What a callback meets that nobody waits for.
pub(crate) const NOT_WAITING: &str = "This sign-in is no longer waiting";

/// Shows a sign-in page's address to who began in this process.
pub type Inviter = Box<dyn FnMut(&GrantId, &Invitation) + Send>;

/// Everything of sign-ins that the loop holds.
pub(super) struct Desk {
    listeners: BTreeMap<SignInId, Listener>,
    /// Closed, with tabs that may still be on their way.
    closing: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    tabs: BTreeMap<Door, oneshot::Sender<redirect::Page>>,
    last_door: u64,
    knock: UnboundedSender<Knock>,
    pub(super) knocks: UnboundedReceiver<Knock>,
    /// Which guest of the socket began which sign-in.
    pub(super) guests: BTreeMap<GrantId, u64>,
    /// Guests of the socket that brought a callback and are still there.
    pub(super) callers: BTreeSet<u64>,
    pub(super) inviter: Option<Inviter>,
}

impl Desk {
    pub(super) fn new() -> Self {
        let (knock, knocks) = unbounded_channel();
        Self {
            listeners: BTreeMap::new(),
            closing: Vec::new(),
            tabs: BTreeMap::new(),
            last_door: 0,
            knock,
            knocks,
            guests: BTreeMap::new(),
            callers: BTreeSet::new(),
            inviter: None,
        }
    }

    /// Where callbacks are brought.
    pub(super) fn knocker(&self) -> UnboundedSender<Knock> {
        self.knock.clone()
    }

    /// Listens for the browser; the port.
    pub(super) fn listen(&mut self, id: SignInId, port: Option<u16>) -> Result<u16, PortFault> {
        // One sign-in may ask twice, with another client the second time.
        if let Some(own) =
            self.listeners.get(&id).map(Listener::port).filter(|own| Some(*own) == port)
        {
            return Ok(own);
        }
        let listener = Listener::open(port, self.knock.clone())?;
        let port = listener.port();
        self.listeners.insert(id, listener);
        Ok(port)
    }

    /// The sign-in is over; a tab that is being answered still gets its word.
    pub(super) fn hush(&mut self, id: SignInId) {
        let closed = self.listeners.remove(&id).map(Listener::close);
        self.closing.extend(closed.map(|closed| Box::pin(closed) as Pin<Box<_>>));
    }

    /// Waits for tabs that are being answered, before the process ends; not for long.
    pub(super) async fn see_off(&mut self) {
        for tab in self.closing.drain(..) {
            // A browser that does not listen any more is not waited for.
            let _ = tokio::time::timeout(SEE_OFF, tab).await;
        }
    }

    /// Somebody came: a door to answer through.
    pub(super) fn open(&mut self, answer: oneshot::Sender<redirect::Page>) -> Door {
        self.last_door += 1;
        let door = Door(self.last_door);
        self.tabs.insert(door, answer);
        door
    }

    /// Tells a tab how it went.
    pub(super) fn show(&mut self, door: Door, page: &Page) {
        if let Some(tab) = self.tabs.remove(&door) {
            // A tab that was closed wants to know nothing.
            let _ = tab.send(worded(page));
        }
    }
}

/// What a tab says, in words.
fn worded(page: &Page) -> redirect::Page {
    let close = || String::from("You can close this tab.");
    let reopen =
        |server: &str| format!("Open Claude Code sessions: {}", commands::in_session(server));
    match page {
        Page::SignedIn { server, tools } => redirect::Page {
            title: format!("Signed in to {server}"),
            lines: tools
                .map(|tools| format!("{tools} tools are there."))
                .into_iter()
                .chain([close(), reopen(server)])
                .collect(),
            good: true,
        },
        Page::Refused { server } => redirect::Page {
            title: format!("Signed in, but {server} refuses the new token"),
            lines: vec![String::from("Lamplighter's window or command says more."), close()],
            good: false,
        },
        Page::Failed { server, words } => redirect::Page {
            title: format!("Not signed in to {server}"),
            lines: vec![sentence(words), String::from("Everything is as it was."), close()],
            good: false,
        },
        Page::NotWaiting => redirect::Page {
            title: NOT_WAITING.into(),
            lines: vec![String::from("Start it again in Lamplighter."), close()],
            good: false,
        },
    }
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
