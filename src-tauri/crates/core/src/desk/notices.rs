//! What a person is told and when: once a cause, when somebody is there, and not while it works.
//!
//! A pure machine like the keeper: it is shown the truth, says what to put on the screen and what to
//! take from it, and when it wants to look again. It must not tell of anything that heals by itself,
//! nor say the same thing twice a day. A cause was told when its notice was on the screen, and not when
//! it was handed over: whoever shows it says so by [`Notices::shown`] or [`Notices::not_shown`].

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::Act;
use crate::{
    health::{Health, Shape},
    ids::GrantId,
    snapshot::{Row, Snapshot},
    time::{Millis, Wall},
};

/// Before its token ends a refused sign-in is told of this early; row and icon say so at once.
const BEFORE_END: Millis = Millis::minutes(30);
/// A token has ended and renewals fail, with a network: told after this long.
const FAILING: Millis = Millis::minutes(15);
/// New tokens that can't be saved: told after this long.
const UNSAVED: Millis = Millis::minutes(5);
/// The known end of a sign-in is told of this early.
const SIGN_IN_ENDS: Millis = Millis::hours(48);
/// The same cause is told of again no sooner.
const DAILY: Millis = Millis::hours(24);
/// A notice that could not be shown is tried again after this long.
const TRY_AGAIN: Millis = Millis::minutes(1);

/// Whether somebody sees the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// Somebody is there, or nothing says otherwise.
    Here,
    /// The screen is locked, or nobody has touched anything for long.
    Away,
}

/// A notice on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Names it, so that it can be taken away.
    pub number: u32,
    /// A few words: `Slack needs you`.
    pub title: String,
    /// One sentence.
    pub body: String,
    /// What its one button says.
    pub button: String,
    /// What its button does.
    pub act: Act,
    /// What a click elsewhere on it does.
    pub click: Act,
}

/// What is to be done on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Show this.
    Show(Shown),
    /// Take this away.
    Withdraw(u32),
}

/// How a notice left the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Somebody clicked.
    Clicked,
    /// Closed, or gone by itself, unread.
    Unread,
}

/// When each cause was last told of: kept across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Told(pub BTreeMap<String, Wall>);

/// Something worth saying.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cause {
    name: String,
    /// Not before this.
    from: Wall,
    title: String,
    server: String,
    client: String,
    body: String,
    button: &'static str,
    act: Act,
    grant: GrantId,
}

/// The machine.
#[derive(Debug, Default)]
pub struct Notices {
    told: Told,
    /// Since when a cause that needs some time to matter has been there.
    since: BTreeMap<String, Wall>,
    /// What was handed over to be shown: which causes each number stands for.
    on_screen: BTreeMap<u32, BTreeSet<String>>,
    /// Closed unread: once more at the next unlock.
    unread: BTreeSet<String>,
    presence: Option<Presence>,
    last_number: u32,
    next: Option<Wall>,
    /// Nothing could be shown a moment ago: not before this.
    not_before: Option<Wall>,
    off: bool,
}

impl Notices {
    /// A machine that knows what was told before.
    pub fn new(told: Told) -> Self {
        Self { told, ..Self::default() }
    }

    /// What was told when, to be kept.
    pub const fn told(&self) -> &Told {
        &self.told
    }

    /// When it wants to look again, if something is only a matter of time.
    pub const fn next(&self) -> Option<Wall> {
        self.next
    }

    /// Whether notices are wanted at all.
    pub const fn set_wanted(&mut self, wanted: bool) {
        self.off = !wanted;
    }

    /// A notice is on the screen: only now its causes were told.
    pub fn shown(&mut self, number: u32, now: Wall) {
        self.not_before = None;
        for name in self.on_screen.get(&number).into_iter().flatten() {
            self.unread.remove(name);
            self.told.0.insert(name.clone(), now);
        }
    }

