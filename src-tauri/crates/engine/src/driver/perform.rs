//! How each effect is carried out: files on the blocking pool, one job a store at a time; HTTP on
//! the runtime; every answer back by one channel.
//!
//! Nothing here retries, chooses or forgets.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lamplighter_core::{
    http::Request,
    ids::{EntryKey, FlightId, RecordId, StoreId, Target, Ticket},
    journal::{JournalFault, Record},
    keeper::{Effect, Outcome, ProbeFinding, SendFault},
    oauth::authorize::Entropy,
    store::{Change, StoreFault, StoreView, TokenPair, Written},
    time::Wall,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::Instant,
};

use crate::{
    http::Http,
    journal::{Journal, JournalState},
    probe::Probe,
    seal::Key,
    stores::{RefreshLock, Store, Waiting},
};

/// How long a client's refresh lock is waited for before core is told that it is busy.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// For this long after a resume, holders of locks may not have touched them again yet.
const WAKING: Duration = Duration::from_secs(60);

/// The locks that flights hold, in the order they were taken.
type Held = Arc<Mutex<BTreeMap<FlightId, Vec<Box<dyn RefreshLock>>>>>;
type View = (StoreId, Result<StoreView, StoreFault>);
type Views = Vec<View>;

/// One store with the turn-taking of its jobs.
#[derive(Clone)]
struct Place {
    store: Arc<dyn Store>,
    turn: Arc<Mutex<()>>,
}

/// Everything effects are carried out with.
pub(super) struct World {
    places: Arc<BTreeMap<StoreId, Place>>,
    http: Arc<dyn Http>,
    probe: Arc<dyn Probe>,
    journal: Arc<Mutex<Journal>>,
    held: Held,
    /// Until when other programs are given time to touch their locks.
    waking_until: Option<Instant>,
    answer: UnboundedSender<(Ticket, Outcome)>,
}

/// Looks at stores that changed, outside any flight: one at a time a store, and nobody waits for one
/// that hangs.
pub(super) struct Sights {
    seen: UnboundedSender<View>,
    /// What was seen.
    pub(super) news: UnboundedReceiver<View>,
    /// Stores that are being looked at, and whether they changed again meanwhile.
    under_way: BTreeMap<StoreId, bool>,
}

impl Sights {
    pub(super) fn new() -> Self {
        let (seen, news) = unbounded_channel();
        Self { seen, news, under_way: BTreeMap::new() }
    }

    /// A store changed.
    pub(super) fn changed(&mut self, store: StoreId, world: &World) {
        if let Some(again) = self.under_way.get_mut(&store) {
            *again = true;
            return;
        }
        self.under_way.insert(store.clone(), false);
        let (places, seen) = (Arc::clone(&world.places), self.seen.clone());
        let ids = [store.clone()];
        let look = tokio::task::spawn_blocking(move || read(&places, &ids).pop());
        tokio::spawn(async move {
            let view = look.await.ok().flatten().unwrap_or_else(|| {
                let what = "looking at it failed".into();
                (store.clone(), Err(StoreFault::Io { place: store.to_string(), what }))
            });
            // The loop is gone only when the process ends.
            let _ = seen.send(view);
        });
    }

    /// A look came home.
    pub(super) fn came(&mut self, store: &StoreId, world: &World) {
        if self.under_way.remove(store) == Some(true) {
            self.changed(store.clone(), world);
        }
    }
}

impl World {
    pub(super) fn new(
        stores: Vec<Arc<dyn Store>>,
        http: Arc<dyn Http>,
        probe: Arc<dyn Probe>,
        journal: Arc<Mutex<Journal>>,
        answer: UnboundedSender<(Ticket, Outcome)>,
    ) -> Self {
        let places = stores
            .into_iter()
            .map(|store| (store.info().id, Place { store, turn: Arc::new(Mutex::new(())) }));
        Self {
            places: Arc::new(places.collect()),
            http,
            probe,
            journal,
            held: Held::default(),
            waking_until: None,
            answer,
        }
    }

    /// Looks at every store, outside any flight.
    pub(super) async fn look_at_all(&self) -> Views {
        let places = Arc::clone(&self.places);
        let ids: Vec<StoreId> = places.keys().cloned().collect();
        let look = tokio::task::spawn_blocking(move || read(&places, &ids));
        look.await.unwrap_or_default()
    }

