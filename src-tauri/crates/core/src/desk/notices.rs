//! What a person is told and when: once a cause, when somebody is there, and not while it works.
//!
//! A pure machine like the keeper: it is shown the truth, says what to put on the screen and what to
//! take from it, and when it wants to look again. It must not tell of anything that heals by itself,
//! nor say the same thing twice a day. A cause was told when its notice was on the screen, and not when
//! it was handed over: whoever shows it says so by [`Notices::shown`] or [`Notices::not_shown`].

#[cfg(test)]
pub(super) mod tests;

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
        let off = self.off;
        let fate = |name: &str| if off { Fate::Over } else { fate(name, &causes, snapshot, now) };
        let mut orders = self.withdraw(fate);
        self.unread.retain(|name| fate(name).stays());
        self.since.retain(|name, _| fate(name).stays());
        self.forget_told(fate, now);
        if came_back {
            for name in core::mem::take(&mut self.unread) {
                self.told.0.remove(&name);
            }
        }
        // Waited for by a clock that was ahead.
        self.not_before = self.not_before.filter(|at| *at > now && *at <= now + TRY_AGAIN);
        let fresh: Vec<&Cause> = causes
            .iter()
            .filter(|cause| cause.from <= now && !self.is_on_screen(&cause.name))
            .filter(|cause| self.told.0.get(&cause.name).is_none_or(|at| now >= *at + DAILY))
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

    /// Forgets what was told of causes that are mended: the next death of a server that worked in between
    /// is another one, the same day too. Anything else is waited for a day. What was told in the future was
    /// told by a wrong clock, and silences nothing.
    fn forget_told(&mut self, fate: impl Fn(&str) -> Fate, now: Wall) {
        self.told.0.retain(|name, at| {
            *at <= now
                && match fate(name) {
                    Fate::Holds => true,
                    Fate::Unknown | Fate::Over | Fate::Gone => now < *at + DAILY,
                    Fate::Mended => false,
                }
        });
    }

    /// Takes away what no longer holds. A row that comes back is told of again.
    fn withdraw(&mut self, fate: impl Fn(&str) -> Fate) -> Vec<Order> {
        let told = &mut self.told.0;
        for causes in self.on_screen.values_mut() {
            causes.retain(|name| {
                let fate = fate(name);
                if fate == Fate::Gone {
                    told.remove(name);
                }
                fate.stays()
            });
        }
        let empty = self.on_screen.iter().filter(|(_, causes)| causes.is_empty());
        let orders = empty.map(|(number, _)| Order::Withdraw(*number)).collect();
        self.on_screen.retain(|_, causes| !causes.is_empty());
        orders
    }

    /// What it is about is not looked at for a while: these notices go from the screen, and nobody was told
    /// of them.
    pub fn put_aside(&mut self) -> Vec<u32> {
        let on_screen = core::mem::take(&mut self.on_screen);
        for name in on_screen.values().flatten() {
            self.told.0.remove(name);
        }
        on_screen.into_keys().collect()
    }

    /// From now on it is about another home, of which this was told before.
    pub fn turn_to(&mut self, told: Told) {
        let (presence, last_number, off) = (self.presence, self.last_number, self.off);
        *self = Self { told, presence, last_number, off, ..Self::default() };
    }

    fn is_on_screen(&self, name: &str) -> bool {
        self.on_screen.values().any(|causes| causes.contains(name))
    }

    /// Everything worth saying, each with the moment from which it is.
    fn causes(&mut self, snapshot: &Snapshot, now: Wall) -> Vec<Cause> {
        // Begun in the future by a wrong clock.
        self.since.retain(|_, at| *at <= now);
        snapshot.rows.iter().filter_map(|row| self.cause(row, now)).collect()
    }

    fn cause(&mut self, row: &Row, now: Wall) -> Option<Cause> {
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
                let since = *self.since.entry(format!("renewals_failing {grant}")).or_insert(now);
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
                let since = *self.since.entry(format!("cannot_save {grant}")).or_insert(now);
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
            | Health::Unknown => return None,
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

/// What became of a cause that was told of, or is waited with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It holds.
    Holds,
    /// Nothing that is seen now says anything of it.
    Unknown,
    /// It works again.
    Mended,
    /// A person paused it, or another cause of the same row has taken its place.
    Over,
    /// Its row is there no more.
    Gone,
}

impl Fate {
    const fn stays(self) -> bool {
        matches!(self, Self::Holds | Self::Unknown)
    }
}

fn fate(name: &str, causes: &[Cause], snapshot: &Snapshot, now: Wall) -> Fate {
    if causes.iter().any(|cause| cause.name == name) {
        return Fate::Holds;
    }
    let (code, grant) = name.split_once(' ').unwrap_or_default();
    let Some(row) = snapshot.rows.iter().find(|row| row.id.as_str() == grant) else {
        return if is_removed(grant, snapshot) { Fate::Gone } else { Fate::Unknown };
    };
    match row.health {
        Health::Healthy | Health::NoRefreshToken | Health::StandingBy | Health::NotSignedIn => {
            Fate::Mended
        }
        Health::Paused => Fate::Over,
        Health::SignInRequired | Health::Refused | Health::ApprovalRequired => {
            let replaced = causes.iter().any(|cause| cause.grant == row.id && cause.from <= now);
            if replaced { Fate::Over } else { Fate::Unknown }
        }
        // Its store can be read and written.
        Health::Retrying | Health::RetryingEnded | Health::Offline
            if matches!(code, "store_locked" | "cannot_save") =>
        {
            Fate::Mended
        }
        // A renewal or a sign-in in the air does not heal what it has not mended yet.
        Health::Refreshing
        | Health::Retrying
        | Health::RetryingEnded
        | Health::Offline
        | Health::SigningIn
        | Health::StoreLocked
        | Health::StoreBroken
        | Health::Unknown => Fate::Unknown,
    }
}

/// Whether a row that is not there was taken away: its store was read, or is looked at no more. Where no
/// store is known nothing was looked at yet.
fn is_removed(grant: &str, snapshot: &Snapshot) -> bool {
    let store = grant.rsplit_once('/').map_or(grant, |(store, _)| store);
    let row = snapshot.stores.iter().find(|row| row.id.as_str() == store);
    row.map_or(!snapshot.stores.is_empty(), |row| row.fault.is_none())
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
