//! How many renewals a keeper can carry: figures, never asserted.
//!
//! A simulated world answers every effect at once, in simulated time. It is the restart of a keeper
//! that has run for long: stores of a hundred grants, tokens of one hour, renewals and daily probes
//! spread evenly. Measured is a fixed number of renewals after start-up and a minute of simulated
//! time, so that the looks at what was saved are under way as always. Run by
//! `cargo xtask bench keeper`; `-- GRANTS RENEWALS` for one size.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::{
    fs,
    time::{Duration, Instant},
};

use lamplighter_core::{
    facts::{Facts, GrantFacts, Renewer, StoreFacts},
    http::Answer,
    ids::{EntryKey, MarkKey, StoreId, Target, Ticket, TokenMark},
    keeper::{Effect, Event, Input, Keeper, Mode, Opening, Outcome, ProbeFinding, SignInMeans},
    oauth::{metadata::ServerMetadata, pin::Pin, profile::Profiles},
    secret::Secret,
    store::{
        Change, ClientCredentials, ClientFrom, Entry, SignInConfig, StoreInfo, StoreView,
        TokenPair, Written,
    },
    time::{Boot, Millis, Now, Wall},
};
use zeroize::Zeroizing;

/// Grants, and the renewals that are measured with so many of them.
const SIZES: [(usize, usize); 3] = [(100, 2_000), (10_000, 20_000), (1_000_000, 20_000)];
const IN_A_STORE: usize = 100;
const LIFE: Millis = Millis::hours(1);
const START: Now = Now { wall: Wall(1_800_000_000_000), boot: Boot(100_000_000) };
/// The last look at what was saved comes after 65 s.
const WARM_UP: Millis = Millis::seconds(70);
const KEY: MarkKey = MarkKey([7; 32]);

/// Stores and a server, told by two numbers a grant.
struct World {
    now: Now,
    /// Per grant: which tokens it holds, and when the access token ends.
    tokens: Vec<(u32, Wall)>,
    renewals: usize,
    inputs: usize,
    /// Spent inside the keeper.
    keeping: Duration,
}

impl World {
    fn new(grants: usize) -> Self {
        let tokens = (0..grants).map(|n| (0, issued(n, grants) + LIFE)).collect();
        Self { now: START, tokens, renewals: 0, inputs: 0, keeping: Duration::ZERO }
    }

    fn opening(&self) -> Opening {
        let grants = self.tokens.len();
        let stores: Vec<StoreId> = (0..grants.div_ceil(IN_A_STORE)).map(store_id).collect();
        let proven = StoreFacts { first_write_at: None, proven: true };
        let facts = Facts {
            grants: (0..grants).map(|n| (target(n), self.facts(n))).collect(),
            stores: stores.iter().map(|id| (id.clone(), proven.clone())).collect(),
            ..Facts::default()
        };
        let infos = stores.into_iter().map(|id| StoreInfo {
            id,
            client: "Claude Code".into(),
            place: "~/.claude".into(),
            client_margin: Millis::minutes(5),
        });
        Opening {
            stores: infos.collect(),
            facts,
            journal: Vec::new(),
            profiles: Profiles::default(),
            mark_key: KEY,
            seed: 7,
            mode: Mode::Keep,
            probes: true,
            plain_http: lamplighter_core::http::PlainHttp::default(),
            sign_in_means: SignInMeans::default(),
        }
    }

    /// What an earlier run learned of one grant.
    fn facts(&self, n: usize) -> GrantFacts {
        let metadata = ServerMetadata {
            issuer: "https://as.example".into(),
            token_endpoint: "https://as.example/token".into(),
            revocation_endpoint: None,
            token_auth_methods: Vec::new(),
        };
        let issued = issued(n, self.tokens.len());
        GrantFacts {
            life: Some(LIFE),
            issued_at: Some(issued),
            access: pair(n, self.tokens[n]).access.map(|token| TokenMark::of(&KEY, &token)),
            proof_at: Some(issued),
            renewed_at: Some(issued),
            renewed_by: Some(Renewer::Lamplighter),
            pin: Some(Pin {
                issuer: metadata.issuer.clone(),
                token_origin: "https://as.example".into(),
            }),
            metadata: Some((metadata, START.wall)),
            probed_at: Some(START.wall - share(Millis::hours(20), n, self.tokens.len())),
            ..GrantFacts::default()
        }
    }

    fn view(&self, store: &StoreId) -> StoreView {
        let number: usize = store.as_str()[1..].parse().unwrap_or(0);
        let first = number * IN_A_STORE;
        let last = (first + IN_A_STORE).min(self.tokens.len());
        let entries = (first..last).map(|n| entry(n, self.tokens[n])).collect();
        StoreView { entries, ..StoreView::default() }
    }

