//! Work at stores: one job a store at a time, each with an end to waiting.
//!
//! A store may lie on a disk that does not answer. Whoever waits for it inside a lock keeps the client
//! waiting, and the process from ending. So a job that takes longer than its time is reported as a
//! fault and left behind. It must not be taken for something that never happens: what it does late, it
//! does only if the store is still as it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lamplighter_core::{
    ids::{EntryKey, StoreId, Target},
    store::{StoreFault, StoreView},
};
use tokio::sync::oneshot;

use crate::{
    clock::{Clock as _, SystemClock},
    deadline::lock_within,
    identity::Identity,
    stores::{RefreshLock, Store},
    wake::Drift,
};

/// How long a client's refresh lock is waited for before core is told that it is busy.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// How long the store's own files may take.
pub(super) const STORE_TIME: Duration = Duration::from_secs(10);
/// A change waits for the client's write lock besides, and after a sleep once more.
pub(super) const CHANGE_TIME: Duration = Duration::from_secs(25);
/// A refresh lock is waited for, and what a sleep made look dead is given time.
const LOCK_TIME: Duration = Duration::from_secs(45);
/// How long a job waits for the one before it.
const TURN_PATIENCE: Duration = Duration::from_secs(4);
/// So many jobs may be left behind at one store before another is begun there only now and then.
const MANY_LEFT_BEHIND: usize = 8;
/// And so many before none is.
const MOST_LEFT_BEHIND: usize = 64;
/// How often that is.
const NOW_AND_THEN: Duration = Duration::from_secs(60);

/// The store that stands in the way of a flight, and why.
pub(super) type Blocked = (StoreId, StoreFault);

/// What a look at one store found.
pub(super) type View = (StoreId, Result<StoreView, StoreFault>);

/// One store with the turn-taking of its jobs.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) store: Arc<dyn Store>,
    turn: Arc<Mutex<Turn>>,
    left_behind: Arc<AtomicUsize>,
}

/// Whose turn it is. A job that was left behind keeps its own, and the others get another.
#[derive(Default)]
struct Turn {
    now: Arc<Mutex<()>>,
    lost_at: Option<Instant>,
}

impl Place {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, turn: Arc::default(), left_behind: Arc::default() }
    }

    /// Looks at it, outside any lock: its surroundings too.
    pub(super) async fn look(&self) -> Result<StoreView, StoreFault> {
        let look = |place: &Self| {
            // No turn for this: a project that does not answer must not hold up the store.
            place.store.read_surroundings();
            place.in_turn(|store| store.read_store())
        };
        self.job("looking at it", STORE_TIME, look).await
    }

    /// Reads the store and nothing else, as is allowed inside a lock.
    pub(super) async fn read(&self) -> Result<StoreView, StoreFault> {
        self.job("reading it", STORE_TIME, |place| place.in_turn(|store| store.read_store())).await
    }

    /// Does `work` at the store when its turn has come.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, StoreFault> {
        self.job(doing, CHANGE_TIME, |place| place.in_turn(work)).await
    }

    /// Does `work` on a thread that may block, and reports a fault where it takes longer than `time`.
    pub(super) async fn job<T: Send + 'static>(
        &self,
        doing: &str,
        time: Duration,
        work: impl FnOnce(&Self) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let silent = || StoreFault::Io {
            place: self.store.info().place,
            what: format!("{doing}: no answer within {} s", time.as_secs()),
        };
        if !self.may_begin() {
            return Err(silent());
        }
        let place = self.clone();
        if let Some(done) = patiently(time, Some(&self.left_behind), move || work(&place)).await {
            return done;
        }
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *turn = Turn { now: Arc::default(), lost_at: Some(Instant::now()) };
        Err(silent())
    }

    /// Whether one more job may hang.
    fn may_begin(&self) -> bool {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let long_ago = turn.lost_at.is_none_or(|at| at.elapsed() >= NOW_AND_THEN);
        match self.left_behind.load(Ordering::Acquire) {
            0..MANY_LEFT_BEHIND => true,
            MANY_LEFT_BEHIND..MOST_LEFT_BEHIND => long_ago,
            _ => false,
        }
    }

    fn in_turn<T>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let turn = Arc::clone(&self.turn.lock().unwrap_or_else(PoisonError::into_inner).now);
        let Some(_turn) = lock_within(&turn, TURN_PATIENCE) else {
            let what = "it has not answered the last time it was asked".into();
            return Err(StoreFault::Io { place: self.store.info().place, what });
        };
        work(self.store.as_ref())
    }
}

