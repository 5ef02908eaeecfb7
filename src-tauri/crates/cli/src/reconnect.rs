//! `lamplighter reconnect`: the sign-in flow from a terminal, and `callback`, which hands in what a
//! browser brought.
//!
//! The sign-in page's address goes to the browser or to this terminal, and nowhere else. It must not
//! open anything but that one page, once.

use std::{
    io::{BufRead, IsTerminal},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::bail;
use lamplighter_core::{
    commands,
    health::{EXIT_FINE, EXIT_PERSON},
    ids::GrantId,
    keeper::{Action, Event, Keeper, Mode, Reconnect},
    secret::Secret,
    signin::RedirectWish,
    snapshot::Snapshot,
    time::Millis,
};
use lamplighter_engine::{
    browser::{self, Opened},
    open::Place,
    output,
    redirect::Knock,
    socket::Invited,
    stop,
};
use serde_json::json;

use crate::{
    args,
    events::choose,
    last_look, print,
    remote::{self, Remote},
    work,
};

/// How long another Lamplighter is waited for.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);
/// After that long without a browser at the page, its address is shown.
const BROWSER_PATIENCE: Duration = Duration::from_secs(10);
/// On top of the browser's time: discovery before it, saving and a last question after it.
const BESIDES: Duration = Duration::from_secs(180);

/// Signs in to a server by its name; the exit code says whether that worked.
pub(crate) fn run(place: Place, name: &str, way: &args::Way) -> anyhow::Result<u8> {
    sign_in(place, &|snapshot| one(snapshot, name).map(Reconnect::of), way, None)
}

/// Signs in to what is meant, this way. `unknown`: what the client still has to be told afterwards.
pub(crate) fn sign_in(
    place: Place,
    meant: &dyn Fn(&Snapshot) -> anyhow::Result<Reconnect>,
    way: &args::Way,
    unknown: Option<String>,
) -> anyhow::Result<u8> {
    let teller = Arc::new(Mutex::new(Teller::new(way, unknown)));
    let wish = |snapshot: &Snapshot| -> anyhow::Result<Reconnect> {
        Ok(Reconnect {
            redirect: match way.redirect {
                args::Redirect::Automatic => RedirectWish::Automatic,
                args::Redirect::Scheme => RedirectWish::Scheme,
                args::Redirect::Loopback => RedirectWish::Loopback,
            },
            port: way.port,
            patience: Millis::seconds(way.timeout),
            ..meant(snapshot)?
        })
    };
    if let Some(mut remote) = remote::join(&place)? {
        let wish = wish(&remote.snapshot()?)?;
        return beside(remote, wish, &teller, place.paths.socket_file());
    }
    let for_events = Arc::clone(&teller);
    let listener = Box::new(move |event: &Event, _: &Keeper| lock(&for_events).heard(event));
    work::run(async {
        let what = "a lamplighter sign-in";
        let mut driver = place.open(Mode::OnRequest, what, ENGINE_PATIENCE, listener)?;
        driver.look().await;
        let wish = wish(&driver.snapshot())?;
        let for_invitation = Arc::clone(&teller);
        driver.invite_by(Box::new(move |grant, invitation| {
            lock(&for_invitation).invited(&Invited::of(grant, invitation));
        }));
        let (knocker, wisher) = (driver.knocker(), driver.wisher());
        let grant = wish.grant.clone();
        listen_to_keys(&teller, move |key| match key {
            Key::Enter => wisher.send(Action::AnotherWay(grant.clone())).is_ok(),
            Key::Pasted(query) => {
                let (answer, _) = tokio::sync::oneshot::channel();
                knocker.send(Knock { query: Secret::new(query), answer }).is_ok()
            }
        });
        driver.act(Action::Reconnect(wish));
        let patience = Duration::from_secs(way.timeout) + BESIDES;
        driver.settle(stop::asked(), patience).await;
        last_look::later(&driver);
        Ok(lock(&teller).code())
    })
}

/// The same by the keeper that runs. Ctrl-C ends the connection, and with it the sign-in.
fn beside(
    mut remote: Remote,
    wish: Reconnect,
    teller: &Arc<Mutex<Teller>>,
    socket: PathBuf,
) -> anyhow::Result<u8> {
    let grant = wish.grant.clone();
    listen_to_keys(teller, move |key| {
        // The first connection belongs to the sign-in, and is being read.
        let Ok(Some(remote)) = remote::join_at(&socket) else { return false };
        match key {
            Key::Enter => remote.ask_for(Action::AnotherWay(grant.clone())).is_ok(),
            Key::Pasted(query) => remote.callback(query).is_ok(),
        }
    });
    let action = Action::Reconnect(wish);
    let heard = |event: &Event| {
        lock(teller).heard(event);
        print::is_read()
    };
    let invited = |invited: &Invited| {
        lock(teller).invited(invited);
        print::is_read()
    };
    remote.sign_in(action, heard, invited)?;
    Ok(lock(teller).code())
}

/// Hands a callback's URL to whoever waits for it.
pub(crate) fn callback(place: &Place, url: &str) -> anyhow::Result<u8> {
    let Some(remote) = remote::join(place)? else {
        bail!("this sign-in is no longer waiting; start again");
    };
    let (title, good) = remote.callback(query_of(url))?;
    outln!("{title}");
    Ok(if good { EXIT_FINE } else { EXIT_PERSON })
}

fn one(snapshot: &Snapshot, name: &str) -> anyhow::Result<GrantId> {
    let mut chosen = choose(snapshot, &[name.to_owned()])?;
    // By one name there is one, or an error.
    chosen.pop_first().ok_or_else(|| anyhow::anyhow!("no server named {name}"))
}

fn lock(teller: &Mutex<Teller>) -> std::sync::MutexGuard<'_, Teller> {
    teller.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The query of a URL as a browser's address line shows it.
fn query_of(line: &str) -> String {
    let line = line.trim().split('#').next().unwrap_or_default();
    line.split_once('?').map_or(line, |(_, query)| query).to_owned()
}

/// What a person may do at the terminal while the browser is waited for.
enum Key {
    /// The page shows an error.
    Enter,
    /// What the browser's address line shows at the end.
    Pasted(String),
}

/// Takes what is typed, in a thread of its own, for as long as `pressed` wants it.
fn listen_to_keys(
    teller: &Arc<Mutex<Teller>>,
    mut pressed: impl FnMut(Key) -> bool + Send + 'static,
) {
    if !lock(teller).is_on_a_terminal() {
        return;
    }
    let teller = Arc::clone(teller);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let key = lock(&teller).key(&line);
            if key.is_some_and(|key| !pressed(key)) {
                return;
            }
        }
    });
}

