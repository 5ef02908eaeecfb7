//! The desktop's actor: owns what page, menu, lamp and notices show, and carries clicks to the keeper.
//!
//! Everything that can happen to it is one closed enum, [`Tick`]; everything it does to a desktop
//! goes through one trait, [`Shell`]. What is shown is made whole after every change and handed over
//! where it differs from the last. It must not decide what a row is called or offers: core does.
//!
//! Read next: `lamplighter_core::desk` for the values, [`link`](crate::link) for the keeper.

mod clicks;
mod leaving;
mod memory;
mod notes;
mod set;
mod show_file;
#[cfg(test)]
mod tests;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use lamplighter_core::{
    desk::{
        Act, View,
        menu::{self, Item},
        notices::{Left, Notices, Order, Presence, Shown},
        sentence, shape, view,
    },
    health::Shape,
    ids::GrantId,
    keeper::{AtServer, Event},
    secret::Secret,
    signin::SignInFailure,
    snapshot::Snapshot,
    time::{Millis, Wall},
};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use crate::{
    browser,
    link::{Known, Link, Stance, Told},
    open::Place,
    paths::Env,
    presence,
    reader::Reader,
    settings::{
        Consent,
        live::{Change, LiveSettings},
    },
    socket::Invited,
};
use leaving::Leaving;
use memory::Memory;
use notes::{About, Notes};

/// How long what open sessions need is shown.
const HINT_STAYS: Millis = Millis::hours(1);
/// The longest it sleeps without looking at the clock.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// A desktop, as far as it is needed. Called in the actor's own thread.
pub trait Shell: Send {
    /// The page, where one is open; whether it took the view, which one that is just being made
    /// does not.
    fn show_view(&mut self, view: &View) -> bool;
    /// The tray's menu.
    fn set_menu(&mut self, menu: &[Item]);
    /// The tray's lamp, and the sentence beside it.
    fn set_lamp(&mut self, shape: Shape, sentence: &str);
    /// A notice comes up.
    fn notify(&mut self, notice: &Shown);
    /// A notice is taken away.
    fn withdraw(&mut self, number: u32);
    /// Opens the page, or brings it to the front.
    fn open_page(&mut self);
    /// Closes it.
    fn close_page(&mut self);
    /// Whether it is open now, or about to be.
    fn is_page_open(&self) -> bool;
    /// The page's first frame is filled.
    fn page_is_ready(&mut self);
    /// Whether the page is an ordinary window that stays.
    fn pin(&mut self, on: bool);
    /// Whether the page must stay open by itself: a sign-in runs.
    fn hold_page(&mut self, on: bool);
    /// Whether it starts with the desktop; `None` where that cannot be had.
    fn start_at_login(&self) -> Option<bool>;
    /// Sets that; an error in words.
    fn set_start_at_login(&mut self, on: bool) -> Result<(), String>;
    /// Links of the custom scheme come here from now on. Only asked for once the person has said yes.
    fn serve_links(&mut self) -> Result<(), String>;
    /// Links of the custom scheme come here no more, where only the desktop can say so.
    fn forget_links(&mut self) -> Result<(), String>;
    /// Starts the demo's servers and hands back their home; an error in words.
    fn start_demo(&mut self) -> Result<PathBuf, String>;
    /// Ends them.
    fn end_demo(&mut self);
    /// Ends the program.
    fn quit(&mut self);
}

/// Where a click is answered.
type Answered = oneshot::Sender<Result<Option<String>, String>>;

/// Everything that can happen.
pub enum Tick {
    /// The keeper says something.
    Told(Told),
    /// Somebody clicked; what to copy, or what is wrong in words, goes back.
    Act(Act, Option<Answered>),
    /// Somebody pressed a notice.
    Pressed(Act),
    /// A browser brought a callback's URL, or a link asked for a row. Hostile until it is understood.
    Link(Secret),
    /// A notice is on the screen.
    NoticeShown(u32),
    /// A notice could not be shown.
    NoticeNotShown(u32),
    /// A notice left the screen.
    NoticeLeft(u32, Left),
    /// Somebody came or went.
    Presence(Presence),
    /// The page was opened anew and needs everything.
    PageOpened,
    /// The settings file came to something else.
    Settings(Change),
    /// Lamplighter was removed, or why not.
    Left(Result<(), String>),
    /// The program is about to end.
    End,
}