/// Does `work` on a thread that may block; `None` where it takes longer than `time`. It is counted as
/// left behind then, until it comes back.
pub(super) async fn patiently<T: Send + 'static>(
    time: Duration,
    left_behind: Option<&Arc<AtomicUsize>>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    // Only who still waits is given what it brings; what comes too late is dropped where it came about,
    // for a lock is let go so, and that may take as long again.
    let (brings, mut brought) = oneshot::channel();
    let working = tokio::task::spawn_blocking(move || drop(brings.send(work())));
    if let Ok(done) = tokio::time::timeout(time, &mut brought).await {
        return done.ok();
    }
    brought.close();
    if let Ok(done) = brought.try_recv() {
        // It came at the last moment.
        return Some(done);
    }
    if let Some(count) = left_behind.cloned() {
        count.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(async move {
            let _ = working.await;
            count.fetch_sub(1, Ordering::AcqRel);
        });
    }
    None
}

/// One refresh lock that a flight holds.
#[derive(Clone)]
pub(super) struct Lock {
    /// Where it was taken.
    place: Place,
    /// The stores that keep it.
    stores: BTreeSet<StoreId>,
    held: Arc<dyn RefreshLock>,
}

impl Lock {
    /// Whether it is still ours.
    pub(super) async fn still_ours(&self) -> Result<(), StoreFault> {
        let held = Arc::clone(&self.held);
        self.place.job("checking its lock", STORE_TIME, move |_| held.still_ours()).await
    }
}

/// The refresh locks of one flight. Each is let go on a thread of its own: the disk of one may be dead.
#[derive(Default)]
pub(super) struct Locks(Vec<Lock>);

impl Locks {
    /// All of them.
    pub(super) fn all(&self) -> Vec<Lock> {
        self.0.clone()
    }

    /// Those of one store.
    pub(super) fn of(&self, store: &StoreId) -> Vec<Lock> {
        self.0.iter().filter(|lock| lock.stores.contains(store)).cloned().collect()
    }

    /// Lets go of them. What can't be let go in time is let go late, or goes stale.
    pub(super) async fn let_go(mut self) {
        let going = self
            .0
            .drain(..)
            .map(|Lock { held, .. }| tokio::spawn(patiently(STORE_TIME, None, move || drop(held))));
        for going in going.collect::<Vec<_>>() {
            let _ = going.await;
        }
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        for Lock { held, .. } in self.0.drain(..) {
            // Where there is no thread to be had, it is let go here and now.
            let _ = thread::Builder::new().name("lock-leaver".into()).spawn(move || drop(held));
        }
    }
}

/// A lock to be taken.
struct Wanted {
    place: Place,
    key: EntryKey,
    stores: BTreeSet<StoreId>,
}

/// Takes the refresh locks of all targets, or none. What is done at a store is that store's own job, so
/// that nobody else is blamed for its disk. `makes`: a folder for them that is missing is made.
pub(super) async fn lock(
    places: &BTreeMap<StoreId, Place>,
    targets: &[Target],
    makes: bool,
    waking: bool,
) -> Result<Locks, Blocked> {
    let mut keys = BTreeMap::<&StoreId, Vec<EntryKey>>::new();
    for target in targets {
        keys.entry(&target.store).or_default().push(target.key.clone());
    }
    let mut begun = BTreeMap::new();
    for (store, keys) in keys {
        let place = places.get(store).ok_or_else(|| (store.clone(), unknown_store(store)))?.clone();
        begun.insert(store, tokio::spawn(async move { which(&place, keys, makes).await }));
    }
    let mut known = BTreeMap::new();
    for (store, begun) in begun {
        let found = begun.await.unwrap_or_else(|_| Err(unknown_store(store)));
        let found = found.map_err(|fault| (store.clone(), fault))?;
        known.extend(found.into_iter().map(|(key, lock)| ((store, key), lock)));
    }
    // Two stores may keep their locks in one folder: nobody waits for a lock of their own.
    let mut wanted: Vec<(&Identity, Wanted)> = Vec::new();
    for target in targets {
        let Some(lock) = known.get(&(&target.store, target.key.clone())) else { continue };
        let same = wanted.iter_mut().find(|(other, _)| *other == lock);
        if let Some((_, wanted)) = same {
            wanted.stores.insert(target.store.clone());
        } else if let Some(place) = places.get(&target.store) {
            let stores = BTreeSet::from([target.store.clone()]);
            wanted.push((lock, Wanted { place: place.clone(), key: target.key.clone(), stores }));
        }
    }
    let wanted: Vec<Wanted> = wanted.into_iter().map(|(_, wanted)| wanted).collect();
    take_all(&wanted, LOCK_PATIENCE, waking).await
}

