//! Holds every keeper of every test, after every input, to one that looks at everything: what was
//! not touched must come out as it was.

use super::*;
use crate::{
    ids::{Door, TokenMark},
    journal::Stage,
    oauth::authorize::Entropy,
    signin::Invitation,
    store::{ConfiguredServer, NewTokens, SignIns},
};

/// A copy of a keeper that takes the same input in and looks at all there is.
pub(in crate::keeper) struct Thorough(Keeper, Now);

/// The copy, after the input.
pub(in crate::keeper) fn thorough(keeper: &Keeper, input: &Input, now: Now) -> Thorough {
    let mut copy = keeper.clone();
    copy.grants.touch_all();
    for id in copy.spares.ids() {
        copy.spares.edit(&id, |_| ());
    }
    copy.take_in(input.clone(), now);
    Thorough(copy, now)
}

impl Thorough {
    /// The keeper that looked at what was touched came to the same.
    pub(in crate::keeper) fn is_matched_by(&self, keeper: &Keeper) {
        assert_eq!(self.0.effects, keeper.effects, "other effects");
        assert_eq!(self.0.facts.facts(), keeper.facts.facts(), "other facts");
        assert_eq!(self.0.notices, keeper.notices, "other notices");
        assert_eq!(self.0.relooks, keeper.relooks, "other looks");
        let (all, touched) = (self.0.grants.check(), keeper.grants.check());
        keeper.spares.check();
        assert_eq!(all, touched, "other moments");
        assert_eq!(self.0.poll_wake(), keeper.poll_wake(), "another wake");
        assert!(keeper.no_sign_in_is_stranded());
        self.wakes_in_the_future();
    }

    /// A wake that lies in the past is one that nothing is done about, if it does so twice in a row.
    fn wakes_in_the_future(&self) {
        let Self(mut keeper, now) = Self(self.0.clone(), self.1);
        keeper.take_in(Input::Tick, now);
        let wake = keeper.first_wake();
        assert!(
            wake.as_ref().is_none_or(|wake| wake.at > keeper.now.boot),
            "a wake in the past: {wake:?} at {:?}",
            keeper.now
        );
    }
}

/// Several stores, with grants of their own and copies of one another's, in a world that answers
/// anything.
#[derive(Debug, Clone)]
struct Crowd {
    now: Now,
    stores: BTreeMap<StoreId, Result<StoreView, StoreFault>>,
    facts: Facts,
    issued: u32,
    /// What the token endpoint says next; nothing: new tokens.
    weather: VecDeque<Weather>,
    probe: ProbeFinding,
    invitations: Vec<Invitation>,
}

/// Something that happens to the crowd.
#[derive(Debug, Clone)]
enum Turn {
    Pass(u64),
    Drift(i64),
    Weather(Weather),
    Probe(bool),
    Wiper(usize, bool),
    Verdict(usize, usize),
    Fault(usize, u8),
    SignOut(usize, usize),
    SignIn(usize, usize, u8, u64),
    Copy(usize, usize),
    Network(bool),
    Asleep,
    Woke(u8),
    Act(u8, usize, usize),
    /// A sign-in, which the browser comes back to, well or not, or leaves open; perhaps another way.
    Reconnect(usize, usize, u8, bool),
    /// A browser comes back to one of the invitations, from a sign-in that went well or not.
    CameBack(usize, bool),
    /// The journal opens, with what an earlier run wrote down about a grant.
    Journal(u8, usize, usize),
}

const STORES: [&str; 3] = ["one", "two", "three"];
const NAMES: [&str; 3] = ["slack", "notion", "linear"];

