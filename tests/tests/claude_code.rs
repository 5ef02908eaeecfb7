//! The real Claude Code reads what Lamplighter wrote: three pinned versions, a rehearsed server.
//!
//! Each test shows first what happens without Lamplighter, where that differs. It judges by the
//! server's books and by bytes, never by what Lamplighter says of itself. It must not start a real
//! program where anything but loopback can be reached. Where to read next: `tests/src/claude.rs`
//! and `model_api.rs`, which drive the client; the crate `lamplighter-rehearsal`, the server.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::io::Write as _;

use lamplighter_core::{
    ids::EntryKey,
    secret::Secret,
    store::{Change, ClientCredentials, Enrolment, NewTokens, TokenPair, Written},
    time::Wall,
};
use lamplighter_engine::{
    paths::Env,
    stores::{
        Store as _,
        claude_code::{ClaudeCode, Folder, Form},
    },
};
use lamplighter_rehearsal::{Control, Mint, Outcome, Rehearsal, Rotation, Seen, short_id};
use lamplighter_tests::{
    browser::visit,
    claude::Claude,
    home::{Home, run},
    model_api::ModelApi,
    peers,
    program::lamplighter,
    reconnect::Reconnect,
    session::{Session, Turn},
    store::{self, CREDENTIALS},
};
use serde_json::{Value, json};

const NAME: &str = "rig";
/// How the client names what the server offers.
const TOOLS: &str = "mcp__rig__lamp_";
const ECHO: &str = "mcp__rig__lamp_echo";
const CLAUDE: &str = "claude";
const LAMPLIGHTER: &str = "Lamplighter/";
const HOUR_MS: i64 = 3_600_000;

/// The four values of an entry that may change in a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tokens {
    access: String,
    refresh: String,
    expires_at_ms: i64,
    scope: String,
}

/// A sign-in at a server whose refresh tokens die with their family when used twice.
struct Rig {
    home: Home,
    town: Rehearsal,
    control: Control,
    model: ModelApi,
    url: String,
    client_id: String,
    issuer: String,
    minted: Tokens,
}

impl Rig {
    /// The access token has this long to live, or ended that long ago.
    fn signed_in(access_life_seconds: i64) -> Self {
        let town = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
        let town = town.start_blocking().expect("a server on loopback");
        let control = town.control();
        let minted = control.mint(Mint { access_life_seconds, ..Mint::default() });
        let rig = Self {
            home: Home::new(),
            url: town.mcp_url(),
            town,
            control,
            model: ModelApi::start(),
            client_id: minted.client_id,
            issuer: minted.issuer,
            minted: Tokens {
                access: minted.access_token,
                refresh: minted.refresh_token,
                expires_at_ms: minted.expires_at_ms,
                scope: minted.scope,
            },
        };
        store::write(&rig.home, CREDENTIALS, &rig.store_with(&rig.minted));
        rig
    }

