//! The thread's own loop: which notices wait, were sent, or are on the screen.
//!
//! Every call to the daemon is a task of its own, so that a daemon that does not answer delays nothing
//! else. It is not asked a second time: its answer counts whenever it comes.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::StreamExt;
use lamplighter_core::{
    desk::notices::{Left, Shown},
    text,
};
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinSet, time};
use zbus::{Connection, MatchRule, Message, MessageStream, Variant, connection::Builder, message};

use super::Request;
use crate::{
    desk::{Bell, Tick},
    paths::Env,
};

const ADDRESS: &str = "DBUS_SESSION_BUS_ADDRESS";
/// The daemon's name on the bus, and its interface.
const DAEMON: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
const APPLICATION: &str = "Lamplighter";
const ICON: &str = "lamplighter-tray";
/// What a daemon can do that reads a body as markup. A title is never read so.
const MARKUP: &str = "body-markup";
/// The name of the button, and what the specification calls a click elsewhere.
const BUTTON: &str = "act";
const ELSEWHERE: &str = "default";
/// A bus that does not answer is given up after this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// A daemon that has not said by then what it can do is asked to show the notice all the same.
const CAPABLE: Duration = Duration::from_secs(2);
/// How soon a bus that is not there is looked for again: at first, and at most.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(30);
/// How soon a daemon that could not be started is asked for again: at first, and at most.
const START_AGAIN: Duration = Duration::from_secs(10);
const START_LATER: Duration = Duration::from_secs(600);
/// How often one notice is sent to daemons that end before anybody has read it.
const ATTEMPTS: u8 = 3;

/// What becomes of a notice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No daemon has taken it.
    Waiting,
    /// A daemon was asked to show it.
    Sent,
    /// The daemon shows it under this number.
    OnScreen(u32),
}

struct Notice {
    shown: Shown,
    stage: Stage,
    attempts: u8,
    /// It is to go as soon as the daemon has said what it calls it.
    withdrawn: bool,
}

/// What the daemon says of a notice of its number.
enum Said {
    Pressed(String),
    Closed,
}

/// A daemon's answer about the notice with this number of ours.
type Answer = (u32, zbus::Result<u32>);

/// See the [module](self).
pub(super) struct Delivery {
    env: Env,
    bell: Bell,
    asked: UnboundedReceiver<Request>,
    notices: BTreeMap<u32, Notice>,
    /// What was said of numbers that no answer has named yet.
    early: Vec<(u32, Said)>,
    /// The last trouble that was logged, so that it is logged once.
    logged: Option<String>,
}

/// Why there is no work on this bus any more.
#[derive(PartialEq, Eq)]
enum Over {
    /// Nobody asks any more.
    Program,
    Bus,
}

impl Delivery {
    pub(super) fn new(env: Env, bell: Bell, asked: UnboundedReceiver<Request>) -> Self {
        let (notices, early) = (BTreeMap::new(), Vec::new());
        Self { env, bell, asked, notices, early, logged: None }
    }

    pub(super) async fn run(mut self) {
        let mut pause = SOON;
        loop {
            match time::timeout(PATIENCE, connect(&self.env)).await {
                Ok(Ok(joined)) => {
                    self.logged = None;
                    pause = SOON;
                    if self.work(joined).await == Over::Program {
                        return;
                    }
                    self.bus_ended();
                }
                Ok(Err(error)) => self.log(&error.to_string()),
                Err(_) => self.log("the session bus does not answer"),
            }
            if self.wait(pause).await == Over::Program {
                return;
            }
            pause = (pause * 2).min(LATER);
        }
    }

