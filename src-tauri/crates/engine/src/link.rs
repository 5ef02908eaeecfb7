//! A desktop's way to the keeper: joins the one that runs, becomes it, or only looks.
//!
//! Whoever shows something asks here and is told; it need not know which of the three it is. Before
//! the person has said yes, nothing is written, locked or sent: stores are only read. What is asked
//! for then is done once, as a command would do it.
//!
//! Read next: [`socket`](crate::socket) for the requests and answers, which are the same from within,
//! and [`driver`](crate::driver) for the loop.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lamplighter_core::{
    keeper::{Action, Event, Keeper, Mode},
    secret::Secret,
    snapshot::Snapshot,
};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    time::Instant,
};

use crate::{
    changes::News,
    driver::{Driver, LAST_LOOK, Listener, NOT_WAITING},
    open::{OpenFault, Place},
    paths::{Env, Paths},
    settings::{Consent, Settings, SettingsFault},
    socket::{Inside, Invited, Reply, Request},
    watch::Watch,
};

/// How others see who holds the engine's lock.
const WHAT: &str = "lamplighter-tray";
/// How long a command that is just ending is waited for.
const ENGINE_PATIENCE: Duration = Duration::from_secs(2);
/// How soon what could not be opened is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// While it only looks: how often it sees whether a keeper has come.
const ANYBODY: Duration = Duration::from_secs(37);

/// What this process is to the sign-ins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// It only reads.
    Looking,
    /// It is the keeper.
    Keeping,
    /// It shows what the keeper that runs elsewhere does.
    Viewing,
}

/// What the desktop is told.
#[derive(Debug)]
pub enum Told {
    /// Something is another way from now on.
    Stance(Stance),
    /// The whole truth, after a change.
    Snapshot(Box<Snapshot>),
    /// Something happened.
    Event(Box<Event>),
    /// The address of a sign-in page that was asked for here.
    Invited(Box<Invited>),
    /// What became of a callback that was handed in.
    Page {
        /// In a few words.
        title: String,
        /// Whether it worked.
        good: bool,
        /// Whether a sign-in had waited for it: anybody may send one.
        waited: bool,
    },
    /// Somebody asks for the page, at a terminal.
    OpenPage,
    /// The user's own command for news went wrong, in words.
    Complaint(String),
    /// Something is in the way, in words, until the next news of how it stands.
    Fault(String),
    /// What was asked for was not begun, and why, in words.
    NotDone(String),
}

/// Where news go; called in the link's own thread.
pub type Tell = Box<dyn FnMut(Told) + Send>;

/// What is asked.
enum Ask {
    Do(Action),
    Callback(Secret),
}

/// What the person has set, by whoever reads the file: the last good settings, or why there are none.
/// `None`: nobody knew where the file lies.
pub(crate) type Known = Option<Result<Settings, SettingsFault>>;

/// How it is to be.
#[derive(Clone)]
struct Wish {
    env: Env,
    settings: Known,
    /// Keep without asking: the demo's home is nobody's.
    keep: bool,
    end: bool,
}

/// The way, open until it is ended.
pub struct Link {
    asks: UnboundedSender<Ask>,
    wish: watch::Sender<Wish>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Link {
    /// Opens it, in a thread of its own.
    pub(crate) fn open(env: Env, settings: Known, tell: Tell) -> std::io::Result<Self> {
        let (asks, asked) = unbounded_channel();
        let (wish, wishes) = watch::channel(Wish { env, settings, keep: false, end: false });
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || {
            let (later, obstacle) = (VecDeque::new(), None);
            let way = Way { asked, later, wishes, tell, obstacle, last_look: None };
            if let Err(fault) = crate::runtime::run(way.go()) {
                tracing::error!(%fault, "nothing can run here");
            }
        })?;
        Ok(Self { asks, wish, thread: Some(thread) })
    }

    /// Asks the keeper for something.
    pub fn act(&self, action: Action) {
        let _ = self.asks.send(Ask::Do(action));
    }

    /// Hands in the query of a callback.
    pub fn callback(&self, query: Secret) {
        let _ = self.asks.send(Ask::Callback(query));
    }

    /// Whatever is opened from now on goes by these settings; what is open stays as it is.
    pub(crate) fn set(&self, settings: Known) {
        self.wish.send_if_modified(|wish| {
            wish.settings = settings;
            false
        });
    }