/// What stands for the locks of these entries of one store.
async fn which(
    place: &Place,
    keys: Vec<EntryKey>,
    makes: bool,
) -> Result<Vec<(EntryKey, Identity)>, StoreFault> {
    let look = move |place: &Place| {
        // Before the lock, because nothing but the store is read inside.
        place.store.read_surroundings();
        if makes {
            place.store.make_folder()?;
        }
        let known = keys.into_iter().map(|key| (place.store.lock_identity(&key), key));
        Ok(known.map(|(lock, key)| (key, lock)).collect())
    };
    place.job("finding its lock", STORE_TIME, look).await
}

/// Takes all of these locks, or none. A busy one is waited for with empty hands, so that no client ever
/// waits for a lock that only waits for another.
async fn take_all(
    wanted: &[Wanted],
    patience: Duration,
    mut waking: bool,
) -> Result<Locks, Blocked> {
    let started = Instant::now();
    let clock = SystemClock::new();
    let mut drift = Drift::since(clock.now());
    let mut first = 0;
    'again: loop {
        let mut taken = Locks::default();
        let others = (0..wanted.len()).filter(|index| *index != first);
        for index in std::iter::once(first).chain(others) {
            let Some(next) = wanted.get(index) else { return Ok(taken) };
            let left = patience.saturating_sub(started.elapsed());
            let is_first = taken.0.is_empty();
            // Who holds one already waits for no other, and for no disk longer than it must.
            let (patience, time) =
                if is_first { (left, LOCK_TIME) } else { (Duration::ZERO, STORE_TIME) };
            // The machine may have slept while another one was waited for.
            waking |= drift.passed(clock.now()).is_some();
            match next.take(patience, time, waking).await {
                Ok(lock) => taken.0.push(lock),
                Err(StoreFault::Busy { .. }) if !is_first && !left.is_zero() => {
                    first = index;
                    taken.let_go().await;
                    continue 'again;
                }
                Err(fault) => {
                    taken.let_go().await;
                    return Err((next.place.store.info().id, fault));
                }
            }
        }
        return Ok(taken);
    }
}

impl Wanted {
    async fn take(
        &self,
        patience: Duration,
        time: Duration,
        waking: bool,
    ) -> Result<Lock, StoreFault> {
        let key = self.key.clone();
        let take = move |place: &Place| place.store.lock(&key, patience, waking);
        let lock = self.place.job("taking its lock", time, take).await?;
        let (place, stores) = (self.place.clone(), self.stores.clone());
        Ok(Lock { place, stores, held: lock.into() })
    }
}