    /// A notice could not be shown: nobody was told, and it is tried again in a while.
    pub fn not_shown(&mut self, number: u32, now: Wall) {
        self.on_screen.remove(&number);
        self.not_before = Some(now + TRY_AGAIN);
    }

    /// Something that can show notices is there now: what could not be shown is shown at the next look.
    pub const fn can_be_shown(&mut self) {
        self.not_before = None;
    }

    /// A notice left the screen.
    pub fn left(&mut self, number: u32, how: Left) {
        let causes = self.on_screen.remove(&number).unwrap_or_default();
        if how == Left::Unread {
            self.unread.extend(causes);
        }
    }

    /// How it went what a person asked for, where no page is open that would say so. It is never taken
    /// back nor said again; `None` where none is wanted.
    pub fn outcome(&mut self, title: String, body: String, grant: &GrantId) -> Option<Shown> {
        if self.off || self.presence == Some(Presence::Away) {
            return None;
        }
        self.last_number += 1;
        let show = Act::Show { grant: grant.clone() };
        let button = String::from("Show");
        Some(Shown {
            number: self.last_number,
            title,
            body,
            button,
            act: show.clone(),
            click: show,
        })
    }

    /// Something about Lamplighter itself, said once: whoever reads it opens the page.
    pub fn about_itself(&mut self, title: String, body: String) -> Shown {
        self.last_number += 1;
        let button = String::from("Show");
        Shown { number: self.last_number, title, body, button, act: Act::Open, click: Act::Open }
    }

    /// The truth changed, time passed, or somebody came or went.
    pub fn look(&mut self, snapshot: &Snapshot, presence: Presence, now: Wall) -> Vec<Order> {
        let came_back = self.presence == Some(Presence::Away) && presence == Presence::Here;
        self.presence = Some(presence);
        let causes = if self.off { Vec::new() } else { self.causes(snapshot, now) };
        let names: BTreeSet<&str> = causes.iter().map(|cause| cause.name.as_str()).collect();
        let mut orders = self.withdraw(&names);
        self.unread.retain(|name| names.contains(name.as_str()));
        self.forget_healed(snapshot, &names, now);
        // Waited for by a clock that was ahead.
        self.not_before = self.not_before.filter(|at| *at > now && *at <= now + TRY_AGAIN);
        let fresh: Vec<&Cause> = causes
            .iter()
            .filter(|cause| cause.from <= now && !self.is_on_screen(&cause.name))
            .filter(|cause| {
                let once_more = came_back && self.unread.contains(&cause.name);
                let told = self.told.0.get(&cause.name);
                once_more || told.is_none_or(|at| now >= *at + DAILY)
            })
            .collect();
        self.next = causes
            .iter()
            .filter_map(|cause| {
                let told = self.told.0.get(&cause.name).map(|at| *at + DAILY);
                let next = told.map_or(cause.from, |again| again.max(cause.from));
                (next > now).then_some(next)
            })
            .chain(self.not_before.filter(|_| !fresh.is_empty()))
            .min();
        if presence == Presence::Away || fresh.is_empty() || self.not_before.is_some() {
            return orders;
        }
        self.last_number += 1;
        let shown = together(self.last_number, &fresh);
        let names: BTreeSet<String> = fresh.iter().map(|cause| cause.name.clone()).collect();
        self.on_screen.insert(self.last_number, names);
        orders.push(Order::Show(shown));
        orders
    }

    /// Forgets what was told of causes that are no more: the next death of a server that worked in between
    /// is another one, the same day too. A row that is busy, or is not there, says nothing of that, and
    /// is waited for a day. What was told in the future was told by a wrong clock, and silences nothing.
    fn forget_healed(&mut self, snapshot: &Snapshot, names: &BTreeSet<&str>, now: Wall) {
        let working = snapshot.rows.iter().filter(|row| works(row.health));
        let working: BTreeSet<&str> = working.map(|row| row.id.as_str()).collect();
        self.told.0.retain(|name, at| {
            let grant = name.split_once(' ').map_or("", |(_, grant)| grant);
            let healed = working.contains(grant) || now >= *at + DAILY;
            *at <= now && (names.contains(name.as_str()) || !healed)
        });
    }