    /// The settings have changed: everything is opened anew. What is in the air comes home first.
    pub fn reopen(&self) {
        self.wish.send_modify(|_| {});
    }

    /// From now on it is about this home; `keep`: without asking.
    pub(crate) fn move_to(&self, env: Env, settings: Known, keep: bool) {
        self.wish.send_modify(|wish| {
            wish.env = env;
            wish.settings = settings;
            wish.keep = keep;
        });
    }

    /// Ends it, when what is in the air has come home.
    pub fn end(&mut self) {
        self.begin_to_end().wait();
    }

    /// The same for whoever waits elsewhere.
    pub fn begin_to_end(&mut self) -> Ending {
        self.wish.send_modify(|wish| wish.end = true);
        Ending(self.thread.take())
    }
}

/// A way that is about to end.
#[must_use = "until it has ended, its keeper holds the engine's lock"]
pub struct Ending(Option<std::thread::JoinHandle<()>>);

impl Ending {
    /// Waits until what is in the air has come home.
    pub fn wait(self) {
        if let Some(thread) = self.0 {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end();
    }
}

/// Why a stance ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// Another wish, or the keeper over there has ended, or one has come.
    Changed,
    /// It could not be taken.
    Refused,
}

struct Way {
    asked: UnboundedReceiver<Ask>,
    /// What was asked for while one stance gave way to the next.
    later: VecDeque<Ask>,
    /// When what was saved here without a keeper is looked at once more.
    last_look: Option<Instant>,
    wishes: watch::Receiver<Wish>,
    tell: Tell,
    /// What is in the way, as it was told last: it is tried again every few seconds, and told once.
    obstacle: Option<String>,
}

/// Where things lie.
struct Found {
    place: Place,
    /// Why nobody knows what the person has set; nothing is done then.
    unknown: Option<SettingsFault>,
}

/// What was put off, then what is asked for now.
async fn next(later: &mut VecDeque<Ask>, asked: &mut UnboundedReceiver<Ask>) -> Option<Ask> {
    match later.pop_front() {
        Some(ask) => Some(ask),
        None => asked.recv().await,
    }
}

impl Way {
    /// Tells the desktop; what is in the way only where it is news.
    fn report(&mut self, told: Told) {
        match &told {
            Told::Fault(words) if self.obstacle.as_ref() == Some(words) => return,
            Told::Fault(words) => self.obstacle = Some(words.clone()),
            Told::Stance(_) | Told::Snapshot(_) => self.obstacle = None,
            Told::Event(_)
            | Told::Invited(_)
            | Told::Page { .. }
            | Told::OpenPage
            | Told::Complaint(_)
            | Told::NotDone(_) => {}
        }
        (self.tell)(told);
    }