    /// Opens and seals the journal under this key: the records that were closed in, and how it stands.
    pub(super) fn unlock_journal(&self, key: Key, now: Wall) -> (Vec<Record>, JournalState) {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).unlock(key, now)
    }

    /// The machine resumed a moment ago: for a minute a lock is not called stale at first sight.
    pub(super) fn just_woke(&mut self) {
        self.waking_until = Some(Instant::now() + WAKING);
        for place in self.places.values() {
            place.store.just_woke(WAKING);
        }
    }

    /// The stores that the journal speaks of.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).waiting()
    }

    /// A store that is visited from now on.
    pub(super) fn take_in(&mut self, store: Arc<dyn Store>) {
        let place = Place { store: Arc::clone(&store), turn: Arc::new(Mutex::new(())) };
        Arc::make_mut(&mut self.places).insert(store.info().id, place);
    }

    /// Every store.
    pub(super) fn stores(&self) -> Vec<Arc<dyn Store>> {
        self.places.values().map(|place| Arc::clone(&place.store)).collect()
    }

    /// Starts an effect; its outcome comes by the channel.
    pub(super) fn perform(&self, effect: Effect) {
        let (places, held) = (Arc::clone(&self.places), Arc::clone(&self.held));
        let journal = Arc::clone(&self.journal);
        match effect {
            Effect::Lock { ticket, flight, targets } => {
                let waking = self.waking_until.is_some_and(|until| Instant::now() < until);
                self.blocking(ticket, move || {
                    Outcome::Locked(lock(&places, &held, flight, &targets, waking))
                });
            }
            Effect::Read { ticket, flight: None, stores } => {
                self.blocking(ticket, move || Outcome::Read(read(&places, &stores)));
            }
            Effect::Read { ticket, flight: Some(flight), stores }
            | Effect::ReadBack { ticket, flight, stores } => self.blocking(ticket, move || {
                Outcome::Read(match still_ours(&held, flight) {
                    Ok(()) => read(&places, &stores),
                    Err(fault) => stores.into_iter().map(|s| (s, Err(fault.clone()))).collect(),
                })
            }),
            Effect::Intent { ticket, record } | Effect::Journal { ticket, record } => {
                self.blocking(ticket, move || Outcome::Kept(keep(&journal, &record)));
            }
            Effect::Forget { ticket, records } => {
                self.blocking(ticket, move || Outcome::Kept(forget(&journal, &records)));
            }
            Effect::Send { ticket, flight, request } => self.send(ticket, flight, request),
            Effect::Write { ticket, flight, store, change } => self.blocking(ticket, move || {
                let ours = still_ours(&held, flight);
                Outcome::Wrote(ours.and_then(|()| write(&places, &store, &change)))
            }),
            Effect::Remove { ticket, flight, store, key, expect } => {
                self.blocking(ticket, move || {
                    let ours = still_ours(&held, flight);
                    Outcome::Wrote(ours.and_then(|()| remove(&places, &store, &key, &expect)))
                });
            }
            Effect::Unlock { ticket, flight } => self.blocking(ticket, move || {
                let locks = held.lock().unwrap_or_else(PoisonError::into_inner).remove(&flight);
                // The last taken is let go first.
                locks.into_iter().flatten().rev().for_each(drop);
                Outcome::Unlocked
            }),
            Effect::Fetch { ticket, request } => self.fetch(ticket, request),
            Effect::Draw { ticket } => {
                let mut bytes = [0; 64];
                // Without randomness there is no sign-in: core takes any other outcome for that.
                let outcome = match getrandom::fill(&mut bytes) {
                    Ok(()) => Outcome::Drawn(Entropy::new(bytes)),
                    Err(_) => Outcome::Unlocked,
                };
                let _ = self.answer.send((ticket, outcome));
            }
            Effect::Withdraw { ticket, store, server_name, at } => {
                self.blocking(ticket, move || {
                    Outcome::Withdrawn(withdraw(&places, &store, &server_name, at))
                });
            }
            Effect::Probe { ticket, target, url, access } => {
                let (probe, answer) = (Arc::clone(&self.probe), self.answer.clone());
                let headers = tokio::task::spawn_blocking(move || {
                    places.get(&target.store)?.store.headers(&target.key)
                });
                tokio::spawn(async move {
                    let finding = match headers.await {
                        Ok(Some(headers)) => probe.ask(&url, &access, &headers).await,
                        // Headers that cannot be known here: nothing could be proven.
                        Ok(None) | Err(_) => ProbeFinding::Unknown,
                    };
                    let _ = answer.send((ticket, Outcome::Probed(finding)));
                });
            }
            // Carried out by the loop itself, in order.
            Effect::Remember { .. }
            | Effect::Tell { .. }
            | Effect::Listen { .. }
            | Effect::Invite { .. }
            | Effect::Show { .. }
            | Effect::Hush { .. } => {}
        }
    }

    fn blocking(&self, ticket: Ticket, work: impl FnOnce() -> Outcome + Send + 'static) {
        let answer = self.answer.clone();
        tokio::task::spawn_blocking(move || {
            // The loop is gone only when the process ends.
            let _ = answer.send((ticket, work()));
        });
    }

    /// A task of its own: nothing that happens to the loop cancels a token on its way.
    fn send(&self, ticket: Ticket, flight: FlightId, request: Request) {
        let (http, held, answer) =
            (Arc::clone(&self.http), Arc::clone(&self.held), self.answer.clone());
        tokio::spawn(async move {
            let checked = tokio::task::spawn_blocking(move || still_ours(&held, flight)).await;
            let result = match checked {
                Ok(Ok(())) => http.fetch(&request).await.map_err(SendFault::Http),
                Ok(Err(fault)) => Err(SendFault::LockLost(fault)),
                Err(_) => Err(SendFault::LockLost(lock_unknown())),
            };
            let _ = answer.send((ticket, Outcome::Answered(result)));
        });
    }

    fn fetch(&self, ticket: Ticket, request: Request) {
        let (http, answer) = (Arc::clone(&self.http), self.answer.clone());
        tokio::spawn(async move {
            let _ = answer.send((ticket, Outcome::Fetched(http.fetch(&request).await)));
        });
    }
}