/// What a person was shown of the sign-in page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Page {
    NotYet,
    Shown,
    /// A browser was opened, and Enter opens it another way.
    ShownWithAnotherWay,
}

/// What is said, to a person or to a script.
struct Teller {
    json: bool,
    browser: bool,
    timeout: u64,
    /// What the client has to be told, where its configuration lacks the server.
    unknown: Option<String>,
    page: Page,
    worked: Option<bool>,
    /// Whether the page that was opened last matters no more: the sign-in has ended, well or not.
    over: Arc<AtomicBool>,
}

impl Teller {
    fn new(way: &args::Way, unknown: Option<String>) -> Self {
        let browser = !way.no_browser && !way.json && !is_remote();
        let (json, timeout) = (way.json, way.timeout);
        let over = Arc::default();
        Self { json, browser, timeout, unknown, page: Page::NotYet, worked: None, over }
    }

    fn is_on_a_terminal(&self) -> bool {
        !self.json && std::io::stdin().is_terminal()
    }

    /// Whether a pasted address is waited for: on a terminal where no browser was opened.
    fn takes_pasted(&self) -> bool {
        !self.browser && self.is_on_a_terminal()
    }

    /// What a line that was typed means; `None`: nothing.
    fn key(&mut self, line: &str) -> Option<Key> {
        if line.trim().is_empty() {
            // Once: there are two ways and no more.
            let offered = std::mem::replace(&mut self.page, Page::Shown);
            return (offered == Page::ShownWithAnotherWay).then_some(Key::Enter);
        }
        self.takes_pasted().then(|| Key::Pasted(query_of(line)))
    }

    fn code(&self) -> u8 {
        if self.worked == Some(true) { EXIT_FINE } else { EXIT_PERSON }
    }

    fn invited(&mut self, invited: &Invited) {
        self.page = Page::Shown;
        if self.json {
            let (url, redirect_uri) = (&invited.url, &invited.redirect_uri);
            output::out().json(&json!({"event": "authorize", "grant": invited.grant, "url": url,
                       "redirect_uri": redirect_uri, "client_name": invited.client_name}));
            return;
        }
        outln!("The page at {} will show the name: {}", invited.host, invited.client_name);
        self.browser = self.browser && self.open(&invited.url);
        if !self.browser {
            outln!("Open this page in your browser:\n\n  {}\n", invited.url);
            if let Some(line) = tunnel(&invited.redirect_uri) {
                outln!("If that browser is on another machine, first run there:\n\n  {line}\n");
            }
            if self.takes_pasted() {
                outln!("Or paste here what its address line shows at the end.");
            }
        }
        outln!("Waiting for your browser, {} s at most; Ctrl-C leaves all as it is.", self.timeout);
        if self.browser && invited.other_way && self.is_on_a_terminal() {
            self.page = Page::ShownWithAnotherWay;
            outln!("Page shows an error? Press Enter for another way.");
        }
    }