pub(super) fn unknown_store(store: &StoreId) -> StoreFault {
    StoreFault::Absent { place: store.to_string() }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::mpsc};

    use lamplighter_core::{
        store::{Change, StoreInfo, TokenPair, Written},
        time::{Millis, Wall},
    };

    use super::*;
    use crate::stores::{Location, Spot};

    /// A store that does what a test wants, and its locks.
    #[derive(Default)]
    struct Odd {
        name: &'static str,
        /// Whoever reads waits for this.
        gate: Mutex<Option<mpsc::Receiver<()>>>,
        /// What happened, in order.
        log: Arc<Mutex<Vec<String>>>,
        /// So often its lock is busy.
        busy: AtomicUsize,
        /// Whoever asks whether its lock is still held waits for this.
        lock_gate: Gate,
    }

    type Gate = Arc<Mutex<Option<mpsc::Receiver<()>>>>;

    impl Odd {
        fn note(&self, what: &str) {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(format!("{what} {}", self.name));
        }
    }

    struct OddLock(Arc<Mutex<Vec<String>>>, &'static str, Gate);

    impl OddLock {
        fn note(&self, what: &str) {
            let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(format!("{what} {}", self.1));
        }
    }

    impl RefreshLock for OddLock {
        fn still_ours(&self) -> Result<(), StoreFault> {
            self.note("is asked");
            let gate = self.2.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(gate) = gate {
                let _ = gate.recv();
            }
            Ok(())
        }
    }

    impl Drop for OddLock {
        fn drop(&mut self) {
            self.note("lets go");
        }
    }

    impl Store for Odd {
        fn info(&self) -> StoreInfo {
            StoreInfo {
                id: StoreId::from(self.name),
                client: self.name.into(),
                place: self.name.into(),
                client_margin: Millis::minutes(5),
            }
        }

        fn location(&self) -> Option<Location> {
            None
        }

        fn read_surroundings(&self) {
            self.note("surroundings");
        }

        fn read_store(&self) -> Result<StoreView, StoreFault> {
            let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(gate) = gate {
                let _ = gate.recv();
            }
            Err(StoreFault::Absent { place: self.name.into() })
        }

        fn lock(
            &self,
            _: &EntryKey,
            patience: Duration,
            _: bool,
        ) -> Result<Box<dyn RefreshLock>, StoreFault> {
            let busy = self.busy.load(Ordering::Relaxed);
            if busy > 0 {
                self.busy.store(busy - 1, Ordering::Relaxed);
                self.note(if patience.is_zero() { "is busy" } else { "is waited for" });
                if patience.is_zero() {
                    return Err(StoreFault::Busy { lock: self.name.into() });
                }
            }
            self.note("takes");
            Ok(Box::new(OddLock(Arc::clone(&self.log), self.name, Arc::clone(&self.lock_gate))))
        }

        fn lock_identity(&self, key: &EntryKey) -> Identity {
            Identity::of_text(&PathBuf::from(key.as_str()))
        }

        fn write(&self, _: &Change) -> Result<Written, StoreFault> {
            Ok(Written::Gone)
        }

        fn remove(&self, _: &EntryKey, _: &TokenPair) -> Result<Written, StoreFault> {
            Ok(Written::Gone)
        }

        fn withdraw(&self, _: &str, _: Wall) -> Result<bool, StoreFault> {
            Ok(false)
        }

        fn headers(&self, _: &EntryKey) -> Option<BTreeMap<String, String>> {
            None
        }

        fn spot(&self, _: &str, _: &str) -> Result<Spot, StoreFault> {
            Err(StoreFault::Absent { place: self.name.into() })
        }

        fn just_woke(&self, _: Duration) {}

        fn watched(&self) -> Vec<PathBuf> {
            Vec::new()
        }
    }

    fn two(busy: usize) -> (Odd, Odd, Arc<Mutex<Vec<String>>>) {
        let log = Arc::<Mutex<Vec<String>>>::default();
        let one = |name, busy| Odd {
            name,
            log: Arc::clone(&log),
            busy: AtomicUsize::new(busy),
            ..Odd::default()
        };
        (one("a", 0), one("b", busy), log)
    }

    fn said(log: &Mutex<Vec<String>>) -> Vec<String> {
        log.lock().unwrap().clone()
    }

    /// The locks of these stores, which they share with nobody.
    fn wanted(stores: [Odd; 2]) -> [Wanted; 2] {
        stores.map(|store| Wanted {
            stores: BTreeSet::from([store.info().id]),
            key: EntryKey::from("k"),
            place: Place::new(Arc::new(store)),
        })
    }

    /// Waits until so much was said: what is let go is let go on other threads.
    async fn until_said(log: &Mutex<Vec<String>>, count: usize) -> Vec<String> {
        let all = async {
            while said(log).len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("all of it is said");
        said(log)
    }

    #[tokio::test]
    async fn a_busy_lock_is_waited_for_with_empty_hands() {
        let (a, b, log) = two(2);
        let locks = take_all(&wanted([a, b]), Duration::from_secs(20), false).await;
        let all = ["takes a", "is busy b", "lets go a", "is waited for b", "takes b", "takes a"];
        assert_eq!(said(&log), all);
        locks.map_err(|_| ()).unwrap().let_go().await;
        let let_go = BTreeSet::from_iter(said(&log).split_off(all.len()));
        assert_eq!(let_go, BTreeSet::from(["lets go a".into(), "lets go b".into()]));
    }

    #[tokio::test]
    async fn patience_that_is_over_lets_go_of_everything() {
        let (a, b, log) = two(2);
        let fault = take_all(&wanted([a, b]), Duration::ZERO, false).await.err();
        assert_eq!(fault, Some((StoreId::from("b"), StoreFault::Busy { lock: "b".into() })));
        assert_eq!(said(&log), ["takes a", "is busy b", "lets go a"]);
    }

    #[tokio::test]
    async fn a_lock_whose_disk_hangs_keeps_no_other_from_being_let_go() {
        let (a, mut b, log) = two(0);
        let (answers, gate) = mpsc::channel();
        b.lock_gate = Arc::new(Mutex::new(Some(gate)));
        let locks = take_all(&wanted([a, b]), Duration::ZERO, false).await.map_err(|_| ()).unwrap();
        let [hangs] = <[Lock; 1]>::try_from(locks.of(&StoreId::from("b"))).map_err(|_| ()).unwrap();
        let asked = tokio::spawn(async move { hangs.still_ours().await });
        until_said(&log, 3).await;
        for lock in locks.of(&StoreId::from("a")) {
            assert!(lock.still_ours().await.is_ok());
        }
        locks.let_go().await;
        assert_eq!(said(&log), ["takes a", "takes b", "is asked b", "is asked a", "lets go a"]);
        drop(answers);
        assert!(asked.await.unwrap().is_ok());
        assert_eq!(until_said(&log, 6).await.last().map(String::as_str), Some("lets go b"));
    }

    /// Says on which thread it is dropped.
    struct Told(mpsc::Sender<thread::ThreadId>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[tokio::test]
    async fn what_comes_too_late_is_not_dropped_on_the_loops_own_thread() {
        let (let_go, gate) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let count = Arc::new(AtomicUsize::new(0));
        let late = move || {
            let _ = gate.recv();
            Told(tell)
        };
        assert!(patiently(Duration::from_millis(1), Some(&count), late).await.is_none());
        drop(let_go);
        let back = async {
            while count.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), back).await.expect("it comes back");
        assert_ne!(told.recv().unwrap(), thread::current().id());
    }

    #[tokio::test]
    async fn a_lock_that_two_stores_share_is_taken_once_after_both_surroundings_were_read() {
        let (a, b, log) = two(0);
        let places = [a, b].map(|store| (store.info().id, Place::new(Arc::new(store))));
        let places = BTreeMap::from(places);
        let target = |store: &str, key: &str| Target {
            store: StoreId::from(store),
            key: EntryKey::from(key),
        };
        let locks = lock(&places, &[target("a", "same"), target("b", "same")], false, false).await;
        let found = said(&log);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found.last().map(String::as_str), Some("takes a"));
        assert_eq!(locks.as_ref().ok().map(|locks| locks.of(&StoreId::from("b")).len()), Some(1));
        drop(locks);
        until_said(&log, 4).await;
        let locks = lock(&places, &[target("a", "one"), target("b", "other")], false, false).await;
        assert!(said(&log).ends_with(&["takes a".into(), "takes b".into()]));
        drop(locks);
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_is_a_fault_and_one_job_is_left_behind() {
        let (a, _, _) = two(0);
        let (let_go, gate) = mpsc::channel();
        *a.gate.lock().unwrap() = Some(gate);
        let place = Place::new(Arc::new(a));
        let soon = Duration::from_millis(20);
        let read = |place: &Place| place.in_turn(|store| store.read_store());
        let silent = place.job("reading it", soon, read).await;
        let is_silent = |fault: &StoreFault| matches!(fault, StoreFault::Io { what, .. } if what.contains("no answer within"));
        assert!(silent.as_ref().is_err_and(is_silent), "{silent:?}");
        assert_eq!(place.left_behind.load(Ordering::Acquire), 1);
        // Who comes after it is not held up by it.
        let absent = place.read().await;
        assert!(matches!(absent, Err(StoreFault::Absent { .. })), "{absent:?}");
        drop(let_go);
        let back = async {
            while place.left_behind.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), back).await.expect("they come back");
    }

    #[tokio::test]
    async fn jobs_that_hang_do_not_pile_up() {
        let (a, _, _) = two(0);
        let place = Place::new(Arc::new(a));
        let (let_go, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for _ in 0..2 * MANY_LEFT_BEHIND {
            let gate = Arc::clone(&gate);
            let hangs = move |_: &Place| {
                let _ = gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
                Ok(())
            };
            assert!(place.job("reading it", Duration::from_millis(1), hangs).await.is_err());
        }
        assert_eq!(place.left_behind.load(Ordering::Acquire), MANY_LEFT_BEHIND);
        drop(let_go);
    }

    #[tokio::test]
    async fn a_lock_that_comes_too_late_is_let_go() {
        let (a, _, log) = two(0);
        let store: Arc<dyn Store> = Arc::new(a);
        let (let_go, gate) = mpsc::channel::<()>();
        let place = Place::new(store);
        let late = place
            .job("taking its lock", Duration::from_millis(5), move |place| {
                let _ = gate.recv();
                place.store.lock(&EntryKey::from("k"), Duration::from_secs(1), false)
            })
            .await;
        assert!(late.is_err());
        drop(let_go);
        let back = async {
            while said(&log) != ["takes a", "lets go a"] {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), back).await.expect("it is let go");
    }
}