    /// This version of the client, which knows the server.
    fn claude(&self, version: &str) -> Claude<'_> {
        let claude = Claude::new(version, &self.home, &self.model);
        claude.add_server(NAME, &self.url);
        claude
    }

    fn key(&self) -> String {
        store::key(NAME, &self.url)
    }

    /// A whole store that holds what a writer could spoil by reading and printing it again: unknown
    /// members at every level, the client's own sign-in, members out of order, numbers and escapes
    /// that have a shorter form, and a neighbour whose values look like ours.
    fn store_with(&self, tokens: &Tokens) -> String {
        let [key, url, client, issuer] =
            [self.key(), self.url.clone(), self.client_id.clone(), self.issuer.clone()]
                .map(Value::from);
        let Tokens { access, refresh, expires_at_ms, scope } = tokens;
        let [access, refresh, scope] = [access, refresh, scope].map(|text| json!(text));
        [
            r#"{"zFuture":{"odd":[1e3,1.0,-0,12345678901234567890,0.1e-7],"#,
            r#""caf\u00e9":"\/ \ud83d\udca1 é \u0041"},"#,
            r#""claudeAiOauth":{"accessToken":"sk-ant-oat01-own","refreshToken":"sk-ant-ort01-own","#,
            r#""expiresAt":4102444800000,"scopes":["user:inference"],"subscriptionType":"max","#,
            r#""x":1.50},"mcpOAuth":{"neighbour|0123456789abcdef":{"serverName":"neighbour","#,
            r#""serverUrl":"https:\/\/neighbour.example\/mcp","accessToken":"theirs","#,
            r#""refreshToken":"theirs too","expiresAt":4.1024448e12,"scope":"read write"},"#,
            &format!(r#"{key}:{{"unknown":[{{"deep":1e3}},"\u00e9"],"serverName":"{NAME}","#),
            &format!(r#""serverUrl":{url},"accessToken":{access},"discoveryState":{{"#),
            &format!(r#""authorizationServerUrl":{issuer},"oauthMetadataFound":true,"#),
            r#""authServerMetadataUrl":null,"later":{"n":1.0,"s":"\/"}},"#,
            &format!(r#""clientId":{client},"issuer":{issuer},"#),
            r#""redirectUri":"http://localhost:3118/callback","#,
            &format!(r#""refreshToken":{refresh},"expiresAt":{expires_at_ms},"scope":{scope},"#),
            r#""alsoLater":12345678901234567890}},"mcpOAuthClientConfig":{},"last":null}"#,
        ]
        .concat()
    }

    fn stored(&self) -> Tokens {
        let entry = store::entry(&self.home, &self.key());
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        Tokens {
            access: text("accessToken"),
            refresh: text("refreshToken"),
            expires_at_ms: entry["expiresAt"].as_i64().unwrap_or_default(),
            scope: text("scope"),
        }
    }

    /// Every byte outside the four values is as it was when the user signed in.
    fn only_ours_changed(&self) {
        let text = store::read(&self.home, CREDENTIALS);
        assert_eq!(text, self.store_with(&self.stored()), "a byte that isn't ours has changed");
    }

    /// Every refresh that was asked for by Lamplighter, or by anybody else: nobody but the client,
    /// whichever name its HTTP library gives.
    fn refreshes(&self, by_lamplighter: bool) -> Vec<Seen> {
        let mut seen = self.control.refreshes();
        seen.retain(|seen| seen.user_agent.starts_with(LAMPLIGHTER) == by_lamplighter);
        seen
    }

    /// Runs Lamplighter. Afterwards the store holds a new pair with one hour to live, and nothing
    /// else in it has changed; the server was asked once.
    fn renew(&self, args: &[&str]) -> Tokens {
        let before = store::now_ms();
        let _ = lamplighter(&self.home, args).succeeded();
        let after = store::now_ms();
        let new = self.stored();
        assert_ne!((&new.access, &new.refresh), (&self.minted.access, &self.minted.refresh));
        let newest = self.control.newest_pair_of(&self.minted.refresh);
        assert_eq!((&new.access, &new.refresh), (&newest.0, &newest.1));
        assert!(self.control.is_access_live(&new.access));
        assert!(self.control.is_refresh_live(&new.refresh));
        // Seconds are what the server tells; the rest is when they were counted from.
        let life = before + HOUR_MS - 1000..=after + HOUR_MS;
        assert!(life.contains(&new.expires_at_ms), "{life:?} {}", new.expires_at_ms);
        self.only_ours_changed();
        let asked = self.refreshes(true);
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!((&asked[0].outcome, asked[0].reuse), (&Outcome::Issued, false));
        new
    }

    /// A session that starts now offers no tool of the server, and neither contacts it nor
    /// refreshes, however good the tokens are.
    fn a_new_session_is_blind(&self, claude: &Claude<'_>) {
        let contacts = self.control.mcp_calls().len();
        self.model.forget();
        let mut session = claude.session(ECHO);
        let turn = call(&mut session, "unheard");
        assert_eq!(status(&turn), Some("needs-auth"));
        assert_eq!(turn.answer, format!("{ECHO} is not offered"));
        session.end();
        assert!(self.offers().iter().all(|ours| !ours), "{:?}", self.model.asked());
        assert_eq!(self.control.mcp_calls().len(), contacts, "the server was contacted");
        assert_eq!(self.control.refreshes(), [], "something was refreshed");
        assert_eq!(self.stored(), self.minted, "the tokens were touched");
        assert_eq!(store::verdicts(&self.home), [NAME], "the verdict is gone by itself");
    }

    /// A session that starts now offers the tools, and a call is made with this access token.
    fn a_new_session_calls_the_tool(&self, claude: &Claude<'_>, access: &str) {
        self.model.forget();
        let mut session = claude.session(ECHO);
        self.the_tool_answers(&mut session, access, "a light");
        session.end();
        assert!(self.offers().iter().all(|ours| *ours), "{:?}", self.model.asked());
    }

    /// For each request that offered anything, whether a tool of the server was among it.
    fn offers(&self) -> Vec<bool> {
        let asked = self.model.asked();
        let full = asked.iter().filter(|asked| !asked.tools.is_empty());
        let offers: Vec<bool> =
            full.map(|asked| asked.tools.iter().any(|tool| tool.starts_with(TOOLS))).collect();
        assert!(!offers.is_empty(), "the model was never asked");
        offers
    }

    /// A call is answered, and was made with exactly this access token.
    fn the_tool_answers(&self, session: &mut Session, access: &str, text: &str) {
        let turn = call(session, text);
        assert_eq!(turn.answer, format!("The tool said: {text}"), "{turn:?}");
        assert_eq!(status(&turn), Some("connected"));
        let calls = self.control.mcp_calls();
        let last = calls.iter().rfind(|call| call.tool.is_some()).expect("a call at the server");
        assert_eq!(last.tool.as_deref(), Some("lamp_echo"));
        assert!(last.accepted && last.user_agent.starts_with(CLAUDE), "{last:?}");
        assert_eq!(last.access_short_id, short_id(access));
    }

    /// How often an access token was refused.
    fn refusals(&self) -> usize {
        self.control.mcp_calls().iter().filter(|call| !call.accepted).count()
    }

    /// Claude Code never refreshed, no client broke a rule, and nothing else was asked of the model.
    fn nothing_else_happened(&self) {
        assert_eq!(self.refreshes(false), [], "Claude Code refreshed by itself");
        assert_eq!(self.control.violations(), Vec::<String>::new());
        assert_eq!(self.model.strange(), Vec::<String>::new());
        assert!(self.control.is_refresh_live(&self.stored().refresh), "at {}", self.town.origin());
        self.only_ours_changed();
    }
}

fn call(session: &mut Session, text: &str) -> Turn {
    session.call(ECHO, &json!({"text": text}))
}

/// What the session says of its connection to the server.
fn status(turn: &Turn) -> Option<&str> {
    turn.servers.iter().find(|(name, _)| name == NAME).map(|(_, status)| status.as_str())
}

/// (a) A renewed sign-in is Claude Code's own: it connects with it and changes nothing.
fn a_renewed_sign_in_is_taken_as_it_is(version: &str) {
    let rig = Rig::signed_in(-60);
    let claude = rig.claude(version);
    let new = rig.renew(&["renew", NAME]);
    let list = claude.list().succeeded().out;
    let line = list.lines().find(|line| line.starts_with("rig: ")).unwrap_or(&list);
    assert!(line.ends_with(" Connected"), "{list}");
    let calls = rig.control.mcp_calls();
    let theirs: Vec<_> = calls.iter().filter(|c| c.user_agent.starts_with(CLAUDE)).collect();
    assert!(!theirs.is_empty());
    for call in theirs {
        assert!(call.accepted && call.access_short_id == short_id(&new.access), "{call:?}");
    }
    rig.nothing_else_happened();
    assert_eq!(rig.stored(), new);
}

/// (b) A fresh verdict keeps each new session from the server, until Lamplighter withdraws it.
fn a_verdict_is_withdrawn(version: &str, access_life_seconds: i64) {
    let rig = Rig::signed_in(access_life_seconds);
    let claude = rig.claude(version);
    store::write_verdict(&rig.home, NAME);
    rig.a_new_session_is_blind(&claude);
    let access = if access_life_seconds < 0 {
        rig.renew(&["renew"]).access
    } else {
        // Nothing is due, so only the verdict goes.
        let _ = lamplighter(&rig.home, &["renew"]).succeeded();
        assert_eq!(rig.control.refreshes(), []);
        assert_eq!(rig.stored(), rig.minted);
        rig.minted.access.clone()
    };
    assert_eq!(store::verdicts(&rig.home), Vec::<String>::new());
    rig.a_new_session_calls_the_tool(&claude, &access);
    rig.nothing_else_happened();
}

/// (c) A running session makes its next call with the new token; the old one is dead by then.
fn a_running_session_takes_the_new_token(version: &str) {
    let rig = Rig::signed_in(3600);
    let mut session = rig.claude(version).session(ECHO);
    rig.the_tool_answers(&mut session, &rig.minted.access, "before");
    rig.control.kill_access_tokens();
    let new = rig.renew(&["renew", NAME]);
    assert!(!rig.control.is_access_live(&rig.minted.access));
    let refusals = rig.refusals();
    rig.the_tool_answers(&mut session, &new.access, "after");
    assert_eq!(rig.refusals(), refusals, "the dead token was sent once more");
    session.end();
    rig.nothing_else_happened();
}

/// (d) After Lamplighter has left, Claude Code goes on by itself with what was saved last.
fn a_sign_in_outlives_lamplighter(version: &str) {
    let rig = Rig::signed_in(-60);
    let claude = rig.claude(version);
    let new = rig.renew(&["renew", NAME]);
    let _ = lamplighter(&rig.home, &["uninstall", "--yes"]).succeeded();
    assert_eq!(rig.stored(), new);
    rig.only_ours_changed();
    for folder in ["state", "config", "run"] {
        let place = rig.home.path().with_file_name(folder);
        assert_eq!(std::fs::read_dir(&place).expect("a folder").count(), 0, "{folder}");
    }
    // An hour later.
    rig.control.kill_access_tokens();
    let ended = Tokens { expires_at_ms: store::now_ms() - 60_000, ..new.clone() };
    store::write(&rig.home, CREDENTIALS, &rig.store_with(&ended));
    let list = claude.list().succeeded().out;
    let line = list.lines().find(|line| line.starts_with("rig: ")).unwrap_or(&list);
    assert!(line.ends_with(" Connected"), "{list}");
    let theirs = rig.refreshes(false);
    assert_eq!(theirs.len(), 1, "{theirs:?}");
    assert_eq!((&theirs[0].outcome, theirs[0].reuse), (&Outcome::Issued, false));
    let own = rig.stored();
    assert_ne!(own.access, new.access);
    assert!(rig.control.is_access_live(&own.access) && rig.control.is_refresh_live(&own.refresh));
    assert_eq!(rig.control.violations(), Vec::<String>::new());
}

/// (e) What a first sign-in writes is all that Claude Code needs: it connects with it, and later
/// refreshes by itself, with our client and without a registration of its own.
fn a_first_sign_in_is_taken_as_it_is(version: &str) {
    let rig = Rig::signed_in(3600);
    std::fs::remove_file(rig.home.claude(CREDENTIALS)).expect("a file to remove");
    let claude = rig.claude(version);
    let env = Env::fixed([("HOME", rig.home.path())]);
    let folder = Folder::usual(&env).expect("a home");
    let store = ClaudeCode::new(folder, env).with_form(Form::File);
    let listed = store.look().expect("a list of servers").servers;
    assert_eq!(listed[0].key, Some(EntryKey(rig.key())));
    let mut change = Change {
        key: EntryKey(rig.key()),
        expect: TokenPair::default(),
        client_id: rig.client_id.clone(),
        new: NewTokens {
            access: Secret::new(rig.minted.access.clone()),
            refresh: Some(Secret::new(rig.minted.refresh.clone())),
            expires_at: Some(Wall(rig.minted.expires_at_ms)),
            scope: Some(rig.minted.scope.clone()),
        },
        enrolment: Some(Enrolment {
            server_name: NAME.into(),
            server_url: rig.url.clone(),
            client: ClientCredentials { id: rig.client_id.clone(), secret: None },
            redirect_uri: "http://localhost:50000/callback".into(),
            issuer: rig.issuer.clone(),
            authorization_server: rig.issuer.clone(),
            resource_metadata_url: None,
            metadata_found: true,
            metadata_url: None,
        }),
    };
    assert_eq!(store.write(&change), Ok(Written::Saved));
    let connects = || {
        let list = claude.list().succeeded().out;
        let line = list.lines().find(|line| line.starts_with("rig: ")).unwrap_or(&list);
        assert!(line.ends_with(" Connected"), "{list}");
    };
    connects();
    assert_eq!((rig.stored(), rig.control.refreshes()), (rig.minted.clone(), vec![]));
    // Signed in once more, over what stands there now; and an hour later.
    rig.control.kill_access_tokens();
    change.expect = store.look().expect("a store").entries[0].pair.clone();
    change.new.expires_at = Some(Wall(store::now_ms() - 60_000));
    assert_eq!(store.write(&change), Ok(Written::Saved));
    connects();
    let theirs = rig.refreshes(false);
    assert_eq!(theirs.len(), 1, "{theirs:?}");
    assert_eq!((&theirs[0].outcome, theirs[0].reuse), (&Outcome::Issued, false));
    let entry = store::entry(&rig.home, &rig.key());
    assert_eq!(entry["clientId"], rig.client_id, "another client was registered");
    assert!(rig.control.is_refresh_live(&rig.stored().refresh));
    assert_eq!(rig.control.violations(), Vec::<String>::new());
    // Signed out: it is as if nobody had ever signed in.
    let pair = store.look().expect("a store").entries[0].pair.clone();
    assert_eq!(store.remove(&change.key, &pair), Ok(Written::Saved));
    let list = claude.list().succeeded().out;
    assert!(!list.contains(" Connected"), "{list}");
}

/// (f) A dead grant lives again after one `lamplighter reconnect`, and a new session calls the tool.
fn a_dead_grant_lives_again(version: &str) -> (Rig, Value) {
    let rig = Rig::signed_in(3600);
    let key = rig.key();
    let mut dead: Value = serde_json::from_str(&rig.store_with(&rig.minted)).expect("a store");
    let entry = &mut dead["mcpOAuth"][key.as_str()];
    (entry["accessToken"], entry["expiresAt"]) = ("".into(), 0.into());
    let _ = entry.as_object_mut().expect("an entry").remove("refreshToken");
    store::write(&rig.home, CREDENTIALS, &dead.to_string());
    let claude = rig.claude(version);
    // Without us: no tool, and the server is not even asked with a token.
    let mut session = claude.session(ECHO);
    let turn = call(&mut session, "unheard");
    assert_eq!(turn.answer, format!("{ECHO} is not offered"));
    session.end();
    // The client may have written the whole text anew, in its own form.
    let all = || -> Value {
        serde_json::from_str(&store::read(&rig.home, CREDENTIALS)).expect("a store")
    };
    let before = all();
    let mut flow = Reconnect::start(&rig.home, NAME, &[]);
    let tab = flow.consent();
    assert!(tab.body.contains("Signed in to rig"), "{}", tab.body);
    let (last, code) = flow.end();
    assert_eq!((last["event"].as_str(), last["tools"].as_u64()), (Some("signed_in"), Some(2)));
    assert_eq!(code, Some(0));
    let (mut after, mut before) = (all(), before);
    let entry = after["mcpOAuth"][key.as_str()].take();
    let _ = before["mcpOAuth"][key.as_str()].take();
    assert_eq!(after, before, "nothing but this entry has changed");
    let new = rig.stored();
    assert!(rig.control.is_access_live(&new.access) && rig.control.is_refresh_live(&new.refresh));
    rig.a_new_session_calls_the_tool(&claude, &new.access);
    assert_eq!(rig.stored(), new, "Claude Code took it as it is");
    assert_eq!(rig.refreshes(false), []);
    assert_eq!(rig.control.violations(), Vec::<String>::new());
    (rig, entry)
}

/// (g) Its own `mcp login` still works with what we stored: the same client, on its loopback redirect.
#[cfg(target_os = "linux")]
fn its_own_login_works_with_what_we_stored(version: &str) {
    let (rig, ours) = a_dead_grant_lives_again(version);
    let before = rig.stored();
    let claude = Claude::new(version, &rig.home, &rig.model);
    let terminal = claude.login(NAME);
    let start = format!("{}/authorize?", rig.town.origin());
    let shown = terminal.until(&start);
    let page = &shown[shown.find(&start).expect("the page")..];
    let end = page.find(|c: char| c.is_whitespace() || c.is_control()).unwrap_or(page.len());
    let page = &page[..end];
    let client = ours["clientId"].as_str().unwrap_or_default();
    assert!(page.contains(&format!("client_id={client}")), "{page}");
    let back = visit(page).location.expect("a way back");
    let redirect = ours["redirectUri"].as_str().unwrap_or_default();
    assert!(back.starts_with(&format!("{redirect}?")), "{back}");
    visit(&back);
    let (shown, code) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    let entry = store::entry(&rig.home, &rig.key());
    assert_eq!(entry["clientId"], ours["clientId"], "another client was registered");
    assert_eq!(entry["redirectUri"], ours["redirectUri"]);
    let after = rig.stored();
    assert_ne!(after.access, before.access);
    assert!(rig.control.is_access_live(&after.access));
    assert!(rig.control.is_refresh_live(&after.refresh));
    rig.a_new_session_calls_the_tool(&claude, &after.access);
    // And what it stored is renewed by us.
    let _ = lamplighter(&rig.home, &["renew", NAME]).succeeded();
    assert_ne!(rig.stored().refresh, after.refresh);
    assert!(rig.control.is_refresh_live(&rig.stored().refresh));
    assert_eq!(rig.control.violations(), Vec::<String>::new());
}

/// (h) A server that nobody knew: signed in to by its address, then added as the command at the end
/// says, it is there in the next session.
fn a_server_signed_in_to_by_its_address_is_there_once_it_is_added(version: &str) {
    let rig = Rig::signed_in(3600);
    std::fs::remove_file(rig.home.claude(CREDENTIALS)).expect("a file to remove");
    let mut flow = Reconnect::first(&rig.home, &rig.url, NAME, &[]);
    flow.consent();
    let (last, code) = flow.end();
    assert_eq!((last["event"].as_str(), code), (Some("signed_in"), Some(0)));
    let told = last["then"].as_str().unwrap_or_default().to_owned();
    let claude = Claude::new(version, &rig.home, &rig.model);
    let words: Vec<&str> = told.split(' ').collect();
    assert_eq!(words[0], "claude", "{told}");
    let _ = run(claude.command(&words[1..])).succeeded();
    rig.a_new_session_calls_the_tool(&claude, &rig.stored().access);
    assert_eq!(rig.refreshes(false), []);
    // Signed out again, the same session's start offers nothing.
    let _ = lamplighter(&rig.home, &["sign-out", NAME, "--yes"]).succeeded();
    let mut session = claude.session(ECHO);
    assert_eq!(call(&mut session, "unheard").answer, format!("{ECHO} is not offered"));
    session.end();
    assert_eq!(rig.control.violations(), Vec::<String>::new());
}

/// Whether real programs may be started here; if not, says so where it is seen.
fn allowed(test: &str, version: &str) -> bool {
    if std::env::var_os(peers::ISOLATED).is_some_and(|value| value == "1") {
        peers::require_isolation();
        return true;
    }
    let _ = writeln!(
        std::io::stderr().lock(),
        "SKIPPED {test} with Claude Code {version}: real programs run only where nothing but \
         loopback exists, and {}=1 doesn't say so",
        peers::ISOLATED
    );
    false
}

macro_rules! with {
    ($module:ident, $version:literal) => {
        mod $module {
            const VERSION: &str = $version;

            #[test]
            fn a_renewed_sign_in_is_taken_as_it_is() {
                if super::allowed("a_renewed_sign_in_is_taken_as_it_is", VERSION) {
                    super::a_renewed_sign_in_is_taken_as_it_is(VERSION);
                }
            }

            #[test]
            fn a_verdict_beside_an_expired_token_is_withdrawn() {
                if super::allowed("a_verdict_beside_an_expired_token_is_withdrawn", VERSION) {
                    super::a_verdict_is_withdrawn(VERSION, -60);
                }
            }

            #[test]
            fn a_verdict_beside_a_valid_token_is_withdrawn() {
                if super::allowed("a_verdict_beside_a_valid_token_is_withdrawn", VERSION) {
                    super::a_verdict_is_withdrawn(VERSION, 3600);
                }
            }

            #[test]
            fn a_running_session_takes_the_new_token() {
                if super::allowed("a_running_session_takes_the_new_token", VERSION) {
                    super::a_running_session_takes_the_new_token(VERSION);
                }
            }

            #[test]
            fn a_sign_in_outlives_lamplighter() {
                if super::allowed("a_sign_in_outlives_lamplighter", VERSION) {
                    super::a_sign_in_outlives_lamplighter(VERSION);
                }
            }

            #[test]
            fn a_first_sign_in_is_taken_as_it_is() {
                if super::allowed("a_first_sign_in_is_taken_as_it_is", VERSION) {
                    super::a_first_sign_in_is_taken_as_it_is(VERSION);
                }
            }

            #[test]
            fn a_dead_grant_lives_again() {
                if super::allowed("a_dead_grant_lives_again", VERSION) {
                    super::a_dead_grant_lives_again(VERSION);
                }
            }

            #[test]
            fn a_server_signed_in_to_by_its_address_is_there_once_it_is_added() {
                let test = "a_server_signed_in_to_by_its_address_is_there_once_it_is_added";
                if super::allowed(test, VERSION) {
                    super::a_server_signed_in_to_by_its_address_is_there_once_it_is_added(VERSION);
                }
            }
        }
    };
}

/// Versions that have `mcp login`.
#[cfg(target_os = "linux")]
macro_rules! with_login {
    ($name:ident, $version:literal) => {
        #[test]
        fn $name() {
            if allowed("its_own_login_works_with_what_we_stored", $version) {
                its_own_login_works_with_what_we_stored($version);
            }
        }
    };
}

with!(claude_code_2_1_119, "2.1.119");
with!(claude_code_2_1_220, "2.1.220");
with!(claude_code_2_1_330, "2.1.330");
#[cfg(target_os = "linux")]
with_login!(its_own_login_works_with_what_we_stored_2_1_220, "2.1.220");
#[cfg(target_os = "linux")]
with_login!(its_own_login_works_with_what_we_stored_2_1_330, "2.1.330");