    /// Has a browser open the page; whether one could be asked to.
    fn open(&mut self, url: &str) -> bool {
        let url = Secret::new(url);
        // The page that was opened before, another way, is waited for no longer.
        self.over.store(true, Ordering::Release);
        self.over = Arc::default();
        match browser::open(&url) {
            Ok(opened) => {
                let over = Arc::clone(&self.over);
                std::thread::spawn(move || show_where_nobody_came(&opened, &url, &over));
                true
            }
            Err(fault) => {
                errln!("lamplighter: {fault}");
                false
            }
        }
    }

    fn heard(&mut self, event: &Event) {
        match event {
            Event::SigningIn { grant, step } => {
                // A script's first line is the page's address.
                if self.json && self.page != Page::NotYet {
                    output::out()
                        .json(&json!({"event": "signing_in", "grant": grant, "step": step}));
                } else if !self.json {
                    errln!("{grant}: {step}…");
                }
            }
            Event::SignedIn { grant, server, tools, refused, account, other_account } => {
                self.worked = Some(!refused);
                if self.json {
                    output::out().json(
                        &json!({"event": "signed_in", "grant": grant, "tools": tools,
                               "refused": refused, "account": account,
                               "other_account": other_account, "then": self.unknown}),
                    );
                    return;
                }
                let account = account.as_ref().map(|a| format!(" as {a}")).unwrap_or_default();
                let tools = tools.map(|tools| format!(", {tools} tools")).unwrap_or_default();
                if *refused {
                    outln!("Signed in{account}, but {server} refuses the new token");
                } else {
                    outln!("Signed in{account}{tools}");
                }
                if *other_account {
                    outln!("This is another account than before.");
                }
                match &self.unknown {
                    Some(command) => {
                        outln!("Claude Code does not know this server yet: {command}");
                    }
                    None => outln!("Open Claude Code sessions: {}", commands::in_session(server)),
                }
            }
            Event::SignInFailed { grant, code, why } => {
                self.over.store(true, Ordering::Release);
                self.worked = Some(false);
                if self.json {
                    output::out().json(
                        &json!({"event": "failed", "grant": grant, "code": code, "message": why}),
                    );
                } else {
                    outln!("Not signed in: {why}");
                }
            }
            Event::Waiting { .. }
            | Event::Renewing { .. }
            | Event::Renewed { .. }
            | Event::Unchanged { .. }
            | Event::Failed { .. }
            | Event::Checked { .. }
            | Event::Reviewed { .. }
            | Event::VerdictWithdrawn { .. }
            | Event::Restored { .. }
            | Event::SignedOut { .. }
            | Event::Revocation { .. }
            | Event::SignOutFailed { .. }
            | Event::Notice(_)
            | Event::NoticeWithdrawn { .. } => {}
        }
    }
}

/// Shows the page's address where the browser does not come for it: it may not reach this machine.
fn show_where_nobody_came(opened: &Opened, url: &Secret, over: &AtomicBool) {
    std::thread::sleep(BROWSER_PATIENCE);
    if !opened.was_fetched() && !over.load(Ordering::Acquire) {
        outln!("No browser has come yet. If none opens, open this page yourself:\n");
        outln!("  {}\n", url.expose());
    }
}

/// Over SSH without a display a browser here would open on nobody's screen.
fn is_remote() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set("SSH_CONNECTION") && !set("DISPLAY") && !set("WAYLAND_DISPLAY")
}

/// The command that brings a loopback redirect from another machine's browser to this one.
fn tunnel(redirect_uri: &str) -> Option<String> {
    let port = redirect_uri.strip_prefix("http://localhost:")?.split('/').next()?;
    let host = std::env::var("SSH_CONNECTION").ok();
    let host = host.as_deref().and_then(|connection| connection.split(' ').nth(2));
    let user = std::env::var("USER").map(|user| format!("{user}@")).unwrap_or_default();
    Some(format!("ssh -L {port}:localhost:{port} {user}{}", host.unwrap_or("THIS-MACHINE")))
}
