//! The only loop: hands core's effects to the world and the world's answers to core.
//!
//! It must not decide anything, and it cannot fail: what goes wrong is an outcome like any other. A
//! task that presents a refresh token is never cancelled; ending the process means telling core so
//! and waiting for what is in the air.
//!
//! Read next: [`perform`](self) for how each effect is carried out, [`places`](self) for stores that do
//! not answer, `lamplighter_core::keeper` for
//! what they are for.

mod own_files;
mod perform;
mod places;
mod signing;
#[cfg(test)]
mod tests;
mod visits;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use lamplighter_core::{
    ids::{GrantId, StoreId, Ticket},
    keeper::{self, Action, Effect, Event, Input, Keeper, Outcome, WokeWhy},
    secret::Secret,
    signin::Invitation,
    snapshot::Snapshot,
    time::Boot,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    clock::Clock,
    history::History,
    http::Http,
    journal::{Closed, Journal, JournalState},
    keyring::Later,
    lock::EngineLock,
    paths::Env,
    probe::Probe,
    redirect::Knock,
    seal::Key,
    socket::{Answers, Asked, Door, Guest, INSIDE, Inside, Invited, Reply, Request, Said},
    state::State,
    stores::{Store, elsewhere},
    wake::{Alarms, Drift, Leave, Moves, News, has_route},
    watch::Watch,
};
use own_files::OwnFiles;
use perform::{Sights, World};
pub use signing::Inviter;
pub(crate) use signing::NOT_WAITING;
use signing::{Desk, SEE_OFF};
use visits::Visits;

/// After that long the last look at what was saved is due.
pub const LAST_LOOK: Duration = Duration::from_millis(keeper::LAST_LOOK.0 + 1_000);
/// How long that takes at most.
const LAST_LOOK_TIME: Duration = Duration::from_secs(5);

/// The longest the loop sleeps without looking at the clock: no timer of any system can be trusted
/// across a suspend.
const LONGEST_SLEEP: Duration = Duration::from_secs(37);

/// What the driver acts with.
pub struct Limbs {
    /// The one clock.
    pub clock: Arc<dyn Clock>,
    /// Carries requests.
    pub http: Arc<dyn Http>,
    /// Asks MCP servers whether they accept a token.
    pub probe: Arc<dyn Probe>,
    /// The stores of other programs.
    pub stores: Vec<Arc<dyn Store>>,
    /// What is written down around each refresh.
    pub journal: Journal,
    /// Its file.
    pub journal_file: PathBuf,
    /// Our own facts.
    pub state: State,
    /// What happened, for people; `None` where it can't be kept.
    pub history: Option<History>,
    /// Where commands reach this engine while it keeps.
    pub socket: PathBuf,
    /// The environment, which leads to the system's bus.
    pub env: Env,
    /// The keyring, where it had no key for the journal yet.
    pub keyring: Option<Later>,
    /// Says that this is the one engine; held to the end.
    pub lock: EngineLock,
}

/// Where news go: the event, and who knows the truth after it.
pub type Listener = Box<dyn FnMut(&Event, &Keeper) + Send>;

/// Where the truth goes after everything that happened, news or not.
pub type Watcher = Box<dyn FnMut(&Snapshot) + Send>;

/// The loop with everything it holds.
pub struct Driver {
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    world: World,
    own_files: OwnFiles,
    guests: BTreeMap<u64, Guest>,
    desk: Desk,
    /// Answers that the loop gives itself.
    answer: mpsc::UnboundedSender<(Ticket, Outcome)>,
    socket: PathBuf,
    journal_file: PathBuf,
    env: Env,
    keyring: Option<Later>,
    /// Whether there was a way out when it was last asked; `None` before that.
    network: Option<bool>,
    moves: Moves,
    /// Tells time that passed unseen, before anything is made of it.
    drift: Drift,
    /// A sign-in was asked for in this run.
    signs_in: bool,
    asked: Option<Door>,
    /// What this very process asks.
    within: (mpsc::UnboundedSender<Asked>, mpsc::UnboundedReceiver<Asked>),
    /// The truth as guests that watch saw it last.
    shown: Option<Snapshot>,
    answers: mpsc::UnboundedReceiver<(Ticket, Outcome)>,
    sights: Sights,
    visits: Visits,
    wish: mpsc::UnboundedSender<Action>,
    wishes: mpsc::UnboundedReceiver<Action>,
    listener: Listener,
    watcher: Option<Watcher>,
    /// Held until everything else is dropped.
    lock: EngineLock,
}