    async fn go(mut self) {
        loop {
            let wish = self.wishes.borrow_and_update().clone();
            if wish.end {
                return;
            }
            let over = match find(&wish) {
                Ok(found) => self.stand(found, &wish).await,
                Err(fault) => {
                    self.report(Told::Fault(fault.to_string()));
                    Over::Refused
                }
            };
            if over == Over::Refused {
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    // The sender lives as long as this thread is waited for.
                    _ = self.wishes.changed() => {}
                }
            }
        }
    }

    async fn stand(&mut self, found: Found, wish: &Wish) -> Over {
        let Found { place, unknown } = found;
        #[cfg(unix)]
        match join(place.paths.socket_file()).await {
            Ok(Some(remote)) => return self.view(remote).await,
            Ok(None) => {}
            Err(fault) => {
                self.report(Told::Fault(format!("the keeper that runs can't be joined: {fault}")));
                return Over::Refused;
            }
        }
        let keeps = wish.keep || place.settings.consent == Some(Consent::Keep);
        if keeps && unknown.is_none() { self.keep(place).await } else { self.look(&place).await }
    }

    /// Shows what the keeper over there does, until it ends.
    #[cfg(unix)]
    async fn view(&mut self, remote: crate::socket::Remote) -> Over {
        let (mut voice, mut ear) = remote.split();
        let (heard, mut hear) = unbounded_channel();
        std::thread::spawn(move || {
            while let Ok(reply) = ear.hear() {
                if heard.send(reply).is_err() {
                    return;
                }
            }
        });
        self.report(Told::Stance(Stance::Viewing));
        for request in [Request::Events, Request::Watch, Request::ShowsPages] {
            if voice.ask(&request).is_err() {
                return Over::Changed;
            }
        }
        loop {
            tokio::select! {
                reply = hear.recv() => match reply {
                    Some(reply) => self.told(reply),
                    None => return Over::Changed,
                },
                Some(ask) = next(&mut self.later, &mut self.asked) => {
                    if voice.ask(&ask.into()).is_err() {
                        return Over::Changed;
                    }
                }
                _ = self.wishes.changed() => return Over::Changed,
            }
        }
    }

    /// Keeps every sign-in fresh, until told otherwise.
    async fn keep(&mut self, place: Place) -> Over {
        let (complain, complaints) = unbounded_channel();
        let complain = Box::new(move |what: &str| drop(complain.send(what.to_owned())));
        let opened = News::start(&place, complain).and_then(|news| {
            let listener: Listener = match &news {
                Some(news) => Box::new(news.listener()),
                None => Box::new(|_, _| {}),
            };
            Ok((place.open(Mode::Keep, WHAT, ENGINE_PATIENCE, listener)?, news))
        });
        let (mut driver, news) = match opened {
            Ok(opened) => opened,
            Err(fault) => {
                self.report(Told::Fault(fault.to_string()));
                return Over::Refused;
            }
        };
        self.report(Told::Stance(Stance::Keeping));
        driver.welcome();
        driver.look().await;
        if let Some(news) = &news {
            news.watch(&mut driver);
        }
        let inside = driver.inside();
        self.work(&mut driver, inside, false, complaints).await;
        // Others may act while the user's command hears the last news.
        drop(driver);
        if let Some(news) = news {
            news.finish().await;
        }
        Over::Changed
    }

    /// Reads, and does what is asked for once; until a keeper comes or something is set.
    async fn look(&mut self, place: &Place) -> Over {
        self.report(Told::Stance(Stance::Looking));
        let mut watch = Watch::over(&place.stores);
        loop {
            match place.watch() {
                Ok(snapshot) => self.report(Told::Snapshot(Box::new(snapshot))),
                Err(fault) => self.report(Told::Fault(fault.to_string())),
            }
            let last_look = self.last_look;
            tokio::select! {
                Some(_) = watch.changed.recv() => {}
                Some(ask) = next(&mut self.later, &mut self.asked) => match ask {
                    Ask::Do(action) => {
                        if self.once(action).await {
                            self.last_look = Some(Instant::now() + LAST_LOOK);
                        }
                        self.report(Told::Stance(Stance::Looking));
                    }
                    // Nobody signs in here now: no page of the web's makes it open anything.
                    Ask::Callback(_) => self.report(Told::Page {
                        title: NOT_WAITING.into(),
                        good: false,
                        waited: false,
                    }),
                },
                () = tokio::time::sleep_until(last_look.unwrap_or_else(Instant::now)),
                    if last_look.is_some() => {
                    self.last_look = self.look_for_the_last_time().await.then(|| Instant::now() + LAST_LOOK);
                }
                () = tokio::time::sleep(ANYBODY) => {
                    if is_anybody(&place.paths.socket_file()) {
                        return Over::Changed;
                    }
                }
                _ = self.wishes.changed() => return Over::Changed,
            }
        }
    }

    /// Does one thing, as a command would; whether what it saved is to be looked at once more.
    async fn once(&mut self, action: Action) -> bool {
        let mut driver = match self.open_once() {
            Ok(driver) => driver,
            Err(fault) => {
                self.report(Told::NotDone(fault.to_string()));
                return false;
            }
        };
        driver.look().await;
        let inside = driver.inside();
        inside.ask(Request::Act(action));
        self.work(&mut driver, inside, true, unbounded_channel().1).await;
        driver.leaves_records()
    }

    /// Gives what was saved its last look; whether another one is due.
    async fn look_for_the_last_time(&self) -> bool {
        // A keeper that has come looks by itself.
        let Ok(mut driver) = self.open_once() else { return false };
        driver.last_look(std::future::pending()).await
    }

    fn open_once(&self) -> Result<Driver, OpenFault> {
        let listener = Box::new(|_: &Event, _: &Keeper| {});
        let wish = self.wishes.borrow().clone();
        let found = find(&wish)?;
        match found.unknown {
            Some(fault) => Err(OpenFault::Settings(fault)),
            None => found.place.open(Mode::OnRequest, WHAT, ENGINE_PATIENCE, listener),
        }
    }

    /// Lets the driver work and carries requests and answers, and what is wrong with the user's command;
    /// `once`: until all that was asked is settled.
    async fn work(
        &mut self,
        driver: &mut Driver,
        mut inside: Inside,
        once: bool,
        mut complaints: UnboundedReceiver<String>,
    ) {
        inside.ask(Request::Events);
        inside.ask(Request::Watch);
        inside.ask(Request::ShowsPages);
        let mut put_off = VecDeque::new();
        let settled = Arc::new(tokio::sync::Notify::new());
        let (stop, mut wishes) = (Arc::clone(&settled), self.wishes.clone());
        let mut kept = std::pin::pin!(driver.keep(async move {
            tokio::select! {
                () = stop.notified() => {}
                _ = wishes.changed() => {}
            }
        }));
        loop {
            tokio::select! {
                () = &mut kept => break,
                Some(reply) = inside.hear.recv() => {
                    // A callback that belongs to nothing settles nothing.
                    let done = matches!(reply, Reply::Settled);
                    self.told(reply);
                    if once && done {
                        settled.notify_one();
                    }
                }
                Some(ask) = next(&mut self.later, &mut self.asked) => {
                    // A driver that is about to end hears nothing more: the next one does it.
                    if self.wishes.has_changed().unwrap_or(true) {
                        put_off.push_back(ask);
                    } else {
                        inside.ask(ask.into());
                    }
                }
                Some(words) = complaints.recv() => self.report(Told::Complaint(words)),
            }
        }
        self.later.append(&mut put_off);
        while let Ok(reply) = inside.hear.try_recv() {
            self.told(reply);
        }
    }

    fn told(&mut self, reply: Reply) {
        self.report(match reply {
            Reply::Event(event) => Told::Event(event),
            Reply::Snapshot(snapshot) => Told::Snapshot(snapshot),
            Reply::Invited(invited) => Told::Invited(invited),
            Reply::Page { title, good, waited } => Told::Page { title, good, waited },
            Reply::OpenPage => Told::OpenPage,
            Reply::Settled | Reply::PageAsked(_) => return,
        });
    }
}