fn turn() -> impl Strategy<Value = Turn> {
    use Weather::{Busy, CutBefore, Fine, InvalidGrant, InvalidRequest, Unreachable};
    let (store, name) = (0..STORES.len(), 0..NAMES.len());
    prop_oneof![
        5 => (1..3_000_000_u64).prop_map(Turn::Pass),
        2 => (-400..400_i64).prop_map(Turn::Drift),
        3 => proptest::sample::select(vec![
            Fine, Unreachable, CutBefore, Busy, InvalidGrant, InvalidRequest,
        ]).prop_map(Turn::Weather),
        1 => any::<bool>().prop_map(Turn::Probe),
        2 => (store.clone(), any::<bool>()).prop_map(|(s, on)| Turn::Wiper(s, on)),
        2 => (store.clone(), name.clone()).prop_map(|(s, n)| Turn::Verdict(s, n)),
        2 => (store.clone(), 0..5_u8).prop_map(|(s, how)| Turn::Fault(s, how)),
        1 => (store.clone(), name.clone()).prop_map(|(s, n)| Turn::SignOut(s, n)),
        4 => (store.clone(), name.clone(), 0..4_u8, 1..5_000_000_u64)
            .prop_map(|(s, n, kind, life)| Turn::SignIn(s, n, kind, life)),
        2 => (store.clone(), store.clone()).prop_map(|(from, to)| Turn::Copy(from, to)),
        1 => any::<bool>().prop_map(Turn::Network),
        1 => Just(Turn::Asleep),
        1 => (0..3_u8).prop_map(Turn::Woke),
        4 => (0..11_u8, store.clone(), name.clone()).prop_map(|(what, s, n)| Turn::Act(what, s, n)),
        3 => (store.clone(), name.clone(), 0..3_u8, any::<bool>())
            .prop_map(|(s, n, end, other)| Turn::Reconnect(s, n, end, other)),
        1 => (0..3_usize, any::<bool>()).prop_map(|(back, good)| Turn::CameBack(back, good)),
        1 => (0..4_u8, store, name).prop_map(|(stage, s, n)| Turn::Journal(stage, s, n)),
    ]
}

impl Crowd {
    fn new() -> Self {
        Self {
            now: Now { wall: Wall(1_800_000_000_000), boot: Boot(1_000_000) },
            stores: STORES.iter().map(|id| ((*id).into(), Ok(empty()))).collect(),
            facts: Facts::default(),
            issued: 0,
            weather: VecDeque::new(),
            probe: ProbeFinding::Accepted(None),
            invitations: vec![],
        }
    }

    fn keeper(&self, mode: Mode) -> Keeper {
        let info = |id: &StoreId| StoreInfo {
            id: id.clone(),
            client: "Claude Code".into(),
            place: "~/.claude".into(),
            client_margin: Millis::minutes(5),
        };
        let opening = Opening {
            stores: self.stores.keys().map(info).collect(),
            facts: self.facts.clone(),
            journal: vec![],
            profiles: Profiles::default(),
            mark_key: MarkKey([1; 32]),
            seed: 7,
            mode,
            probes: true,
            plain_http: PlainHttp::default(),
            sign_in_means: SignInMeans { scheme_served: true, metadata_document: None },
        };
        Keeper::new(opening, self.now)
    }

    fn view(&mut self, store: usize) -> Option<&mut StoreView> {
        self.stores.get_mut(&StoreId::from(STORES[store]))?.as_mut().ok()
    }

    fn look(&mut self, keeper: &mut Keeper, store: usize) {
        let store = StoreId::from(STORES[store]);
        let seen = self.stores[&store].clone();
        keeper.handle(Input::StoreSeen { store, seen }, self.now);
    }

    fn settle(&mut self, keeper: &mut Keeper) {
        let mut guard = 0;
        while let Some(effect) = keeper.poll_effect() {
            guard += 1;
            assert!(guard < 2_000, "the keeper does not come to rest");
            let Some((ticket, outcome)) = self.perform(effect) else { continue };
            self.now.boot.0 += 5;
            self.now.wall.0 += 5;
            keeper.handle(Input::Done(ticket, outcome), self.now);
        }
        assert_eq!(*keeper.facts.facts(), self.facts, "changes add up to the facts");
    }