/// Where things that happen are told; clones reach the same actor.
#[derive(Clone)]
pub struct Bell(UnboundedSender<Tick>);

impl Bell {
    /// Tells it. After the end nobody hears.
    pub fn ring(&self, tick: Tick) {
        let _ = self.0.send(tick);
    }

    /// A click whose answer matters.
    pub async fn act(&self, act: Act) -> Result<Option<String>, String> {
        let (answer, answered) = oneshot::channel();
        self.ring(Tick::Act(act, Some(answer)));
        answered.await.unwrap_or_else(|_| Err("Lamplighter is about to end".into()))
    }
}

/// Where it is heard.
pub type Ticks = UnboundedReceiver<Tick>;

/// A bell that nobody hears yet, and what hears it.
pub fn bell() -> (Bell, Ticks) {
    let (ring, hear) = unbounded_channel();
    (Bell(ring), hear)
}

/// The actor.
#[expect(clippy::struct_excessive_bools, reason = "each is owed or wished by itself")]
pub struct Desk<S> {
    shell: S,
    bell: Bell,
    env: Env,
    /// The person's own environment, while the demo plays in another.
    own: Option<Env>,
    /// It was started on the demo's servers, and shows nothing else.
    demo_alone: bool,
    link: Link,
    stance: Option<Stance>,
    snapshot: Snapshot,
    /// What was handed to the shell last.
    menu: Option<Vec<Item>>,
    lamp: Option<(Shape, String)>,
    view_owed: bool,
    seq: u64,
    place: Option<Place>,
    /// The settings file; `None` where no place for it is known.
    live: Option<LiveSettings>,
    /// Nobody knows what the person has set: the file could not be read since the start.
    unset: bool,
    /// Why the settings can't be read now, until they can.
    settings_note: Option<String>,
    /// The notice that says so.
    settings_notice: Option<u32>,
    memory: Memory,
    notices: Notices,
    presence: Presence,
    focus: Option<GrantId>,
    /// A row that a link asked for.
    linked: Option<GrantId>,
    /// One that was asked for before any row was known: the link that started the program.
    linked_early: Option<GrantId>,
    turn_to_settings: bool,
    fault: Option<String>,
    notes: Notes,
    /// Whether the page is on the screen, and not only being made.
    page_seen: bool,
    pinned: bool,
    hints: Vec<view::Hint>,
    /// Sign-ins and sign-outs that were begun here.
    mine: BTreeSet<GrantId>,
    links: BTreeMap<GrantId, Secret>,
    /// Links come here, or were tried to.
    links_served: bool,
    /// Settings were changed that the keeper has not begun with yet.
    reopen_owed: bool,
    leaving: Option<Leaving>,
    /// Who asked for that.
    leaver: Option<Answered>,
}

impl<S: Shell> Desk<S> {
    /// Joins a shell to the keeper; nothing is shown before [`Desk::run`].
    pub fn new(env: Env, mut shell: S, bell: Bell) -> std::io::Result<Self> {
        let (place, live) = set::find(&env);
        let unset = live.as_ref().is_some_and(|live| live.good().is_none());
        // The keeper asks once whether links come here.
        let links_served = may_serve_links(place.as_ref());
        if links_served {
            serve_links(&mut shell);
        }
        let link = join(&env, set::known(live.as_ref()), &bell)?;
        let memory = Memory::open(place.as_ref());
        let pinned = env.get("WAYLAND_DISPLAY").is_some();
        Ok(Self {
            shell,
            bell,
            env,
            own: None,
            demo_alone: false,
            link,
            stance: None,
            snapshot: Snapshot {
                rows: Vec::new(),
                stores: Vec::new(),
                unfinished: Vec::new(),
                exit: 0,
            },
            menu: None,
            lamp: None,
            view_owed: true,
            seq: 0,
            notices: Notices::new(memory.told()),
            memory,
            place,
            live,
            unset,
            settings_note: None,
            settings_notice: None,
            presence: Presence::Here,
            focus: None,
            linked: None,
            linked_early: None,
            turn_to_settings: false,
            fault: None,
            notes: Notes::default(),
            page_seen: false,
            pinned,
            hints: Vec::new(),
            mine: BTreeSet::new(),
            links: BTreeMap::new(),
            links_served,
            reopen_owed: false,
            leaving: None,
            leaver: None,
        })
    }