    /// The keeper, and the clock on what it does.
    fn handle(&mut self, keeper: &mut Keeper, input: Input) {
        let started = Instant::now();
        keeper.handle(input, self.now);
        self.keeping += started.elapsed();
        self.inputs += 1;
    }

    fn settle(&mut self, keeper: &mut Keeper) {
        while let Some(effect) = keeper.poll_effect() {
            if let Some((ticket, outcome)) = self.perform(effect) {
                self.handle(keeper, Input::Done(ticket, outcome));
            }
        }
    }

    /// Goes to the next moment the keeper asks for, and does what it wants then.
    fn step(&mut self, keeper: &mut Keeper) {
        let started = Instant::now();
        let wake = keeper.poll_wake();
        self.keeping += started.elapsed();
        let at = wake.map_or(self.now.boot + Millis::minutes(1), |wake| wake.at);
        let step = self.now.boot.until(at);
        self.now = Now { wall: self.now.wall + step, boot: self.now.boot + step };
        self.handle(keeper, Input::Tick);
        self.settle(keeper);
    }

    fn perform(&mut self, effect: Effect) -> Option<(Ticket, Outcome)> {
        Some(match effect {
            Effect::Lock { ticket, .. } => (ticket, Outcome::Locked(Ok(()))),
            Effect::Read { ticket, stores, .. } | Effect::ReadBack { ticket, stores, .. } => {
                let views = stores.into_iter().map(|store| (store.clone(), Ok(self.view(&store))));
                (ticket, Outcome::Read(views.collect()))
            }
            Effect::Intent { ticket, .. }
            | Effect::Journal { ticket, .. }
            | Effect::Forget { ticket, .. } => (ticket, Outcome::Kept(Ok(()))),
            Effect::Send { ticket, request, .. } => {
                (ticket, Outcome::Answered(Ok(issue(&request.body))))
            }
            Effect::Write { ticket, store, change, .. } => {
                self.write(&store, &change);
                (ticket, Outcome::Wrote(Ok(Written::Saved)))
            }
            Effect::Unlock { ticket, .. } => (ticket, Outcome::Unlocked),
            Effect::Fetch { ticket, .. } => {
                let body = r#"{"issuer":"https://as.example","token_endpoint":"https://as.example/token"}"#;
                (ticket, Outcome::Fetched(Ok(answer(body.into()))))
            }
            Effect::Withdraw { ticket, .. } => (ticket, Outcome::Withdrawn(Ok(false))),
            Effect::Probe { ticket, .. } => {
                (ticket, Outcome::Probed(ProbeFinding::Accepted(Some(3))))
            }
            Effect::Draw { .. }
            | Effect::Listen { .. }
            | Effect::Remove { .. }
            | Effect::Invite { .. }
            | Effect::Show { .. }
            | Effect::Hush { .. } => unreachable!("nobody signs in or out"),
            Effect::Remember { .. } => return None,
            Effect::Tell { event } => {
                let renewed = matches!(event, Event::Renewed { by: Renewer::Lamplighter, .. });
                self.renewals += usize::from(renewed);
                return None;
            }
        })
    }

    fn write(&mut self, store: &StoreId, change: &Change) {
        let number: usize = store.as_str()[1..].parse().unwrap_or(0);
        let place: usize = change.key.as_str()[1..].parse().unwrap_or(0);
        let tokens = &mut self.tokens[number * IN_A_STORE + place];
        *tokens = (tokens.0 + 1, change.new.expires_at.unwrap_or(tokens.1));
    }
}

/// When the first token of a grant was received: so that as many are due in every minute.
fn issued(n: usize, grants: usize) -> Wall {
    START.wall - share(Millis::minutes(46), n, grants)
}

/// The `n`-th of so many parts of a time; the order of names says nothing about the order of times.
fn share(whole: Millis, n: usize, of: usize) -> Millis {
    let mixed = n.wrapping_mul(7_919) % of.max(1);
    let mixed = u64::try_from(mixed).unwrap_or(0);
    let of = u64::try_from(of).unwrap_or(u64::MAX).max(1);
    Millis(whole.0 * mixed / of)
}

fn store_id(n: usize) -> StoreId {
    StoreId(format!("s{n:05}"))
}

fn target(n: usize) -> Target {
    let key = EntryKey(format!("m{:02}", n % IN_A_STORE));
    Target { store: store_id(n / IN_A_STORE), key }
}