    /// Takes away what no longer holds.
    fn withdraw(&mut self, names: &BTreeSet<&str>) -> Vec<Order> {
        let healed: Vec<u32> = self
            .on_screen
            .iter()
            .filter(|(_, causes)| !causes.iter().any(|cause| names.contains(cause.as_str())))
            .map(|(number, _)| *number)
            .collect();
        for number in &healed {
            self.on_screen.remove(number);
        }
        healed.into_iter().map(Order::Withdraw).collect()
    }

    fn is_on_screen(&self, name: &str) -> bool {
        self.on_screen.values().any(|causes| causes.contains(name))
    }

    /// Everything worth saying, each with the moment from which it is.
    fn causes(&mut self, snapshot: &Snapshot, now: Wall) -> Vec<Cause> {
        let before = core::mem::take(&mut self.since);
        let mut causes = Vec::new();
        for row in &snapshot.rows {
            causes.extend(self.cause(row, &before, now));
        }
        causes
    }

    fn cause(&mut self, row: &Row, before: &BTreeMap<String, Wall>, now: Wall) -> Option<Cause> {
        let grant = row.id.clone();
        let (title, client) = (&row.title, &row.client);
        let reconnect = || Act::Reconnect { grant: grant.clone() };
        let show = || Act::Show { grant: grant.clone() };
        let needs = format!("{title} needs you");
        let (code, from, words, body, button, act) = match row.health {
            Health::SignInRequired => {
                let works_until = row.expires_at.filter(|end| *end > now);
                let from = works_until.map_or(now, |end| end - BEFORE_END);
                let body = format!("{title} ended its sign-in in {client}.");
                ("sign_in_required", from, needs, body, "Sign in", reconnect())
            }
            Health::Refused => {
                let body = format!("{title} refuses the token that {client} has.");
                ("sign_in_required", now, needs, body, "Sign in", reconnect())
            }
            Health::ApprovalRequired => {
                let body = format!(
                    "{title} in {client} now signs in at another address. Nothing was sent."
                );
                ("approval_required", now, needs, body, "Review", show())
            }
            Health::RetryingEnded => {
                // Its server may refuse it before its end.
                let name = format!("renewals_failing {grant}");
                let since = before.get(&name).copied().unwrap_or(now);
                self.since.insert(name, since);
                let ended = row.expires_at.unwrap_or(since);
                let from = if ended > now { since } else { ended } + FAILING;
                let words = format!("{title} can't be renewed");
                let body = format!("{client}'s sign-in has ended. Lamplighter goes on trying.");
                ("renewals_failing", from, words, body, "Show", show())
            }
            Health::StoreLocked if row.shape == Shape::Alert => {
                let body = format!("{client}'s store is locked, and {title} is about to end.");
                let act = Act::Unlock { store: row.store.clone() };
                ("store_locked", now, needs, body, "Unlock", act)
            }
            Health::StoreBroken => {
                let words = format!("{client}'s sign-ins can't be saved");
                let why = row.reason.as_deref().unwrap_or("its file can't be read");
                let body = format!("{title}: {why}. Nothing is lost.");
                let name = format!("cannot_save {grant}");
                let since = before.get(&name).copied().unwrap_or(now);
                self.since.insert(name, since);
                ("cannot_save", since + UNSAVED, words, body, "Show", show())
            }
            Health::Healthy | Health::NoRefreshToken | Health::Retrying | Health::StandingBy => {
                let end = row.sign_in_ends_at.filter(|end| *end > now)?;
                let words = format!("{title}'s sign-in ends soon");
                let body =
                    format!("Sign in to {title} for {client} now and it won't interrupt you.");
                ("sign_in_ends", end - SIGN_IN_ENDS, words, body, "Sign in", reconnect())
            }
            Health::Refreshing
            | Health::Offline
            | Health::SigningIn
            | Health::NotSignedIn
            | Health::Paused
            | Health::StoreLocked
            | Health::Unknown => {
                // A renewal or a sign-in in the air does not heal what it has not mended yet.
                return None;
            }
        };
        Some(Cause {
            name: format!("{code} {grant}"),
            from,
            title: words,
            server: title.clone(),
            client: client.clone(),
            body,
            button,
            act,
            grant: grant.clone(),
        })
    }
}