    /// Takes requests in while there is no bus.
    async fn wait(&mut self, pause: Duration) -> Over {
        let over = time::sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Over::Bus,
                request = self.asked.recv() => match request {
                    Some(Request::Show(shown)) => self.add(shown),
                    Some(Request::Withdraw(number)) => drop(self.notices.remove(&number)),
                    None => return Over::Program,
                }
            }
        }
    }

    /// Works until the bus or the program ends.
    async fn work(&mut self, joined: Joined) -> Over {
        let Joined { bus, mut signals, mut owners } = joined;
        let mut calls: JoinSet<Answer> = JoinSet::new();
        let mut pause = START_AGAIN;
        self.send_waiting(&bus, &mut calls);
        loop {
            let waiting = self.notices.values().any(|notice| notice.stage == Stage::Waiting);
            tokio::select! {
                request = self.asked.recv() => match request {
                    Some(Request::Show(shown)) => {
                        self.add(shown);
                        self.send_waiting(&bus, &mut calls);
                    }
                    Some(Request::Withdraw(number)) => self.withdraw(number, &bus),
                    None => return Over::Program,
                },
                signal = signals.next() => match signal {
                    Some(Ok(signal)) => self.heard(&signal),
                    Some(Err(_)) => {}
                    None => return Over::Bus,
                },
                change = owners.next() => match change {
                    Some(Ok(change)) => {
                        if let Some(came) = has_come(&change) {
                            self.daemon_ended();
                            pause = START_AGAIN;
                            if came {
                                self.logged = None;
                                self.send_waiting(&bus, &mut calls);
                            }
                        }
                    }
                    Some(Err(_)) => {}
                    None => return Over::Bus,
                },
                Some(answer) = calls.join_next(), if !calls.is_empty() => {
                    if let Ok(answer) = answer {
                        self.answered(answer, &bus);
                    }
                }
                // A daemon that is started by name may be so later: it needs a screen.
                () = time::sleep(pause), if waiting => {
                    pause = (pause * 2).min(START_LATER);
                    self.send_waiting(&bus, &mut calls);
                }
            }
        }
    }

    fn add(&mut self, shown: Shown) {
        let notice = Notice { shown, stage: Stage::Waiting, attempts: 0, withdrawn: false };
        self.notices.insert(notice.shown.number, notice);
    }

    fn send_waiting(&mut self, bus: &Connection, calls: &mut JoinSet<Answer>) {
        for (number, notice) in &mut self.notices {
            if notice.stage == Stage::Waiting {
                notice.stage = Stage::Sent;
                calls.spawn(notify(bus.clone(), *number, notice.shown.clone()));
            }
        }
    }

    fn answered(&mut self, (number, answer): Answer, bus: &Connection) {
        let Some(notice) = self.notices.get_mut(&number) else { return };
        match answer {
            Ok(id) if notice.withdrawn => {
                self.notices.remove(&number);
                close(bus, id);
            }
            Ok(id) => {
                notice.stage = Stage::OnScreen(id);
                notice.attempts += 1;
                self.bell.ring(Tick::NoticeShown(number));
                self.catch_up(id);
            }
            Err(_) if notice.withdrawn => drop(self.notices.remove(&number)),
            Err(error) => {
                notice.stage = Stage::Waiting;
                self.log(&error.to_string());
            }
        }
        if !self.notices.values().any(|notice| notice.stage == Stage::Sent) {
            self.early.clear();
        }
    }

    fn withdraw(&mut self, number: u32, bus: &Connection) {
        let Some(notice) = self.notices.get_mut(&number) else { return };
        match notice.stage {
            Stage::Sent => notice.withdrawn = true,
            Stage::Waiting => drop(self.notices.remove(&number)),
            Stage::OnScreen(id) => {
                self.notices.remove(&number);
                close(bus, id);
            }
        }
    }

    /// The daemon says something of a notice, perhaps of another program's.
    fn heard(&mut self, signal: &Message) {
        let header = signal.header();
        let body = signal.body();
        let said = match header.member().map(zbus::names::MemberName::as_str) {
            Some("ActionInvoked") => {
                body.deserialize::<(u32, String)>().map(|(id, name)| (id, Said::Pressed(name)))
            }
            Some("NotificationClosed") => {
                body.deserialize::<(u32, u32)>().map(|(id, _)| (id, Said::Closed))
            }
            _ => return,
        };
        if let Ok((id, said)) = said {
            self.said(id, said);
        }
    }

    fn said(&mut self, id: u32, said: Said) {
        let mut all = self.notices.iter();
        let Some(number) =
            all.find(|(_, notice)| notice.stage == Stage::OnScreen(id)).map(|(number, _)| *number)
        else {
            if self.notices.values().any(|notice| notice.stage == Stage::Sent) {
                self.early.push((id, said));
            }
            return;
        };
        let Some(notice) = self.notices.remove(&number) else { return };
        match said {
            Said::Closed => self.bell.ring(Tick::NoticeLeft(number, Left::Unread)),
            Said::Pressed(name) => {
                self.bell.ring(Tick::NoticeLeft(number, Left::Clicked));
                let Shown { act, click, .. } = notice.shown;
                self.bell.ring(Tick::Pressed(if name == BUTTON { act } else { click }));
            }
        }
    }

    /// What was said of a notice before its number was known.
    fn catch_up(&mut self, id: u32) {
        let early = std::mem::take(&mut self.early);
        for (of, said) in early {
            if of == id {
                self.said(of, said);
            } else {
                self.early.push((of, said));
            }
        }
    }

    /// Whatever was on the screen has gone with its daemon, and nobody has read it.
    fn daemon_ended(&mut self) {
        self.early.clear();
        let mut worn = Vec::new();
        for (number, notice) in &mut self.notices {
            if matches!(notice.stage, Stage::OnScreen(_)) {
                notice.stage = Stage::Waiting;
                if notice.attempts >= ATTEMPTS {
                    worn.push(*number);
                }
            }
        }
        for number in worn {
            self.notices.remove(&number);
            self.bell.ring(Tick::NoticeLeft(number, Left::Unread));
        }
    }

    /// What was sent will have no answer.
    fn bus_ended(&mut self) {
        self.daemon_ended();
        self.notices.retain(|_, notice| !notice.withdrawn);
        for notice in self.notices.values_mut() {
            notice.stage = Stage::Waiting;
        }
    }

    fn log(&mut self, trouble: &str) {
        if self.logged.as_deref() != Some(trouble) {
            tracing::info!(trouble, "notices wait to be shown");
            self.logged = Some(trouble.to_owned());
        }
    }
}