    /// The same on servers of the demo's own. For as long as it runs it shows nothing else, and reads
    /// nothing of the person's.
    pub fn in_demo(mut shell: S, bell: Bell) -> std::io::Result<Self> {
        let home = shell.start_demo().map_err(std::io::Error::other)?;
        let env = Place::alone(&home).map_err(std::io::Error::other)?.env;
        let mut desk = Self::new(env.clone(), shell, bell)?;
        desk.demo_alone = true;
        desk.pinned = Env::Process.get("WAYLAND_DISPLAY").is_some();
        desk.link.move_to(env, set::known(desk.live.as_ref()), true);
        Ok(desk)
    }

    /// Whether the demo plays.
    fn is_demo(&self) -> bool {
        self.demo_alone || self.own.is_some()
    }

    /// Works until the program ends, in a thread of its own.
    pub fn run(mut self, mut ticks: UnboundedReceiver<Tick>) -> std::io::Result<()> {
        crate::runtime::run(async {
            let (tell, mut seen) = unbounded_channel();
            presence::watch(&self.env, tell);
            self.shell.pin(self.pinned);
            if let Some(fault) = self.live.as_ref().and_then(LiveSettings::fault).cloned() {
                self.settings_came(Change::Fault(fault));
            }
            loop {
                self.show();
                let sleep = self.until_next();
                let tick = tokio::select! {
                    tick = ticks.recv() => tick.unwrap_or(Tick::End),
                    Some(presence) = seen.recv() => Tick::Presence(presence),
                    change = set::changed(&mut self.live) => Tick::Settings(change),
                    () = tokio::time::sleep(sleep) => continue,
                };
                if matches!(tick, Tick::End) {
                    break;
                }
                self.tick(tick);
            }
            if let Some(leaving) = self.leaving.take() {
                leaving.end();
            }
            self.link.end();
            self.shell.end_demo();
        })
    }

    /// The way to the keeper was ended and is wanted after all.
    fn join_anew(&mut self) -> std::io::Result<()> {
        self.link = join(&self.env, set::known(self.live.as_ref()), &self.bell)?;
        Ok(())
    }

    fn tick(&mut self, tick: Tick) {
        self.view_owed = true;
        match tick {
            Tick::Told(told) => self.told(told),
            // Whoever asked hears when it has ended.
            Tick::Act(Act::RemoveLamplighter, answer)
                if self.leaving.is_none() && !self.is_demo() =>
            {
                self.remove(answer);
            }
            Tick::Act(act, Some(answer)) => {
                let _ = answer.send(self.click(&act));
            }
            Tick::Act(act, None) => self.click_unseen(&act),
            Tick::Pressed(act) => {
                // Before the browser opens, the page says whose name the consent will show.
                if let Act::Reconnect { grant } = &act {
                    self.click_unseen(&Act::Show { grant: grant.clone() });
                }
                self.click_unseen(&act);
            }
            Tick::Link(url) => self.link_came(&url),
            Tick::NoticeShown(number) => {
                self.notices.shown(number, now());
                self.memory.keep_told(self.notices.told());
            }
            Tick::NoticeNotShown(number) => self.notices.not_shown(number, now()),
            Tick::NoticeLeft(number, how) => self.notices.left(number, how),
            Tick::Presence(presence) => self.presence = presence,
            Tick::PageOpened => self.page_seen = false,
            Tick::Settings(change) => self.settings_came(change),
            Tick::Left(removed) => self.left(removed),
            Tick::End => {}
        }
    }