    fn pass(&mut self, keeper: &mut Keeper, span: u64) {
        let end = Boot(self.now.boot.0 + span);
        loop {
            let wake = keeper.poll_wake().filter(|wake| wake.at <= end);
            assert!(
                wake.as_ref().is_none_or(|wake| wake.at > self.now.boot),
                "{wake:?} has passed"
            );
            let step = self.now.boot.until(wake.as_ref().map_or(end, |wake| wake.at));
            self.now = Now { wall: self.now.wall + step, boot: self.now.boot + step };
            keeper.handle(Input::Tick, self.now);
            self.settle(keeper);
            if wake.is_none() {
                return;
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<(Ticket, Outcome)> {
        Some(match effect {
            Effect::Lock { ticket, .. } => (ticket, Outcome::Locked(Ok(()))),
            Effect::Read { ticket, stores, .. } | Effect::ReadBack { ticket, stores, .. } => {
                let views = stores.into_iter().map(|id| (id.clone(), self.stores[&id].clone()));
                (ticket, Outcome::Read(views.collect()))
            }
            Effect::Intent { ticket, .. }
            | Effect::Journal { ticket, .. }
            | Effect::Forget { ticket, .. } => (ticket, Outcome::Kept(Ok(()))),
            Effect::Send { ticket, .. } => {
                (ticket, Outcome::Answered(self.token().map_err(SendFault::Http)))
            }
            Effect::Write { ticket, store, change, .. } => {
                (ticket, Outcome::Wrote(self.write(&store, change)))
            }
            Effect::Remove { ticket, store, key, expect, .. } => {
                (ticket, Outcome::Wrote(self.remove(&store, &key, &expect)))
            }
            Effect::Unlock { ticket, .. } => (ticket, Outcome::Unlocked),
            Effect::Fetch { ticket, request } => {
                self.issued += 1;
                let page = World::new().sign_in_page(&request, &format!("{}", self.issued));
                let answer = page.unwrap_or_else(|| World::new().metadata(&request));
                (ticket, Outcome::Fetched(Ok(answer)))
            }
            Effect::Withdraw { ticket, store, server_name, .. } => {
                if let Some(Ok(view)) = self.stores.get_mut(&store) {
                    view.verdicts.retain(|verdict| verdict.server_name != server_name);
                }
                (ticket, Outcome::Withdrawn(Ok(true)))
            }
            Effect::Probe { ticket, .. } => (ticket, Outcome::Probed(self.probe)),
            Effect::Draw { ticket } => {
                let n = u8::try_from(self.invitations.len()).unwrap();
                (ticket, Outcome::Drawn(Entropy::new([n; 64])))
            }
            Effect::Listen { ticket, .. } => (ticket, Outcome::Listening(Ok(50_000))),
            Effect::Invite { invitation, .. } => {
                self.invitations.push(invitation);
                return None;
            }
            Effect::Show { .. } | Effect::Hush { .. } => return None,
            Effect::Remember { change } => {
                self.facts.apply(change);
                return None;
            }
            Effect::Tell { .. } => return None,
        })
    }

    fn remove(
        &mut self,
        store: &StoreId,
        key: &EntryKey,
        expect: &TokenPair,
    ) -> Result<Written, StoreFault> {
        let view = self.stores.get_mut(store).expect("a store").as_mut().map_err(|f| f.clone())?;
        let Some(place) = view.entries.iter().position(|entry| entry.key == *key) else {
            return Ok(Written::Gone);
        };
        if view.entries[place].pair != *expect {
            return Ok(Written::Conflict(view.entries[place].pair.clone()));
        }
        view.entries.remove(place);
        Ok(Written::Saved)
    }

    fn token(&mut self) -> Result<Answer, Fault> {
        let refused = |code: &str| Ok(answer(400, format!(r#"{{"error":"{code}"}}"#)));
        match self.weather.pop_front().unwrap_or(Weather::Fine) {
            Weather::Unreachable => Err(Fault::Connect),
            Weather::CutBefore => Err(Fault::Cut),
            Weather::Busy => Ok(answer(429, String::new())),
            Weather::InvalidGrant => refused("invalid_grant"),
            Weather::InvalidRequest => refused("invalid_request"),
            _ => {
                self.issued += 1;
                let n = self.issued;
                Ok(answer(
                    200,
                    format!(
                        r#"{{"access_token":"a{n}","refresh_token":"r{n}","expires_in":3600}}"#
                    ),
                ))
            }
        }
    }

    fn write(
        &mut self,
        store: &StoreId,
        change: crate::store::Change,
    ) -> Result<Written, StoreFault> {
        let view = self.stores.get_mut(store).unwrap().as_mut().map_err(|fault| fault.clone())?;
        let known = view.entries.iter().any(|entry| entry.key == change.key);
        if let (Some(enrolment), false) = (&change.enrolment, known) {
            let mut made = entry(&enrolment.server_name, "", "", 0);
            (made.key, made.pair) = (change.key.clone(), TokenPair::default());
            view.entries.push(made);
        }
        let Some(entry) = view.entries.iter_mut().find(|entry| entry.key == change.key) else {
            return Ok(Written::Gone);
        };
        if entry.pair != change.expect {
            return Ok(Written::Conflict(entry.pair.clone()));
        }
        entry.pair = change.new.pair();
        if let Some(enrolment) = change.enrolment {
            entry.client = Some(enrolment.client);
        }
        Ok(Written::Saved)
    }

    /// The browser comes back to the newest invitation but so many.
    fn come_back(&self, keeper: &mut Keeper, but: usize, good: bool) {
        let Some(invitation) = self.invitations.iter().rev().nth(but) else { return };
        let url = url::Url::parse(invitation.url.expose()).unwrap();
        let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let what = if good { "code=good" } else { "error=access_denied" };
        let query = Secret::new(format!("{what}&state={state}"));
        keeper.handle(Input::CalledBack(Door(1), query), self.now);
    }

    /// What an earlier run wrote down about the pair that an entry holds now.
    fn earlier_record(&mut self, stage: u8, store: usize, name: usize) -> Option<Record> {
        let at = self.now.wall - Millis::seconds(20);
        let view = self.view(store)?;
        let entry = view.entries.iter().find(|entry| entry.server_name == NAMES[name])?.clone();
        self.issued += 1;
        let n = self.issued;
        let tokens = NewTokens {
            access: Secret::new(format!("a{n}")),
            refresh: secret(&format!("r{n}")),
            expires_at: Some(at + Millis::hours(1)),
            scope: None,
        };
        Some(Record {
            id: RecordId(format!("earlier-{n}")),
            at,
            mark: TokenMark::of(&MarkKey([1; 32]), entry.pair.refresh.as_ref()?),
            client_id: "cl".into(),
            replaced: vec![(Target { store: STORES[store].into(), key: entry.key }, entry.pair)],
            stage: match stage {
                0 => Stage::Intent,
                1 => Stage::Raw(Zeroizing::new(b"<html>".to_vec())),
                2 => Stage::Answered(tokens),
                _ => Stage::Saved { tokens, at, looks: 0, restores: 0 },
            },
            enrolment: None,
            written_over: None,
        })
    }

    fn take(&mut self, keeper: &mut Keeper, turn: Turn) {
        match turn {
            Turn::Pass(span) => self.pass(keeper, span),
            // The clock is slewed and nobody says so.
            Turn::Drift(by) => self.now.wall.0 += by,
            Turn::Weather(weather) => self.weather.push_back(weather),
            Turn::Probe(true) => self.probe = ProbeFinding::Accepted(Some(3)),
            Turn::Probe(false) => self.probe = ProbeFinding::Refused,
            Turn::Wiper(store, on) => {
                if let Some(view) = self.view(store) {
                    view.wiper = on.then_some(Wiper { version: None });
                }
                self.look(keeper, store);
            }
            Turn::Verdict(store, name) => {
                let (server_name, at) = (NAMES[name].into(), self.now.wall);
                if let Some(view) = self.view(store) {
                    // One a server, as in the client's cache.
                    view.verdicts.retain(|verdict| verdict.server_name != NAMES[name]);
                    view.verdicts.push(AuthVerdict { server_name, at, left_alone: false });
                }
                self.look(keeper, store);
            }
            Turn::Fault(store, how) => {
                let beside = |sign_ins| StoreView { sign_ins, ..empty() };
                let seen = match how {
                    0 => Err(StoreFault::Locked { place: "keychain".into() }),
                    1 => Err(StoreFault::Absent { place: "folder".into() }),
                    2 => Ok(beside(SignIns::None)),
                    3 => Ok(beside(SignIns::Away)),
                    _ => Ok(empty()),
                };
                self.stores.insert(STORES[store].into(), seen);
                self.look(keeper, store);
            }
            Turn::SignOut(store, name) => {
                if let Some(view) = self.view(store) {
                    view.entries.retain(|entry| entry.server_name != NAMES[name]);
                }
                self.look(keeper, store);
            }
            Turn::SignIn(store, name, kind, life) => {
                self.issued += 1;
                let (n, end) = (self.issued, self.now.wall + Millis(life));
                let mut new = entry(NAMES[name], &format!("a{n}"), &format!("r{n}"), end.0);
                match kind {
                    0 => new.pair.refresh = None,
                    // Two of one name.
                    1 => new.key = EntryKey(format!("{}|1", NAMES[name])),
                    _ => {}
                }
                if let Some(view) = self.view(store) {
                    view.entries.retain(|entry| entry.key != new.key);
                    view.entries.push(new);
                }
                self.look(keeper, store);
            }
            Turn::Copy(from, to) => {
                let entries = self.view(from).map(|view| view.entries.clone());
                if let (Some(entries), Some(view)) = (entries, self.view(to)) {
                    view.entries = entries;
                }
                self.look(keeper, to);
            }
            Turn::Network(up) => keeper.handle(Input::Network(up), self.now),
            Turn::Asleep => keeper.handle(Input::FallingAsleep, self.now),
            Turn::Woke(why) => {
                let whys = [WokeWhy::Resumed, WokeWhy::ClockStepped, WokeWhy::RouteChanged];
                keeper.handle(Input::Woke(whys[usize::from(why)]), self.now);
            }
            Turn::Act(what, store, name) => {
                let id = GrantId(format!("{}/{}", STORES[store], NAMES[name]));
                let action = match what {
                    0 => Action::Renew(id),
                    1 => Action::RenewDue,
                    2 => Action::Pause(id),
                    3 => Action::Resume(id),
                    4 => Action::Trust(Trusted::new(id, "new.example")),
                    5 => Action::CancelSignIn(id),
                    6 => Action::Review(id),
                    7 => Action::SignOut(SignOut { grant: id, revoke: true }),
                    8 => Action::SignOut(SignOut { grant: id, revoke: false }),
                    9 => Action::AnotherWay(id),
                    _ => Action::Check(id),
                };
                keeper.handle(Input::Act(action), self.now);
            }
            Turn::Reconnect(store, name, end, other) => {
                let id = GrantId(format!("{}/{}", STORES[store], NAMES[name]));
                keeper.handle(Input::Act(Action::Reconnect(Reconnect::of(id.clone()))), self.now);
                self.settle(keeper);
                if other {
                    keeper.handle(Input::Act(Action::AnotherWay(id)), self.now);
                    self.settle(keeper);
                }
                if end > 0 {
                    self.come_back(keeper, 0, end == 1);
                }
            }
            Turn::CameBack(back, good) => self.come_back(keeper, back, good),
            Turn::Journal(stage, store, name) => {
                if let Some(record) = self.earlier_record(stage, store, name) {
                    keeper.handle(Input::JournalOpened(vec![record]), self.now);
                }
            }
        }
        self.settle(keeper);
    }
}

/// A store without sign-ins; one of the names is configured, so that it can be signed in to.
fn empty() -> StoreView {
    let server = ConfiguredServer {
        name: NAMES[0].into(),
        url: "https://mcp.example/mcp".into(),
        key: Some(EntryKey(format!("{}|0", NAMES[0]))),
        sign_in: SignInConfig::default(),
    };
    StoreView { servers: vec![server], ..StoreView::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Asserted after every input, by [`Thorough`]; that wakes lie ahead, by `pass`; that changes of
    /// facts add up to the facts, by `settle`.
    #[test]
    fn looking_at_what_was_touched_comes_to_the_same_as_looking_at_everything(
        asked_only in any::<bool>(),
        turns in prop::collection::vec(turn(), 1..40),
    ) {
        let mut crowd = Crowd::new();
        let mut keeper = crowd.keeper(if asked_only { Mode::OnRequest } else { Mode::Keep });
        for store in 0..STORES.len() {
            crowd.look(&mut keeper, store);
            crowd.settle(&mut keeper);
        }
        for turn in turns {
            crowd.take(&mut keeper, turn);
        }
    }
}

#[test]
fn an_input_that_changes_nothing_touches_nothing() {
    let mut world = World::new();
    let mut keeper = world.start();
    world.pass(&mut keeper, 5 * MINUTE);
    // What was touched while planning is looked at once more, and then no more.
    for _ in 0..2 {
        keeper.handle(world.seen(), world.now);
        assert!(world.settle(&mut keeper));
    }
    assert!(keeper.grants.touched().is_empty(), "{:?}", keeper.grants.touched());
}

#[test]
fn clocks_that_part_slowly_move_a_renewal_by_a_second_at_most() {
    for slew in [-1, 1] {
        let mut world = World::new();
        let mut keeper = world.start();
        world.pass(&mut keeper, 2 * MINUTE);
        let due = keeper.snapshot().rows[0].next_renewal_at.unwrap();
        // One millisecond in a second, as far as a clock is ever slewed.
        while world.renewed_by().len() == 1 {
            world.pass(&mut keeper, 1_000);
            world.now.wall.0 += slew;
            assert!(world.now.wall <= due + Millis::seconds(3), "{:?} {due:?}", world.now.wall);
        }
        assert!(world.now.wall >= due - Millis::seconds(1), "{:?} {due:?}", world.now.wall);
    }
}