/// Where things lie, and what is set. The file is read by whoever wishes: a link that read it too
/// would go by other settings than its desk shows.
fn find(wish: &Wish) -> Result<Found, OpenFault> {
    let Wish { env, settings, .. } = wish;
    let paths = Paths::find(env)?;
    paths.check(env)?;
    let settings = settings.clone().unwrap_or_else(|| Settings::read(&paths.settings, env));
    let (settings, unknown) = match settings {
        Ok(settings) => (settings, None),
        Err(fault) => (Settings::default(), Some(fault)),
    };
    Ok(Found { place: Place::with(env.clone(), paths, settings), unknown })
}

impl From<Ask> for Request {
    fn from(ask: Ask) -> Self {
        match ask {
            Ask::Do(action) => Self::Act(action),
            Ask::Callback(query) => Self::Callback(query.expose().into()),
        }
    }
}

/// Joins the keeper that runs, in a thread that may wait: a listener of our own that is just being
/// closed needs this one.
#[cfg(unix)]
async fn join(socket: PathBuf) -> std::io::Result<Option<crate::socket::Remote>> {
    let joined = tokio::task::spawn_blocking(move || crate::socket::Remote::join(&socket)).await;
    joined.map_err(std::io::Error::other)?
}

/// Whether a keeper listens there.
#[cfg(unix)]
fn is_anybody(socket: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

#[cfg(not(unix))]
fn is_anybody(_socket: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn what_is_obstacle_is_told_once_and_anew_after_it_was_gone() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&told);
        let tell: Tell = Box::new(move |news| {
            if let Told::Fault(words) = news {
                into.lock().unwrap().push(words);
            }
        });
        let env = Env::fixed([("HOME", "/nowhere")]);
        let wish = Wish { env, settings: None, keep: false, end: false };
        let (asked, wishes) = (unbounded_channel().1, watch::channel(wish).1);
        let later = VecDeque::new();
        let mut way = Way { asked, later, wishes, tell, obstacle: None, last_look: None };
        for words in ["it is locked", "it is locked", "it is locked", "the disk is full"] {
            way.report(Told::Fault(words.into()));
        }
        way.report(Told::Stance(Stance::Keeping));
        way.report(Told::Fault("the disk is full".into()));
        let told = told.lock().unwrap();
        assert_eq!(*told, ["it is locked", "the disk is full", "the disk is full"]);
    }
}