    /// A click on something that can't show what comes of it.
    fn click_unseen(&mut self, act: &Act) {
        if let Err(words) = self.click(act) {
            self.notes.write(About::Act, words);
        }
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Stance(stance) => {
                self.stance = Some(stance);
                self.fault = None;
                self.look_around();
                self.memory.read_history();
            }
            Told::Snapshot(snapshot) => {
                self.fault = None;
                self.snapshot = *snapshot;
                if let Some(grant) = self.linked_early.take() {
                    self.show_linked(grant);
                }
                self.reopen();
            }
            Told::Event(event) => self.happened(&event),
            Told::Invited(invited) => self.invited(&invited),
            // Anybody may send one: it brings up nothing and moves nothing. Who took too long over a sign-in
            // finds it said here.
            Told::Page { title, waited: false, .. } => self.notes.write(About::Stray, title),
            Told::Page { title, good, waited: true } => {
                if !good {
                    self.notes.write(About::Act, title);
                }
                self.shell.open_page();
            }
            Told::OpenPage => self.shell.open_page(),
            Told::Complaint(words) => {
                tracing::warn!(%words, "the user's command");
                self.notes.write(About::Command, words);
            }
            Told::NotDone(words) => {
                tracing::warn!(%words, "a click came to nothing");
                self.notes.write(About::Act, words);
            }
            Told::Fault(words) => {
                tracing::warn!(%words, "in the way");
                self.fault = Some(words);
            }
        }
    }

    /// A sign-in page that was asked for here: one tab, for one click.
    fn invited(&mut self, invited: &Invited) {
        let url = Secret::new(invited.url.as_str());
        if !self.mine.contains(&invited.grant) {
            return;
        }
        if let Err(fault) = browser::open(&url) {
            let words = format!("{fault}. Copy the link and open it yourself.");
            self.notes.write(About::Grant(invited.grant.clone()), words);
        }
        self.links.insert(invited.grant.clone(), url);
    }

    fn happened(&mut self, event: &Event) {
        let now = now();
        self.memory.happened(event, now);
        match event {
            Event::SignedIn { grant, server, tools, refused, account, other_account } => {
                self.links.remove(grant);
                self.notes.drop_about(&About::Grant(grant.clone()));
                let begun_here = self.mine.remove(grant);
                let words = words::signed_in(
                    &self.title_of(grant),
                    *tools,
                    *refused,
                    account.as_deref(),
                    *other_account,
                );
                self.hint(grant.clone(), words, server, now);
                if begun_here && self.shell.is_page_open() {
                    self.focus = Some(grant.clone());
                    self.shell.open_page();
                } else if begun_here && !refused {
                    let title = words::signed_in_briefly(&self.title_of(grant), *tools);
                    self.tell_outcome(grant, title, words::for_open_sessions(server));
                }
            }
            Event::SignInFailed { grant, code, why } => {
                self.links.remove(grant);
                if self.mine.remove(grant) {
                    let title = words::not_signed_in(&self.title_of(grant));
                    let words = format!("{title}: {why}");
                    self.notes.write(About::Grant(grant.clone()), words);
                    self.focus = Some(grant.clone());
                    // Who ended it knows that.
                    if *code != SignInFailure::Cancelled.code() {
                        self.tell_outcome(grant, title, why.clone());
                    }
                }
            }
            Event::SignOutFailed { grant, why, .. } => {
                if self.mine.remove(grant) {
                    let words = format!("Not signed out of {}: {why}", self.title_of(grant));
                    self.notes.write(About::Grant(grant.clone()), words);
                }
            }
            Event::SignedOut { grant, .. } => self.notes.drop_about(&About::Grant(grant.clone())),
            Event::Revocation { grant, outcome } => {
                let begun_here = self.mine.remove(grant);
                if begun_here && *outcome != AtServer::Revoked {
                    let title = self.title_of(grant);
                    let words = format!("Signed out of {title}: {}.", outcome.words());
                    self.notes.write(About::Grant(grant.clone()), words);
                }
            }
            Event::VerdictWithdrawn { store, server } => {
                // By its name alone: of several that are called so, the first.
                let row =
                    self.snapshot.rows.iter().find(|r| r.store == *store && r.name == *server);
                let grant = row.map_or_else(|| GrantId::of(store, server), |row| row.id.clone());
                let words = format!(
                    "{} works again. Open Claude Code sessions may still say otherwise:",
                    self.title_of(&grant)
                );
                self.hint(grant, words, server, now);
            }
            Event::Waiting { .. }
            | Event::Renewing { .. }
            | Event::Renewed { .. }
            | Event::Unchanged { .. }
            | Event::Failed { .. }
            | Event::Checked { .. }
            | Event::Restored { .. }
            | Event::SigningIn { .. }
            | Event::Reviewed { .. }
            | Event::Notice(_)
            | Event::NoticeWithdrawn { .. } => {}
        }
    }

    /// The person is in a browser: where nobody sees the page, one notice says how it went.
    fn tell_outcome(&mut self, grant: &GrantId, title: String, body: String) {
        if self.shell.is_page_open() {
            return;
        }
        if let Some(notice) = self.notices.outcome(title, body, grant) {
            self.shell.notify(&notice);
        }
    }

    fn hint(&mut self, grant: GrantId, words: String, server: &str, now: Wall) {
        self.hints.retain(|hint| hint.grant != grant && hint.until > now);
        self.hints.insert(0, view::Hint::new(grant, words, server, now + HINT_STAYS));
    }

    fn title_of(&self, grant: &GrantId) -> String {
        let row = self.snapshot.rows.iter().find(|row| row.id == *grant);
        let name = || grant.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        row.map_or_else(name, |row| row.title.clone())
    }

    /// A link: a callback for whichever sign-in waits for it, or a row to show. Anything else is
    /// nothing, and no word of it is kept. Any page of the web may send one: it never moves the focus.
    fn link_came(&mut self, url: &Secret) {
        match words::link(url.expose()) {
            Some(words::Link::Callback(query)) => self.link.callback(query),
            Some(words::Link::Row(grant)) if self.snapshot.stores.is_empty() => {
                self.linked_early = Some(grant);
            }
            Some(words::Link::Row(grant)) => self.show_linked(grant),
            None => tracing::info!("a link that means nothing was dropped"),
        }
    }

    fn show_linked(&mut self, grant: GrantId) {
        if self.snapshot.rows.iter().any(|row| row.id == grant) {
            self.linked = Some(grant);
            self.shell.open_page();
        } else {
            tracing::info!("a link to a row that is not there was dropped");
        }
    }

    /// Hands over what differs from the last.
    fn show(&mut self) {
        let now = now();
        let lamp = (shape(&self.snapshot), sentence(&self.snapshot));
        if self.lamp.as_ref() != Some(&lamp) {
            self.shell.set_lamp(lamp.0, &lamp.1);
            self.lamp = Some(lamp);
        }
        let reader = Reader::here();
        let around = menu::Around {
            consent: self.consent(),
            demo: self.is_demo(),
            start_at_login: self.start_at_login(),
        };
        let menu = menu::menu(&self.snapshot, around, |at| reader.time(at));
        if self.menu.as_ref() != Some(&menu) {
            self.shell.set_menu(&menu);
            self.menu = Some(menu);
        }
        self.tell_notices(now);
        let signing_in = self.snapshot.rows.iter().any(|row| row.sign_in.is_some());
        self.shell.hold_page(signing_in);
        if !self.shell.is_page_open() {
            self.page_seen = false;
        }
        if self.view_owed && self.shell.is_page_open() {
            self.seq += 1;
            let view = View::of(self.seq, now, &self.snapshot, self.around());
            if self.shell.show_view(&view) {
                self.view_owed = false;
                // It was told once; where the page turned to it stays by itself.
                self.focus = None;
                self.linked = None;
                self.turn_to_settings = false;
                if self.page_seen {
                    self.notes.seen();
                }
            }
        }
    }

    fn tell_notices(&mut self, now: Wall) {
        self.notices.set_wanted(self.settings().notices && self.may_speak());
        let before = self.notices.told().clone();
        let orders = self.notices.look(&self.snapshot, self.presence, now);
        if *self.notices.told() != before {
            self.memory.keep_told(self.notices.told());
        }
        for order in orders {
            match order {
                Order::Show(notice) => self.shell.notify(&notice),
                Order::Withdraw(number) => self.shell.withdraw(number),
            }
        }
    }

    /// Before the one question is answered nobody is told of anything.
    fn may_speak(&self) -> bool {
        self.consent() != view::Consent::Unasked || self.stance == Some(Stance::Viewing)
    }

    fn until_next(&self) -> Duration {
        let next = self.notices.next().map(|at| Duration::from_millis(now().until(at).0 + 1));
        next.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }

    /// The person may have said yes by now: links come here then.
    fn serve_links(&mut self) {
        if !self.links_served && !self.is_demo() && may_serve_links(self.place.as_ref()) {
            self.links_served = true;
            serve_links(&mut self.shell);
        }
    }

    /// The keeper begins anew with what was set, once no sign-in waits for the browser: it would end.
    fn reopen(&mut self) {
        let signing_in = self.snapshot.rows.iter().any(|row| row.sign_in.is_some());
        if !signing_in && std::mem::take(&mut self.reopen_owed) {
            self.link.reopen();
        }
    }

    fn notes(&self) -> Vec<String> {
        if self.leaving.is_some() {
            return Vec::from([leaving::WORDS.into()]);
        }
        self.settings_note
            .iter()
            .cloned()
            .chain(self.notes.words())
            .chain(self.fault.clone())
            .collect()
    }

    fn around(&self) -> view::Around {
        let settings = self.settings();
        let place = self.place.as_ref();
        let path = |path: &PathBuf| path.display().to_string();
        view::Around {
            consent: self.consent(),
            demo: self.is_demo(),
            elsewhere: (self.stance == Some(Stance::Viewing)).then(|| {
                String::from("`lamplighter keep` does the work; this window shows what it does.")
            }),
            pinned: self.pinned,
            notes: self.notes(),
            past: self.memory.past(),
            hints: self.hints.clone(),
            activity: self.memory.activity(&|grant| self.title_of(grant)),
            offered: place.map(|p| p.offered.iter().map(path).collect()).unwrap_or_default(),
            looked: self.snapshot.stores.iter().map(|store| store.place.clone()).collect(),
            focus: self.focus.clone(),
            linked: self.linked.clone(),
            turn_to_settings: self.turn_to_settings,
            settings: view::Settings {
                file: place.map(|place| path(&place.paths.settings)).unwrap_or_default(),
                start_at_login: self.start_at_login(),
                notices: settings.notices,
                probe: settings.probe,
                keep: settings.consent == Some(Consent::Keep),
                folders: settings.claude_code.folders.iter().map(path).collect(),
            },
            update_command: String::from("claude update"),
        }
    }
}

/// Whether the person has said yes to what leaves a trace.
fn may_serve_links(place: Option<&Place>) -> bool {
    place.is_some_and(|place| place.settings.consent == Some(Consent::Keep))
}

fn serve_links(shell: &mut impl Shell) {
    if let Err(why) = shell.serve_links() {
        tracing::warn!(%why, "links can't come here; sign-ins use loopback");
    }
}

fn join(env: &Env, settings: Known, bell: &Bell) -> std::io::Result<Link> {
    let tell = bell.clone();
    Link::open(env.clone(), settings, Box::new(move |told| tell.ring(Tick::Told(told))))
}

/// The wall clock's now.
fn now() -> Wall {
    use crate::clock::Clock;
    crate::clock::SystemClock::new().now().wall
}