/// Whether a row says that nothing is wrong any more.
const fn works(health: Health) -> bool {
    match health {
        Health::Healthy | Health::NoRefreshToken | Health::StandingBy | Health::NotSignedIn => true,
        Health::Refreshing
        | Health::Retrying
        | Health::RetryingEnded
        | Health::Offline
        | Health::SigningIn
        | Health::SignInRequired
        | Health::Refused
        | Health::ApprovalRequired
        | Health::Paused
        | Health::StoreLocked
        | Health::StoreBroken
        | Health::Unknown => false,
    }
}

/// One notice for all of these.
fn together(number: u32, causes: &[&Cause]) -> Shown {
    if let [one] = causes {
        return Shown {
            number,
            title: one.title.clone(),
            body: one.body.clone(),
            button: String::from(one.button),
            act: one.act.clone(),
            click: Act::Show { grant: one.grant.clone() },
        };
    }
    let servers: Vec<&str> = causes.iter().map(|cause| cause.server.as_str()).collect();
    let client = causes.first().map(|cause| cause.client.as_str()).unwrap_or_default();
    let (last, most) = servers.split_last().map_or(("", [].as_slice()), |(l, m)| (*l, m));
    Shown {
        number,
        title: format!("{} servers need you", servers.len()),
        body: format!("{} and {last} in {client}.", most.join(", ")),
        button: String::from("Open"),
        act: Act::Open,
        click: Act::Open,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::health::{Situation, show};

    const MINUTE: i64 = 60_000;

    pub(in crate::desk) fn snapshot(rows: impl IntoIterator<Item = Row>) -> Snapshot {
        let rows: Vec<Row> = rows.into_iter().collect();
        let exit = rows.iter().map(|row| row.exit).fold(0, crate::health::worse);
        Snapshot { rows, stores: Vec::new(), notices: Vec::new(), exit, unfinished: Vec::new() }
    }

    pub(in crate::desk) fn row(name: &str, health: Health, ends: Option<Wall>) -> Row {
        let situation = match health {
            Health::SignInRequired => Situation::SignInRequired,
            Health::RetryingEnded => Situation::RetryingEnded { since: Wall(0), next: None },
            Health::Refreshing => Situation::Refreshing,
            Health::StoreBroken => Situation::Saving { why: "the disk is full".into(), next: None },
            Health::Healthy
            | Health::Retrying
            | Health::Offline
            | Health::SigningIn
            | Health::Refused
            | Health::ApprovalRequired
            | Health::NotSignedIn
            | Health::NoRefreshToken
            | Health::StandingBy
            | Health::Paused
            | Health::StoreLocked
            | Health::Unknown => Situation::Healthy { ends, next: ends, due: None },
        };
        let shown = show(&situation, name, "Claude Code");
        Row {
            id: GrantId(format!("claude-code/{name}")),
            store: "claude-code".into(),
            client: "Claude Code".into(),
            profile: None,
            name: name.into(),
            title: name.into(),
            url: format!("https://{name}.example/mcp"),
            health: shown.health,
            shape: shown.shape,
            phrase: shown.phrase,
            buttons: shown.buttons,
            exit: shown.exit,
            expires_at: ends,
            next_renewal_at: None,
            last_renewal_at: None,
            renewed_by: None,
            sign_in_ends_at: None,
            has_refresh_token: true,
            issuer: None,
            scopes: Vec::new(),
            tools: None,
            reason: None,
            issued_at: None,
            account: None,
            approval: None,
            sign_in: None,
        }
    }

    fn titles(orders: &[Order]) -> Vec<String> {
        orders
            .iter()
            .map(|order| match order {
                Order::Show(shown) => shown.title.clone(),
                Order::Withdraw(number) => format!("-{number}"),
            })
            .collect()
    }

    /// Looks, and shows at once what is to be shown.
    fn look(
        notices: &mut Notices,
        snapshot: &Snapshot,
        presence: Presence,
        now: Wall,
    ) -> Vec<Order> {
        let orders = notices.look(snapshot, presence, now);
        for order in &orders {
            if let Order::Show(shown) = order {
                notices.shown(shown.number, now);
            }
        }
        orders
    }

    fn well() -> Snapshot {
        snapshot([row("slack", Health::Healthy, Some(Wall(90 * MINUTE)))])
    }

    fn dead() -> Snapshot {
        snapshot([row("slack", Health::SignInRequired, Some(Wall(0)))])
    }

    #[test]
    fn a_dead_sign_in_is_told_of_once_and_taken_back_when_it_is_healed() {
        let mut notices = Notices::default();
        let now = Wall(MINUTE);
        assert_eq!(titles(&look(&mut notices, &dead(), Presence::Here, now)), ["slack needs you"]);
        assert!(look(&mut notices, &dead(), Presence::Here, now).is_empty());
        let well = snapshot([row("slack", Health::Healthy, Some(Wall(90 * MINUTE)))]);
        assert_eq!(titles(&look(&mut notices, &well, Presence::Here, now)), ["-1"]);
    }

    #[test]
    fn while_the_token_still_works_the_notice_waits_until_half_an_hour_before_its_end() {
        let mut notices = Notices::default();
        let ends = Wall(120 * MINUTE);
        let refused = snapshot([row("slack", Health::SignInRequired, Some(ends))]);
        assert!(look(&mut notices, &refused, Presence::Here, Wall(0)).is_empty());
        assert_eq!(notices.next(), Some(Wall(90 * MINUTE)));
        let shown = look(&mut notices, &refused, Presence::Here, Wall(90 * MINUTE));
        assert_eq!(titles(&shown), ["slack needs you"]);
    }

    #[test]
    fn nobody_is_told_while_nobody_is_there() {
        let mut notices = Notices::default();
        assert!(look(&mut notices, &dead(), Presence::Away, Wall(MINUTE)).is_empty());
        let shown = look(&mut notices, &dead(), Presence::Here, Wall(2 * MINUTE));
        assert_eq!(titles(&shown), ["slack needs you"]);
    }

    #[test]
    fn what_was_closed_unread_is_said_once_more_at_the_next_unlock_and_then_daily() {
        let mut notices = Notices::default();
        look(&mut notices, &dead(), Presence::Here, Wall(MINUTE));
        notices.left(1, Left::Unread);
        assert!(look(&mut notices, &dead(), Presence::Here, Wall(2 * MINUTE)).is_empty());
        look(&mut notices, &dead(), Presence::Away, Wall(3 * MINUTE));
        let shown = look(&mut notices, &dead(), Presence::Here, Wall(4 * MINUTE));
        assert_eq!(titles(&shown), ["slack needs you"]);
        notices.left(2, Left::Clicked);
        look(&mut notices, &dead(), Presence::Away, Wall(5 * MINUTE));
        assert!(look(&mut notices, &dead(), Presence::Here, Wall(6 * MINUTE)).is_empty());
        let tomorrow = Wall(4 * MINUTE) + DAILY;
        assert_eq!(
            titles(&look(&mut notices, &dead(), Presence::Here, tomorrow)),
            ["slack needs you"]
        );
    }

    #[test]
    fn an_outcome_comes_once_and_only_where_notices_are_wanted_and_seen() {
        let mut notices = Notices::default();
        let grant = GrantId::from("claude-code/slack");
        let news = |notices: &mut Notices| {
            notices.outcome("Signed in to Slack".into(), String::new(), &grant)
        };
        look(&mut notices, &snapshot([]), Presence::Here, Wall(0));
        let shown = news(&mut notices).unwrap();
        assert_eq!(shown.click, Act::Show { grant: grant.clone() });
        notices.left(shown.number, Left::Unread);
        assert_eq!(look(&mut notices, &snapshot([]), Presence::Here, Wall(MINUTE)), []);
        look(&mut notices, &snapshot([]), Presence::Away, Wall(MINUTE));
        assert_eq!(news(&mut notices), None, "nobody is there");
        look(&mut notices, &snapshot([]), Presence::Here, Wall(MINUTE));
        assert!(news(&mut notices).is_some_and(|next| next.number > shown.number));
        notices.set_wanted(false);
        assert_eq!(news(&mut notices), None, "nobody wants any");
    }

    #[test]
    fn several_at_once_become_one() {
        let mut notices = Notices::default();
        let all = ["slack", "notion", "linear"].map(|n| row(n, Health::SignInRequired, None));
        let orders = look(&mut notices, &snapshot(all), Presence::Here, Wall(0));
        let [Order::Show(one)] = orders.as_slice() else { panic!("{orders:?}") };
        assert_eq!(one.title, "3 servers need you");
        assert_eq!(one.body, "slack, notion and linear in Claude Code.");
    }

    #[test]
    fn a_restart_does_not_say_it_again() {
        let mut notices = Notices::default();
        look(&mut notices, &dead(), Presence::Here, Wall(MINUTE));
        let mut again = Notices::new(notices.told().clone());
        assert!(look(&mut again, &dead(), Presence::Here, Wall(2 * MINUTE)).is_empty());
    }

    #[test]
    fn what_may_heal_is_given_its_time() {
        let mut notices = Notices::default();
        let failing = snapshot([row("slack", Health::RetryingEnded, Some(Wall(0)))]);
        assert!(look(&mut notices, &failing, Presence::Here, Wall(14 * MINUTE)).is_empty());
        assert_eq!(look(&mut notices, &failing, Presence::Here, Wall(15 * MINUTE)).len(), 1);
        let unsaved = snapshot([row("notion", Health::StoreBroken, None)]);
        assert!(
            look(&mut notices, &unsaved, Presence::Here, Wall(20 * MINUTE)).len() == 1,
            "one leaves"
        );
        assert!(look(&mut notices, &unsaved, Presence::Here, Wall(24 * MINUTE)).is_empty());
        assert_eq!(look(&mut notices, &unsaved, Presence::Here, Wall(25 * MINUTE)).len(), 1);
    }

    #[test]
    fn the_end_of_a_sign_in_is_told_of_two_days_before() {
        let mut notices = Notices::default();
        let mut ending = row("slack", Health::Healthy, Some(Wall(60 * MINUTE)));
        ending.sign_in_ends_at = Some(Wall(0) + Millis::hours(72));
        let ending = snapshot([ending]);
        assert!(look(&mut notices, &ending, Presence::Here, Wall(0)).is_empty());
        let shown = look(&mut notices, &ending, Presence::Here, Wall(0) + Millis::hours(24));
        assert_eq!(titles(&shown), ["slack's sign-in ends soon"]);
    }

    #[test]
    fn switched_off_it_says_nothing_and_takes_back_what_stands_there() {
        let mut notices = Notices::default();
        look(&mut notices, &dead(), Presence::Here, Wall(MINUTE));
        notices.set_wanted(false);
        assert_eq!(titles(&look(&mut notices, &dead(), Presence::Here, Wall(2 * MINUTE))), ["-1"]);
    }

    #[test]
    fn what_could_not_be_shown_was_told_to_nobody_and_is_shown_when_somebody_can() {
        let mut notices = Notices::default();
        let one = |orders: &[Order]| match orders {
            [Order::Show(shown)] => shown.number,
            other => panic!("{other:?}"),
        };
        let first = one(&notices.look(&dead(), Presence::Here, Wall(MINUTE)));
        notices.not_shown(first, Wall(MINUTE));
        assert_eq!(notices.told(), &Told::default());
        assert!(notices.look(&dead(), Presence::Here, Wall(MINUTE + 1)).is_empty(), "not at once");
        assert_eq!(notices.next(), Some(Wall(2 * MINUTE)));
        let second = one(&notices.look(&dead(), Presence::Here, Wall(2 * MINUTE)));
        notices.not_shown(second, Wall(2 * MINUTE));
        // A daemon comes.
        notices.can_be_shown();
        let third = one(&notices.look(&dead(), Presence::Here, Wall(2 * MINUTE + 1)));
        notices.shown(third, Wall(2 * MINUTE + 2));
        assert_eq!(notices.told().0.len(), 1);
        assert!(notices.look(&dead(), Presence::Here, Wall(60 * MINUTE)).is_empty());
    }

    #[test]
    fn what_was_handed_over_and_never_shown_is_told_after_a_restart() {
        let mut notices = Notices::default();
        assert_eq!(notices.look(&dead(), Presence::Here, Wall(MINUTE)).len(), 1);
        assert!(
            notices.look(&dead(), Presence::Here, Wall(2 * MINUTE)).is_empty(),
            "it is on its way"
        );
        let mut again = Notices::new(notices.told().clone());
        assert_eq!(again.look(&dead(), Presence::Here, Wall(3 * MINUTE)).len(), 1);
    }

    #[test]
    fn what_was_told_in_the_future_silences_nothing() {
        let told =
            Told(BTreeMap::from([("sign_in_required claude-code/slack".into(), Wall(0) + DAILY)]));
        let mut notices = Notices::new(told);
        assert_eq!(
            titles(&look(&mut notices, &dead(), Presence::Here, Wall(MINUTE))),
            ["slack needs you"]
        );
    }

    #[test]
    fn a_second_death_the_same_day_is_told_and_one_death_only_once() {
        let mut notices = Notices::default();
        assert_eq!(look(&mut notices, &dead(), Presence::Here, Wall(MINUTE)).len(), 1);
        // A sign-in that comes to nothing, and a renewal that does not help, are the same death.
        for between in [Health::Refreshing, Health::RetryingEnded, Health::Offline] {
            let mut row = row("slack", between, Some(Wall(0)));
            row.health = between;
            let between = snapshot([row]);
            look(&mut notices, &between, Presence::Here, Wall(2 * MINUTE));
            look(&mut notices, &snapshot([]), Presence::Here, Wall(2 * MINUTE));
            assert_eq!(
                titles(&look(&mut notices, &dead(), Presence::Here, Wall(3 * MINUTE))),
                [""; 0]
            );
        }
        look(&mut notices, &well(), Presence::Here, Wall(4 * MINUTE));
        let again = look(&mut notices, &dead(), Presence::Here, Wall(5 * MINUTE));
        assert_eq!(titles(&again), ["slack needs you"]);
    }

    #[test]
    fn a_refused_token_whose_renewal_fails_is_told_of_after_a_quarter_of_an_hour() {
        let mut notices = Notices::default();
        let failing = snapshot([row("slack", Health::RetryingEnded, Some(Wall(600 * MINUTE)))]);
        assert!(look(&mut notices, &failing, Presence::Here, Wall(MINUTE)).is_empty());
        let shown = look(&mut notices, &failing, Presence::Here, Wall(16 * MINUTE));
        assert_eq!(titles(&shown), ["slack can't be renewed"]);
    }
}