fn pair(n: usize, (generation, expires_at): (u32, Wall)) -> TokenPair {
    TokenPair {
        access: Some(Secret::new(format!("access-token-of-a-usual-length-{n}-{generation}"))),
        refresh: Some(Secret::new(refresh(n, generation))),
        expires_at: Some(expires_at),
    }
}

fn refresh(n: usize, generation: u32) -> String {
    format!("refresh-token-of-a-usual-length-{n}-{generation}")
}

fn entry(n: usize, tokens: (u32, Wall)) -> Entry {
    let name = format!("m{:02}", n % IN_A_STORE);
    Entry {
        key: EntryKey(name.clone()),
        server_url: format!("https://{name}.example/mcp"),
        server_name: name,
        pair: pair(n, tokens),
        scope: Some("read write".into()),
        client: Some(ClientCredentials { id: format!("client-{n}"), secret: None }),
        client_from: ClientFrom::Entry,
        configured_secret: None,
        issuer: None,
        authorization_server: Some("https://as.example".into()),
        metadata_url: None,
        redirect_uri: None,
        sign_in: SignInConfig::default(),
        left_alone: None,
    }
}

/// The token endpoint: the next pair after the one that was presented.
fn issue(body: &[u8]) -> Answer {
    let form = url::form_urlencoded::parse(body);
    let token = form.into_iter().find(|(name, _)| name == "refresh_token");
    let token = token.map(|(_, token)| token.into_owned()).unwrap_or_default();
    let (stem, generation) = token.rsplit_once('-').unwrap_or_default();
    let (_, n) = stem.rsplit_once('-').unwrap_or_default();
    let next = generation.parse().unwrap_or(0) + 1;
    let (n, seconds) = (n.parse().unwrap_or(0), LIFE.0 / 1_000);
    let refresh = refresh(n, next);
    answer(format!(
        r#"{{"access_token":"access-token-of-a-usual-length-{n}-{next}","refresh_token":"{refresh}","expires_in":{seconds}}}"#
    ))
}

fn answer(body: String) -> Answer {
    Answer {
        status: 200,
        content_type: None,
        retry_after: None,
        challenges: Vec::new(),
        location: None,
        body: Zeroizing::new(body.into_bytes()),
    }
}

/// What this process holds in memory, in KiB, where the system says so.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn measure(grants: usize, renewals: usize) {
    let mut world = World::new(grants);
    let before = resident();
    let started = Instant::now();
    let mut keeper = Keeper::new(world.opening(), world.now);
    for n in 0..grants.div_ceil(IN_A_STORE) {
        let store = store_id(n);
        let seen = Ok(world.view(&store));
        world.handle(&mut keeper, Input::StoreSeen { store, seen });
        world.settle(&mut keeper);
    }
    let start_up = started.elapsed();
    let held = before.zip(resident()).map(|(before, now)| now.saturating_sub(before));
    let warm = START.boot + WARM_UP;
    while world.now.boot < warm && renewals > IN_A_STORE {
        world.step(&mut keeper);
    }
    (world.renewals, world.inputs, world.keeping) = (0, 0, Duration::ZERO);
    let (from, started) = (world.now.boot, Instant::now());
    while world.renewals < renewals {
        world.step(&mut keeper);
    }
    let took = started.elapsed();
    let keeping = world.keeping.as_secs_f64();
    println!(
        "{grants} grants: {} renewals in {:.2} s ({:.2} s of it in the keeper): {:.0} renewals/s, \
         {:.1} µs an input",
        world.renewals,
        took.as_secs_f64(),
        keeping,
        world.renewals as f64 / took.as_secs_f64(),
        keeping * 1e6 / world.inputs as f64,
    );
    let needed = world.renewals as f64 * 1_000.0 / from.until(world.now.boot).0.max(1) as f64;
    let memory = held.filter(|_| grants >= 10_000).map(|kib| kib * 1_024 / grants as u64);
    let memory = memory.map_or_else(String::new, |bytes| format!(", {bytes} bytes a grant"));
    println!(
        "  start-up {:.2} s{memory}; tokens of this life need {needed:.2} renewals/s",
        start_up.as_secs_f64()
    );
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` starts benches too, and without this word.
    if !words.iter().any(|word| word == "--bench") {
        return;
    }
    let numbers: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    println!("stores of {IN_A_STORE} grants, tokens of 1 h, every effect answered at once;");
    println!("a fixed number of renewals after start-up and {} s, not a cycle", WARM_UP.0 / 1_000);
    if let [grants, renewals] = numbers[..] {
        return measure(grants, renewals);
    }
    for (grants, renewals) in SIZES {
        measure(grants, renewals);
    }
}