/// How a one-shot run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// All that was asked for is settled.
    Settled,
    /// Told to stop, or out of patience; what was in the air came home.
    Stopped,
}

impl Driver {
    /// Joins core to the world. Nothing happens before [`Driver::look`].
    pub fn new(keeper: Keeper, limbs: Limbs, listener: Listener) -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        let (wish, wishes) = mpsc::unbounded_channel();
        let journal = Arc::new(Mutex::new(limbs.journal));
        let drift = Drift::since(limbs.clock.now());
        let world = World::new(limbs.stores, limbs.http, limbs.probe, journal, answer.clone());
        Self {
            keeper,
            clock: limbs.clock,
            world,
            own_files: OwnFiles::new(limbs.state, limbs.history, limbs.lock.share().ok()),
            guests: BTreeMap::new(),
            desk: Desk::new(),
            answer,
            socket: limbs.socket,
            journal_file: limbs.journal_file,
            env: limbs.env,
            keyring: limbs.keyring,
            network: None,
            moves: Moves::default(),
            drift,
            signs_in: false,
            asked: None,
            within: mpsc::unbounded_channel(),
            shown: None,
            answers,
            sights: Sights::new(),
            visits: Visits::new(),
            wish,
            wishes,
            listener,
            watcher: None,
            lock: limbs.lock,
        }
    }

    /// Ends it and hands the engine's lock on, so that nobody else acts before the next one does. `None`:
    /// the disk of our own files does not answer, and what they are to hold is not written yet.
    pub fn into_lock(self) -> Option<EngineLock> {
        self.own_files.end().then_some(self.lock)
    }

    /// From now on `watcher` sees the truth after everything that happens.
    pub fn watch_with(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
    }

    /// Looks at every store once and lets core start what is due.
    pub async fn look(&mut self) {
        self.ask_for_a_route();
        for (store, seen) in self.world.look_at_all().await {
            self.handle(Input::StoreSeen { store, seen });
        }
    }

    /// Shows sign-in pages' addresses to whoever began in this process.
    pub fn invite_by(&mut self, inviter: Inviter) {
        self.desk.inviter = Some(inviter);
    }

    /// Where callbacks may be brought that a person pasted.
    pub fn knocker(&self) -> mpsc::UnboundedSender<Knock> {
        self.desk.knocker()
    }

    /// Where somebody in this process may ask core for something while the loop runs.
    pub fn wisher(&self) -> mpsc::UnboundedSender<Action> {
        self.wish.clone()
    }

    /// Asks core for something.
    pub fn act(&mut self, action: Action) {
        self.signs_in |= matches!(action, Action::Reconnect(_));
        self.handle(Input::Act(action));
    }

    /// The whole truth now.
    pub fn snapshot(&self) -> Snapshot {
        self.keeper.snapshot()
    }

    /// Whether the journal holds new tokens that are still to be saved, or to be looked at once more: then
    /// [`last_look`](Self::last_look) has work to do [`LAST_LOOK`] from now.
    pub fn leaves_records(&self) -> bool {
        self.keeper.leaves_records()
    }

    /// Gives what another run saved its last look; whether another one is due, because tokens had to be put
    /// back. Other commands wait for its end, so it takes a few seconds at most.
    pub async fn last_look(&mut self, stop: impl Future<Output = ()> + Send) -> bool {
        self.look().await;
        self.settle(stop, LAST_LOOK_TIME).await;
        self.leaves_records()
    }

    /// Works until all that was asked for is settled, `stop` resolves, or `patience` is over. What
    /// is in the air then still comes home.
    pub async fn settle(
        &mut self,
        stop: impl Future<Output = ()> + Send,
        patience: Duration,
    ) -> Rest {
        let mut stop = std::pin::pin!(stop);
        let mut deadline = std::pin::pin!(tokio::time::sleep(patience));
        // A callback may come by way of another command.
        let mut asked = if self.signs_in { self.door() } else { Door::shut() };
        let mut rest = Rest::Settled;
        while self.keeper.is_busy() {
            let sleep = self.until_wake();
            tokio::select! {
                Some((ticket, outcome)) = self.answers.recv() => {
                    self.handle(Input::Done(ticket, outcome));
                }
                () = tokio::time::sleep(sleep) => self.handle(Input::Tick),
                Some(knock) = self.desk.knocks.recv() => self.knocked(knock),
                Some(action) = self.wishes.recv() => self.act(action),
                Some(asked) = asked.recv() => self.hear(asked),
                () = &mut stop, if rest == Rest::Settled => {
                    rest = Rest::Stopped;
                    self.handle(Input::Stopping);
                }
                () = &mut deadline, if rest == Rest::Settled => {
                    rest = Rest::Stopped;
                    self.handle(Input::Stopping);
                }
            }
            if rest == Rest::Stopped && !self.keeper.is_in_the_air() {
                break;
            }
        }
        let told = tokio::time::sleep(SEE_OFF);
        let mut told = std::pin::pin!(told);
        // Who brought a callback by a command hears how it went, and leaves then.
        while !self.desk.callers.is_empty() {
            tokio::select! {
                Some(asked) = asked.recv() => self.hear(asked),
                () = &mut told => break,
            }
        }
        self.desk.see_off().await;
        self.warn_of_unsaved();
        rest
    }

    /// Keeps every grant fresh until `stop` resolves; what is in the air then still comes home.
    ///
    /// Looks again at a store that changed, and plans everything anew when the machine slept or its
    /// clock was set.
    pub async fn keep(&mut self, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let mut watch = Watch::over(&self.world.stores());
        let mut alarms = Alarms::listen(&self.env);
        let mut leave: Option<Leave> = None;
        let mut stopping = false;
        let mut asked = self.door();
        while !stopping || self.keeper.is_in_the_air() {
            let (sleep, try_again) = (self.until_wake(), self.visits.due());
            let moved = self.moves.due();
            tokio::select! {
                Some((ticket, outcome)) = self.answers.recv() => {
                    self.handle(Input::Done(ticket, outcome));
                }
                () = tokio::time::sleep(sleep) => self.handle(Input::Tick),
                Some(store) = watch.changed.recv(), if !stopping => self.sights.changed(store, &self.world),
                Some((store, seen)) = self.sights.news.recv() => {
                    self.sights.came(&store, &self.world);
                    self.visits.is_done(&store);
                    self.handle(Input::StoreSeen { store, seen });
                }
                Some((store, opened)) = self.visits.news.recv() => self.tried(&store, opened),
                () = tokio::time::sleep_until(try_again),
                    if !stopping && self.keeper.out_of_reach().next().is_some() => {
                    self.visit_again();
                }
                () = tokio::time::sleep_until(moved.unwrap_or_else(Instant::now)),
                    if moved.is_some() => self.moved_lately(),
                Some(asked) = asked.recv(), if !stopping => self.hear(asked),
                Some(asked) = self.within.1.recv(), if !stopping => self.hear(asked),
                Some(knock) = self.desk.knocks.recv() => self.knocked(knock),
                Some(action) = self.wishes.recv(), if !stopping => {
                    self.visit_again();
                    self.act(action);
                }
                Some(news) = alarms.news.recv() => match news {
                    News::FallingAsleep(until_ready) => {
                        tracing::info!("the machine is about to sleep or to be shut down");
                        leave = Some(until_ready);
                        self.handle(Input::FallingAsleep);
                    }
                    News::Awake => {
                        leave = None;
                        self.drift = Drift::since(self.clock.now());
                        self.woke(WokeWhy::Resumed);
                    }
                    News::ClockSet => self.notice_time(),
                    News::Routes => self.routes_changed(),
                },
                key = key_of(&mut self.keyring), if !self.keeper.holds_unsaved() => {
                    self.unlock_journal(key);
                }
                () = &mut stop, if !stopping => {
                    stopping = true;
                    // What this process asked before it said stop counts.
                    while let Ok(asked) = self.within.1.try_recv() {
                        self.hear(asked);
                    }
                    self.handle(Input::Stopping);
                }
            }
            if !self.keeper.is_in_the_air() {
                // All is home: the machine may sleep.
                leave = None;
            }
            self.ask_for_a_route();
        }
        self.desk.see_off().await;
        self.warn_of_unsaved();
        drop(leave);
    }

    /// Says what ends with this process.
    fn warn_of_unsaved(&self) {
        let answers = self.keeper.only_in_memory();
        if answers > 0 {
            let journal = self.journal_file.display();
            tracing::warn!(answers, %journal, "answers that could not be read are lost: the journal could not be written");
        }
    }

    /// The keyring has the journal's key after all. What may go better another time is tried again
    /// when the keyring is asked again.
    fn unlock_journal(&mut self, key: Key) {
        let (records, state) = self.world.unlock_journal(key, self.clock.now().wall);
        match &state {
            JournalState::Sealed => {
                tracing::info!(records = records.len(), "the keyring has the journal's key now");
            }
            JournalState::SetAside { to, .. } => {
                tracing::warn!(to = %to.display(), "the journal could not be read and was set aside");
            }
            JournalState::Unsealed => {
                tracing::warn!("the journal could not be sealed");
                return;
            }
            JournalState::Closed(why @ (Closed::NoKey | Closed::Denied(_))) => {
                tracing::warn!(%why, "the journal can't be opened");
                return;
            }
            JournalState::Closed(why @ (Closed::OtherKey | Closed::Newer)) => {
                tracing::warn!(%why, "the journal stays closed");
                self.keyring = None;
                return;
            }
        }
        self.keyring = None;
        let known = self.world.stores().iter().map(|store| store.info().id).collect();
        let waiting = self.world.waiting();
        let opened =
            elsewhere::open(waiting, &known, &self.env, &self.journal_file, &mut self.keeper);
        for store in opened {
            self.take_in(store);
        }
        self.handle(Input::JournalOpened(records));
    }

    /// Looks at a store that is visited from now on.
    fn take_in(&mut self, store: Arc<dyn Store>) {
        let id = store.info().id;
        self.world.take_in(store);
        self.sights.changed(id, &self.world);
    }

    /// Tries the stores again that could not be visited.
    fn visit_again(&mut self) {
        let shut = self.keeper.out_of_reach().cloned().collect();
        self.visits.begin(shut, &self.world, &self.env);
    }

    /// A store was tried again.
    fn tried(&mut self, id: &StoreId, opened: Option<Arc<dyn Store>>) {
        match opened {
            Some(store) if self.keeper.out_of_reach().any(|shut| shut == id) => {
                tracing::info!(store = %id, "it is there again, and is visited");
                self.keeper.visit(store.info());
                self.take_in(store);
            }
            Some(_) | None => self.visits.is_done(id),
        }
        self.settle_guests();
    }

    /// Time passed unseen: everything is planned anew.
    fn woke(&mut self, why: WokeWhy) {
        tracing::info!(?why, "everything is planned anew");
        self.visit_again();
        // A lock looks old after either.
        if matches!(why, WokeWhy::Resumed | WokeWhy::ClockStepped) {
            self.world.just_woke();
        }
        if why == WokeWhy::Resumed
            && let Some(keyring) = &mut self.keyring
        {
            keyring.hurry();
        }
        self.handle(Input::Woke(why));
    }

    /// Some route came or went. Where there was a way out before and after, it may be another network:
    /// what failed there may work here.
    fn routes_changed(&mut self) {
        let before = self.network;
        self.ask_for_a_route();
        if before == Some(true) && self.network == Some(true) {
            self.moved();
        }
    }

    /// The time of a move has come that was too soon after another.
    fn moved_lately(&mut self) {
        if self.network == Some(true) {
            self.moved();
        } else {
            // The way out is gone again: its return is a move of its own.
            self.moves = Moves::default();
        }
    }

    fn moved(&mut self) {
        if self.moves.moved(Instant::now()) {
            self.woke(WokeWhy::RouteChanged);
        }
    }

    /// Asks whether there is a way out; a way that is back clears every backoff.
    fn ask_for_a_route(&mut self) {
        let up = has_route();
        let before = self.network.replace(up);
        if before == Some(up) {
            return;
        }
        self.handle(Input::Network(up));
        if before == Some(false) {
            self.moved();
        }
    }

    /// A guest from within this process; what it asks is heard while the driver keeps.
    pub fn inside(&mut self) -> Inside {
        let (answer, hear) = mpsc::unbounded_channel();
        self.guests.insert(INSIDE, Guest::new(Answers::Inside(answer)));
        Inside::new(self.within.0.clone(), hear)
    }

    /// Lets commands in from now on; what they ask is heard when the loop runs.
    pub fn welcome(&mut self) {
        self.asked = Some(self.open_door());
    }

    fn door(&mut self) -> Door {
        self.asked.take().unwrap_or_else(|| self.open_door())
    }

    /// Lets commands in. Without a socket they wait for this engine to end.
    fn open_door(&self) -> Door {
        #[cfg(unix)]
        match crate::socket::serve(&self.socket) {
            Ok(door) => return door,
            Err(fault) => tracing::warn!(%fault, "commands can't reach this keeper"),
        }
        Door::shut()
    }

    /// A browser came back.
    fn knocked(&mut self, knock: Knock) {
        let door = self.desk.open(knock.answer);
        self.handle(Input::CalledBack(door, knock.query));
    }

    /// Shows the page's address to who began: a command over there, or this process.
    fn invite(&mut self, grant: &GrantId, invitation: &Invitation) {
        let guest = self.desk.guests.get(grant).and_then(|guest| self.guests.get(guest));
        if let Some(guest) = guest {
            let invited = Invited::of(grant, invitation);
            let _ = guest.answer.send(Reply::Invited(Box::new(invited)));
        } else if let Some(inviter) = &mut self.desk.inviter {
            inviter(grant, invitation);
        }
    }

    /// Somebody came, asked or left.
    fn hear(&mut self, asked: Asked) {
        match asked.what {
            Said::Came(answer) => {
                self.guests.insert(asked.guest, Guest::new(answer));
            }
            Said::Left => {
                self.guests.remove(&asked.guest);
                self.desk.callers.remove(&asked.guest);
                let all = self.desk.guests.iter();
                let began = all.filter(|(_, guest)| **guest == asked.guest);
                let began: Vec<GrantId> = began.map(|(grant, _)| grant.clone()).collect();
                self.desk.guests.retain(|_, guest| *guest != asked.guest);
                for grant in began {
                    // Who asked is gone: nobody would see how it ends.
                    self.handle(Input::Act(Action::CancelSignIn(grant)));
                }
            }
            Said::Asks(Request::Callback(query)) => {
                self.desk.callers.insert(asked.guest);
                let (answer, told) = oneshot::channel();
                self.knocked(Knock { query: Secret::new(query), answer });
                if let Some(guest) = self.guests.get(&asked.guest) {
                    let guest = guest.answer.clone();
                    tokio::spawn(async move {
                        if let Ok(page) = told.await {
                            let waited = page.title != NOT_WAITING;
                            let (title, good) = (page.title, page.good);
                            let _ = guest.send(Reply::Page { title, good, waited });
                        }
                    });
                }
            }
            Said::Asks(Request::Snapshot) => {
                let snapshot = Reply::Snapshot(Box::new(self.keeper.snapshot()));
                if let Some(guest) = self.guests.get(&asked.guest) {
                    // A guest that has gone is seen to leave.
                    let _ = guest.answer.show(snapshot);
                }
            }
            Said::Asks(Request::Watch) => {
                let snapshot = self.keeper.snapshot();
                if let Some(guest) = self.guests.get_mut(&asked.guest) {
                    guest.watches = true;
                    let _ = guest.answer.send(Reply::Snapshot(Box::new(snapshot)));
                }
            }
            Said::Asks(Request::Events) => {
                if let Some(guest) = self.guests.get_mut(&asked.guest) {
                    guest.listens = true;
                }
            }
            Said::Asks(Request::ShowsPages) => {
                if let Some(guest) = self.guests.get_mut(&asked.guest) {
                    guest.shows_pages = true;
                }
            }
            Said::Asks(Request::OpenPage) => {
                let mut desktops = self.guests.values().filter(|guest| guest.shows_pages);
                // Two desktops of one user would show it twice: one is enough.
                let told = desktops.any(|desktop| desktop.answer.send(Reply::OpenPage).is_ok());
                if let Some(guest) = self.guests.get(&asked.guest) {
                    let _ = guest.answer.send(Reply::PageAsked(told));
                }
            }
            Said::Asks(Request::Act(action)) => {
                let about = action.grant().cloned();
                if let Action::Reconnect(wish) = &action {
                    self.desk.guests.insert(wish.grant.clone(), asked.guest);
                }
                let all = || self.keeper.snapshot().rows.into_iter().map(|row| row.id).collect();
                let open = about.map_or_else(all, |grant| BTreeSet::from([grant]));
                let for_all = action.grant().is_none();
                if let Some(guest) = self.guests.get_mut(&asked.guest) {
                    guest.open.extend(open);
                    guest.all |= for_all;
                    guest.owed = true;
                }
                self.visit_again();
                self.handle(Input::Act(action));
            }
        }
        self.settle_guests();
    }

    /// Tells guests whose wishes are settled.
    fn settle_guests(&mut self) {
        let keeper = &self.keeper;
        for guest in self.guests.values_mut().filter(|guest| guest.owed) {
            if guest.all {
                if keeper.is_looking_first() || self.visits.are_out() {
                    continue;
                }
                // The look may have found more than was known when it was asked for.
                guest.open.extend(keeper.snapshot().rows.into_iter().map(|row| row.id));
                guest.all = false;
            }
            guest.open.retain(|grant| !keeper.is_settled(grant));
            if guest.open.is_empty() {
                guest.owed = false;
                let _ = guest.answer.send(Reply::Settled);
            }
        }
    }

    fn until_wake(&self) -> Duration {
        let now = self.clock.now().boot;
        let wake = self.keeper.poll_wake().map_or(Boot(u64::MAX), |wake| wake.at);
        let longest = if self.visits.are_out() { visits::PATIENCE } else { LONGEST_SLEEP };
        Duration::from_millis(now.until(wake).0).min(longest)
    }

    /// Whether time passed that nobody counted: a sleep that only a timer noticed, or a clock that was set.
    fn notice_time(&mut self) {
        if let Some(why) = self.drift.passed(self.clock.now()) {
            self.woke(why);
        }
    }

    /// One input in, every effect out. Time that passed unseen is told first: what a timer starts after a
    /// sleep must already know of it.
    fn handle(&mut self, input: Input) {
        self.notice_time();
        self.keeper.handle(input, self.clock.now());
        while let Some(effect) = self.keeper.poll_effect() {
            match effect {
                Effect::Tell { event } => {
                    self.own_files.record(&event, self.clock.now().wall);
                    (self.listener)(&event, &self.keeper);
                    for guest in self.guests.values().filter(|g| g.listens || g.owed) {
                        let _ = guest.answer.send(Reply::Event(Box::new(event.clone())));
                    }
                }
                Effect::Remember { change } => {
                    if let Err(fault) = self.own_files.remember(change) {
                        tracing::warn!(%fault, "facts could not be kept");
                        self.keeper.handle(Input::RememberFailed(fault), self.clock.now());
                    }
                }
                Effect::Listen { ticket, sign_in, port } => {
                    let outcome = Outcome::Listening(self.desk.listen(sign_in, port));
                    let _ = self.answer.send((ticket, outcome));
                }
                Effect::Hush { sign_in } => self.desk.hush(sign_in),
                Effect::Show { door, page } => self.desk.show(door, &page),
                Effect::Invite { grant, invitation } => self.invite(&grant, &invitation),
                Effect::Lock { .. }
                | Effect::Read { .. }
                | Effect::Intent { .. }
                | Effect::Send { .. }
                | Effect::Journal { .. }
                | Effect::Write { .. }
                | Effect::Remove { .. }
                | Effect::ReadBack { .. }
                | Effect::Unlock { .. }
                | Effect::Fetch { .. }
                | Effect::Draw { .. }
                | Effect::Forget { .. }
                | Effect::Withdraw { .. }
                | Effect::Probe { .. } => self.world.perform(effect),
            }
        }
        if let Some(watcher) = &mut self.watcher {
            watcher(&self.keeper.snapshot());
        }
        self.show_guests();
        self.settle_guests();
    }

    /// Sends the truth to guests that watch, where it has changed.
    fn show_guests(&mut self) {
        if !self.guests.values().any(|guest| guest.watches) {
            return;
        }
        let snapshot = self.keeper.snapshot();
        if self.shown.as_ref() == Some(&snapshot) {
            return;
        }
        for guest in self.guests.values().filter(|guest| guest.watches) {
            let _ = guest.answer.show(Reply::Snapshot(Box::new(snapshot.clone())));
        }
        self.shown = Some(snapshot);
    }
}

/// The key, when there is one; never, where none is looked for.
async fn key_of(keyring: &mut Option<Later>) -> Key {
    match keyring {
        Some(later) => later.key().await,
        None => std::future::pending().await,
    }
}