/// A connection on which everything is heard.
struct Joined {
    bus: Connection,
    signals: MessageStream,
    owners: MessageStream,
}

async fn connect(env: &Env) -> zbus::Result<Joined> {
    let address = session_bus(env).ok_or_else(|| zbus::Error::Address("no session bus".into()))?;
    let bus = Builder::address(address.as_str()).build().await?;
    let rule = MatchRule::builder().msg_type(message::Type::Signal);
    let signals = rule.sender(DAEMON).path(PATH).interface(DAEMON).build()?;
    let signals = MessageStream::for_match_rule(signals, &bus, None).await?;
    let rule = MatchRule::builder().msg_type(message::Type::Signal);
    let rule = rule.sender(BUS).path(BUS_PATH).interface(BUS).member("NameOwnerChanged");
    let owners = rule.arg(0, DAEMON).build()?;
    let owners = MessageStream::for_match_rule(owners, &bus, None).await?;
    Ok(Joined { bus, signals, owners })
}

/// Where the session bus is: what the environment names, else where systemd puts it.
pub(crate) fn session_bus(env: &Env) -> Option<String> {
    let named = env.get(ADDRESS).and_then(|address| address.into_string().ok());
    // A library would start a bus of its own, where no daemon is.
    named.filter(|address| !address.starts_with("autolaunch")).or_else(|| {
        let usual = env.folder("XDG_RUNTIME_DIR")?.join("bus");
        usual.exists().then(|| format!("unix:path={}", usual.display()))
    })
}

/// Whether a daemon has come, or has gone; `None` where it is no such news.
fn has_come(change: &Message) -> Option<bool> {
    let (_, _, new) = change.body().deserialize::<(String, String, String)>().ok()?;
    Some(!new.is_empty())
}

async fn notify(bus: Connection, number: u32, shown: Shown) -> Answer {
    let actions = [BUTTON, shown.button.as_str(), ELSEWHERE, ""];
    let (replaced, hints) = (0_u32, HashMap::<&str, Variant<'_>>::new());
    let markup = reads_markup(&bus).await;
    let body = if markup { text::for_markup(&shown.body) } else { shown.body };
    let (title, body) = (shown.title.as_str(), body.as_str());
    let lasting = -1_i32;
    let words = (APPLICATION, replaced, ICON, title, body, actions.as_slice(), hints, lasting);
    let answer = bus.call_method(Some(DAEMON), PATH, Some(DAEMON), "Notify", &words).await;
    (number, answer.and_then(|answer| answer.body().deserialize()))
}

/// Whether this daemon reads what a body says as markup. Asked each time: another one may have come. One
/// that does not answer in time may.
async fn reads_markup(bus: &Connection) -> bool {
    let asked = bus.call_method(Some(DAEMON), PATH, Some(DAEMON), "GetCapabilities", &());
    let Ok(asked) = time::timeout(CAPABLE, asked).await else { return true };
    let able = asked.and_then(|answer| answer.body().deserialize::<Vec<String>>());
    able.is_ok_and(|able| able.iter().any(|what| what == MARKUP))
}

/// Whether it could be closed matters to nobody.
fn close(bus: &Connection, id: u32) {
    let bus = bus.clone();
    tokio::spawn(async move {
        let words = (id,);
        let asked = bus.call_method(Some(DAEMON), PATH, Some(DAEMON), "CloseNotification", &words);
        drop(asked.await);
    });
}
