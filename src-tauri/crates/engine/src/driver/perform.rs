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
    ids::{FlightId, RecordId, StoreId, Ticket},
    journal::{JournalFault, Record},
    keeper::{Effect, Outcome, ProbeFinding, SendFault},
    oauth::authorize::Entropy,
    store::{StoreFault, StoreView},
    time::Wall,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::Instant,
};

use super::places::{Lock, Locks, Place, STORE_TIME, View, lock, patiently, unknown_store};
use crate::{
    deadline::lock_within,
    http::Http,
    journal::{Journal, JournalState},
    probe::Probe,
    seal::Key,
    stores::{Store, Waiting},
};

/// For this long after a resume, holders of locks may not have touched them again yet.
const WAKING: Duration = Duration::from_secs(60);
/// How long the journal's disk may take.
const JOURNAL_TIME: Duration = Duration::from_secs(10);
/// How long a record waits for the one before it.
const JOURNAL_TURN: Duration = Duration::from_secs(8);

/// The locks that flights hold.
type Held = Arc<Mutex<BTreeMap<FlightId, Locks>>>;
type Views = Vec<View>;
type Seen = Result<StoreView, StoreFault>;
type Places = Arc<BTreeMap<StoreId, Place>>;

/// Everything effects are carried out with.
pub(super) struct World {
    places: Places,
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
        tokio::spawn(async move {
            let view = look(&places, &store).await;
            // The loop is gone only when the process ends.
            let _ = seen.send((store, view));
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
        let places = stores.into_iter().map(|store| (store.info().id, Place::new(store)));
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

    /// Looks at every store, outside any flight; all at once, so that one that hangs holds no other up.
    pub(super) async fn look_at_all(&self) -> Views {
        let all: Vec<StoreId> = self.places.keys().cloned().collect();
        look_at(&self.places, &all).await
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

    /// The journal, for who reads it on a thread of its own.
    pub(super) fn journal(&self) -> Arc<Mutex<Journal>> {
        Arc::clone(&self.journal)
    }

    /// The stores that the journal speaks of.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).waiting()
    }

    /// A store that is visited from now on.
    pub(super) fn take_in(&mut self, store: Arc<dyn Store>) {
        if let Some(left) = self.waking_until.map(|until| until.duration_since(Instant::now())) {
            store.just_woke(left);
        }
        let place = Place::new(Arc::clone(&store));
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
            Effect::Lock { ticket, flight, targets, makes } => {
                let waking = self.waking_until.is_some_and(|until| Instant::now() < until);
                self.answered(ticket, async move {
                    let taken = lock(&places, &targets, makes, waking).await;
                    Outcome::Locked(taken.map(|taken| keep_held(&held, flight, taken)))
                });
            }
            Effect::Read { ticket, flight: None, stores } => {
                self.answered(
                    ticket,
                    async move { Outcome::Read(look_at(&places, &stores).await) },
                );
            }
            Effect::Read { ticket, flight: Some(flight), stores }
            | Effect::ReadBack { ticket, flight, stores } => self.answered(ticket, async move {
                Outcome::Read(read(&places, &held, flight, &stores).await)
            }),
            Effect::Intent { ticket, record } | Effect::Journal { ticket, record } => {
                self.answered(ticket, async move {
                    Outcome::Kept(in_journal(journal, move |journal| journal.keep(record)).await)
                });
            }
            Effect::Forget { ticket, records } => {
                self.answered(ticket, async move { Outcome::Kept(forget(journal, records).await) });
            }
            Effect::Send { ticket, flight, request } => self.send(ticket, flight, request),
            Effect::Write { ticket, flight, store, change } => self.answered(ticket, async move {
                let wrote = async {
                    still_ours_at(&held, flight, &store).await?;
                    let place = places.get(&store).ok_or_else(|| unknown_store(&store))?;
                    place.change("writing it", move |store| store.write(&change)).await
                };
                Outcome::Wrote(wrote.await)
            }),
            Effect::Remove { ticket, flight, store, key, expect } => {
                self.answered(ticket, async move {
                    let removed = async {
                        still_ours_at(&held, flight, &store).await?;
                        let place = places.get(&store).ok_or_else(|| unknown_store(&store))?;
                        place.change("writing it", move |store| store.remove(&key, &expect)).await
                    };
                    Outcome::Wrote(removed.await)
                });
            }
            Effect::Unlock { ticket, flight } => self.answered(ticket, async move {
                let locks = held.lock().unwrap_or_else(PoisonError::into_inner).remove(&flight);
                locks.unwrap_or_default().let_go().await;
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
                self.answered(ticket, async move {
                    let withdrawn = match places.get(&store) {
                        Some(place) => {
                            let withdraw =
                                move |store: &dyn Store| store.withdraw(&server_name, at);
                            place.change("withdrawing a verdict", withdraw).await
                        }
                        None => Err(unknown_store(&store)),
                    };
                    Outcome::Withdrawn(withdrawn)
                });
            }
            Effect::Probe { ticket, target, url, access } => {
                let probe = Arc::clone(&self.probe);
                self.answered(ticket, async move {
                    let headers = match places.get(&target.store) {
                        Some(place) => {
                            let key = target.key;
                            let known = move |place: &Place| Ok(place.store.headers(&key));
                            place.job("reading it", STORE_TIME, known).await.ok().flatten()
                        }
                        None => None,
                    };
                    Outcome::Probed(match headers {
                        Some(headers) => probe.ask(&url, &access, &headers).await,
                        // Headers that cannot be known here: nothing could be proven.
                        None => ProbeFinding::Unknown,
                    })
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

    /// A task of its own, whose outcome comes by the channel.
    fn answered(&self, ticket: Ticket, work: impl Future<Output = Outcome> + Send + 'static) {
        let answer = self.answer.clone();
        tokio::spawn(async move {
            // The loop is gone only when the process ends.
            let _ = answer.send((ticket, work.await));
        });
    }

    /// Nothing that happens to the loop cancels a token on its way.
    fn send(&self, ticket: Ticket, flight: FlightId, request: Request) {
        let (http, held) = (Arc::clone(&self.http), Arc::clone(&self.held));
        self.answered(ticket, async move {
            Outcome::Answered(match still_ours(&held, flight).await {
                Ok(()) => http.fetch(&request).await.map_err(SendFault::Http),
                Err(fault) => Err(SendFault::LockLost(fault)),
            })
        });
    }

    fn fetch(&self, ticket: Ticket, request: Request) {
        let http = Arc::clone(&self.http);
        self.answered(ticket, async move { Outcome::Fetched(http.fetch(&request).await) });
    }
}

fn keep_held(held: &Held, flight: FlightId, taken: Locks) {
    held.lock().unwrap_or_else(PoisonError::into_inner).insert(flight, taken);
}

/// Whether every lock of the flight is still ours: asked before a token is presented, for every entry that
/// holds it.
async fn still_ours(held: &Held, flight: FlightId) -> Result<(), StoreFault> {
    let locks = locks(held, flight, Locks::all)?;
    let asked: Vec<_> = locks
        .into_iter()
        .map(|lock| tokio::spawn(async move { lock.still_ours().await }))
        .collect();
    for asked in asked {
        match asked.await {
            Ok(Err(fault @ StoreFault::LockLost { .. })) => return Err(fault),
            // Whose disk is dead is found out when the locks are taken the next time.
            Ok(Err(_)) | Err(_) => return Err(lock_unknown()),
            Ok(Ok(())) => {}
        }
    }
    Ok(())
}

/// The same for one store: what is done there is no other store's affair.
async fn still_ours_at(held: &Held, flight: FlightId, store: &StoreId) -> Result<(), StoreFault> {
    for lock in locks(held, flight, |locks| locks.of(store))? {
        lock.still_ours().await?;
    }
    Ok(())
}

/// Some of a flight's locks; at least one.
fn locks(
    held: &Held,
    flight: FlightId,
    which: impl FnOnce(&Locks) -> Vec<Lock>,
) -> Result<Vec<Lock>, StoreFault> {
    let held = held.lock().unwrap_or_else(PoisonError::into_inner);
    let locks = held.get(&flight).map(which).unwrap_or_default();
    if locks.is_empty() { Err(lock_unknown()) } else { Ok(locks) }
}

async fn look(places: &BTreeMap<StoreId, Place>, store: &StoreId) -> Seen {
    match places.get(store) {
        Some(place) => place.look().await,
        None => Err(unknown_store(store)),
    }
}

/// Looks at these stores, all at once.
async fn look_at(places: &Places, stores: &[StoreId]) -> Views {
    let begun = stores.iter().map(|store| {
        let (places, id) = (Arc::clone(places), store.clone());
        (store.clone(), tokio::spawn(async move { look(&places, &id).await }))
    });
    came(begun.collect()).await
}

/// Reads these stores inside the locks of a flight, all at once.
async fn read(places: &Places, held: &Held, flight: FlightId, stores: &[StoreId]) -> Views {
    let begun = stores.iter().map(|store| {
        let (place, id, held) = (places.get(store).cloned(), store.clone(), Arc::clone(held));
        let read = async move {
            still_ours_at(&held, flight, &id).await?;
            match place {
                Some(place) => place.read().await,
                None => Err(unknown_store(&id)),
            }
        };
        (store.clone(), tokio::spawn(read))
    });
    came(begun.collect()).await
}

async fn came(begun: Vec<(StoreId, tokio::task::JoinHandle<Seen>)>) -> Views {
    let mut views = Vec::new();
    for (store, view) in begun {
        let view = view.await.unwrap_or_else(|_| {
            let what = "looking at it failed".into();
            Err(StoreFault::Io { place: store.to_string(), what })
        });
        views.push((store, view));
    }
    views
}

/// Does `work` at the journal; a disk that takes too long is a fault of it.
async fn in_journal(
    journal: Arc<Mutex<Journal>>,
    work: impl FnOnce(&mut Journal) -> Result<(), JournalFault> + Send + 'static,
) -> Result<(), JournalFault> {
    let silent = || JournalFault {
        place: "the journal".into(),
        what: format!("writing it: no answer within {} s", JOURNAL_TIME.as_secs()),
    };
    let work = move || match lock_within(&journal, JOURNAL_TURN) {
        Some(mut journal) => work(&mut journal),
        None => Err(silent()),
    };
    patiently(JOURNAL_TIME, None, work).await.unwrap_or_else(|| Err(silent()))
}

async fn forget(journal: Arc<Mutex<Journal>>, records: Vec<RecordId>) -> Result<(), JournalFault> {
    in_journal(journal, move |journal| journal.forget(&records)).await
}

fn lock_unknown() -> StoreFault {
    StoreFault::LockLost { lock: "the refresh lock".into() }
}
