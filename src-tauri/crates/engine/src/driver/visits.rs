//! Tries stores again that the journal speaks of and that could not be visited: a disk or a folder
//! comes back while the keeper runs.
//!
//! It must not hold the loop up, nor ask a folder again that has not answered yet.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

use lamplighter_core::ids::StoreId;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::Instant,
};

use super::perform::World;
use crate::{
    paths::Env,
    stores::{Store, elsewhere},
};

/// How long after a try the next one comes by itself.
const AGAIN: Duration = Duration::from_secs(60);

/// How long whoever asked for something waits for such a store.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A store that was tried, opened where that went well.
type Tried = (StoreId, Option<Arc<dyn Store>>);

/// The tries, and what comes of them.
pub(super) struct Visits {
    tried: UnboundedSender<Tried>,
    pub(super) news: UnboundedReceiver<Tried>,
    /// Tried or looked at for the first time just now.
    out: BTreeSet<StoreId>,
    begun: Instant,
}

impl Visits {
    pub(super) fn new() -> Self {
        let (tried, news) = unbounded_channel();
        Self { tried, news, out: BTreeSet::new(), begun: Instant::now() }
    }

    /// When the next try is due.
    pub(super) fn due(&self) -> Instant {
        self.begun + AGAIN
    }

    /// Tries these stores, each on a thread of its own that waits as long as its folders do.
    pub(super) fn begin(&mut self, shut: Vec<StoreId>, world: &World, env: &Env) {
        self.begun = Instant::now();
        for id in shut {
            if !self.out.insert(id.clone()) {
                continue;
            }
            let (tried, env, journal) = (self.tried.clone(), env.clone(), world.journal());
            tokio::task::spawn_blocking(move || {
                let waiting = journal.lock().unwrap_or_else(PoisonError::into_inner).waiting();
                let waiting = waiting.into_iter().find(|waiting| waiting.store == id);
                let store = waiting.and_then(|waiting| elsewhere::when_it_answers(&waiting, &env));
                // Nobody listens any more once the keeper ends.
                let _ = tried.send((id, store));
            });
        }
    }

    /// A try came to nothing, or the store was looked at.
    pub(super) fn is_done(&mut self, store: &StoreId) {
        self.out.remove(store);
    }

    /// Whether it is worth waiting for one of them.
    pub(super) fn are_out(&self) -> bool {
        !self.out.is_empty() && self.begun.elapsed() < PATIENCE
    }
}