fn lock(
    places: &BTreeMap<StoreId, Place>,
    held: &Held,
    flight: FlightId,
    targets: &[Target],
    waking: bool,
) -> Result<(), (StoreId, StoreFault)> {
    let mut taken = Vec::new();
    for target in targets {
        // No turn here: a wait of seconds must not hold up a look.
        let place = places.get(&target.store).ok_or_else(|| unknown_store(&target.store));
        let lock = place.and_then(|place| place.store.lock(&target.key, LOCK_PATIENCE, waking));
        taken.push(lock.map_err(|fault| (target.store.clone(), fault))?);
    }
    held.lock().unwrap_or_else(PoisonError::into_inner).insert(flight, taken);
    Ok(())
}

fn still_ours(held: &Held, flight: FlightId) -> Result<(), StoreFault> {
    let held = held.lock().unwrap_or_else(PoisonError::into_inner);
    let locks = held.get(&flight).ok_or_else(lock_unknown)?;
    locks.iter().try_for_each(|lock| lock.still_ours())
}

fn read(places: &BTreeMap<StoreId, Place>, stores: &[StoreId]) -> Views {
    let views = stores.iter().map(|id| {
        let seen = places.get(id).ok_or_else(|| unknown_store(id)).and_then(|place| {
            let _turn = place.turn.lock().unwrap_or_else(PoisonError::into_inner);
            place.store.look()
        });
        (id.clone(), seen)
    });
    views.collect()
}

fn write(
    places: &BTreeMap<StoreId, Place>,
    store: &StoreId,
    change: &Change,
) -> Result<Written, StoreFault> {
    let place = places.get(store).ok_or_else(|| unknown_store(store))?;
    let _turn = place.turn.lock().unwrap_or_else(PoisonError::into_inner);
    place.store.write(change)
}

fn remove(
    places: &BTreeMap<StoreId, Place>,
    store: &StoreId,
    key: &EntryKey,
    expect: &TokenPair,
) -> Result<Written, StoreFault> {
    let place = places.get(store).ok_or_else(|| unknown_store(store))?;
    let _turn = place.turn.lock().unwrap_or_else(PoisonError::into_inner);
    place.store.remove(key, expect)
}

fn withdraw(
    places: &BTreeMap<StoreId, Place>,
    store: &StoreId,
    server_name: &str,
    at: Wall,
) -> Result<bool, StoreFault> {
    let place = places.get(store).ok_or_else(|| unknown_store(store))?;
    let _turn = place.turn.lock().unwrap_or_else(PoisonError::into_inner);
    place.store.withdraw(server_name, at)
}

fn keep(journal: &Mutex<Journal>, record: &Record) -> Result<(), JournalFault> {
    journal.lock().unwrap_or_else(PoisonError::into_inner).keep(record.clone())
}

fn forget(journal: &Mutex<Journal>, records: &[RecordId]) -> Result<(), JournalFault> {
    journal.lock().unwrap_or_else(PoisonError::into_inner).forget(records)
}

fn unknown_store(store: &StoreId) -> StoreFault {
    StoreFault::Absent { place: store.to_string() }
}

fn lock_unknown() -> StoreFault {
    StoreFault::LockLost { lock: "the refresh lock".into() }
}
