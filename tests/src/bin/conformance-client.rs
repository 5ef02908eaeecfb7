//! The client that the official MCP conformance suite examines: the engine's own sign-in flow and
//! probe, in a home of its own, with a browser that follows one redirect.
//!
//! `conformance-client [--redirect loopback|scheme] URL`; the scenario comes by environment.

#![expect(
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "the suite shows what a client prints, and it waits for two events of many"
)]

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lamplighter_core::{
    http::{Answer, Method, Request},
    ids::GrantId,
    keeper::{Action, Event, Mode, Reconnect},
    oauth::challenge::Challenge,
    secret::Secret,
    signin::RedirectWish,
    time::Millis,
};
use lamplighter_engine::{
    clock::SystemClock,
    http::{Client, Http, Limits, Network, SystemNames},
    open::Place,
    paths::Env,
    redirect::Knock,
};
use lamplighter_tests::browser::visit;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const GRANT: &str = "claude-code/examined";
/// A client that was made elsewhere has the redirect URI that it was made with.
const OWN_REDIRECT: [&str; 2] = ["auth/basic-cimd", "auth/pre-registration"];
/// As often as a server may ask for more.
const ROUNDS: usize = 3;
/// No page of the suite takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let mut redirect = RedirectWish::Loopback;
    let mut url = None;
    while let Some(arg) = args.next() {
        if arg == "--redirect" {
            if args.next().as_deref() == Some("scheme") {
                redirect = RedirectWish::Scheme;
            }
        } else {
            url = Some(arg);
        }
    }
    let scenario = std::env::var("MCP_CONFORMANCE_SCENARIO").unwrap_or_default();
    if OWN_REDIRECT.contains(&scenario.as_str()) {
        redirect = RedirectWish::Loopback;
    }
    let url = url.ok_or("conformance-client [--redirect loopback|scheme] URL")?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    runtime.block_on(examined(&url, redirect))
}

/// Everything a client does with a server: asks, signs in where it must, asks again.
async fn examined(url: &str, redirect: RedirectWish) -> Result<(), Failure> {
    let home = tempfile::Builder::new().prefix("lamplighter-conformance-").tempdir()?;
    lay_out(home.path(), url)?;
    let client = Client::new(
        &Network::default(),
        &env(home.path()),
        Arc::new(SystemNames),
        Arc::new(SystemClock::new()),
        Limits::default(),
    )?;
    let mut more = Vec::new();
    for _ in 0..ROUNDS {
        sign_in(home.path(), redirect, std::mem::take(&mut more)).await?;
        match converse(&client, home.path(), url).await? {
            Reply::Fine => return Ok(()),
            Reply::SignInAgain => {}
            Reply::More(scopes) => more = scopes,
        }
    }
    Err("the server goes on asking for more".into())
}

fn env(home: &Path) -> Env {
    Env::fixed([("HOME", home.as_os_str()), ("LAMPLIGHTER_HOME", home.join("ours").as_os_str())])
}

/// A home whose client program has this one server, with what the scenario gives it.
fn lay_out(home: &Path, url: &str) -> Result<(), Failure> {
    let context = std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_default();
    let context: Value = serde_json::from_str(&context).unwrap_or_default();
    let mut server = json!({"type": "http", "url": url});
    if let Some(id) = context["client_id"].as_str() {
        server["oauth"] = json!({"clientId": id});
    }
    let claude = home.join(".claude");
    std::fs::create_dir_all(&claude)?;
    let servers = json!({"mcpServers": {"examined": server}});
    std::fs::write(home.join(".claude.json"), servers.to_string())?;
    if let Some(secret) = context["client_secret"].as_str() {
        let place = Place::find(env(home))?;
        let view = place.stores.first().ok_or("no store")?.look()?;
        let key = view.servers.first().and_then(|server| server.key.clone()).ok_or("no key")?;
        let text = json!({"mcpOAuthClientConfig": {key.as_str(): {"clientSecret": secret}}});
        std::fs::write(claude.join(".credentials.json"), text.to_string())?;
    }
    let ours = home.join("ours");
    std::fs::create_dir_all(&ours)?;
    std::fs::write(
        Place::find(env(home))?.paths.settings,
        "keyring = \"off\"\n\
         client_metadata_url = \"https://conformance-test.local/client-metadata.json\"\n",
    )?;
    Ok(())
}

/// One sign-in by the engine, the browser played by a thread.
async fn sign_in(
    home: &Path,
    redirect: RedirectWish,
    more_scopes: Vec<String>,
) -> Result<(), Failure> {
    let ended = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&ended);
    let listener = Box::new(move |event: &Event, _: &_| {
        eprintln!("{event:?}");
        let end = match event {
            Event::SignedIn { .. } => Some(Ok(())),
            Event::SignInFailed { code, why, .. } => Some(Err(format!("{code}: {why}"))),
            _ => None,
        };
        if end.is_some() {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = end;
        }
    });
    let place = Place::find(env(home))?;
    let mut driver = place.open(Mode::OnRequest, "conformance", PATIENCE, listener)?;
    driver.look().await;
    let knocker = driver.knocker();
    driver.invite_by(Box::new(move |_, invitation| {
        let (page, knocker) = (invitation.url.expose().to_owned(), knocker.clone());
        std::thread::spawn(move || {
            let Some(back) = visit(&page).location else { return };
            if back.starts_with("http://") {
                visit(&back);
                return;
            }
            let query = back.split_once('?').map(|(_, query)| query).unwrap_or_default();
            let (answer, _) = tokio::sync::oneshot::channel();
            let _ = knocker.send(Knock { query: Secret::new(query), answer });
        });
    }));
    driver.act(Action::Reconnect(Reconnect {
        redirect,
        more_scopes,
        patience: Millis::seconds(5),
        ..Reconnect::of(GrantId::from(GRANT))
    }));
    driver.settle(std::future::pending(), PATIENCE).await;
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
    ended.unwrap_or_else(|| Err("the sign-in did not end".into())).map_err(Into::into)
}

enum Reply {
    Fine,
    SignInAgain,
    More(Vec<String>),
}

/// Lists the server's tools and calls the first.
async fn converse(client: &Client, home: &Path, url: &str) -> Result<Reply, Failure> {
    let version = std::env::var("MCP_CONFORMANCE_PROTOCOL_VERSION");
    let version = version.unwrap_or_else(|_| "2025-11-25".into());
    let mut tool = String::from("test-tool");
    let sessions = version.as_str() < "2026-07-28";
    for (id, method) in ["initialize", "tools/list", "tools/call"].into_iter().enumerate() {
        if method == "initialize" && !sessions {
            continue;
        }
        let mut params = match method {
            "initialize" => json!({"protocolVersion": version, "capabilities": {},
                                   "clientInfo": {"name": "lamplighter", "version": "0"}}),
            "tools/list" => json!({}),
            _ => json!({"name": tool, "arguments": {}}),
        };
        if !sessions {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientInfo": {"name": "lamplighter", "version": "0"},
                "io.modelcontextprotocol/clientCapabilities": {}
            });
        }
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let answer = ask(client, home, url, &version, &body).await?;
        let challenge = Challenge::bearer(&answer.challenges);
        match (answer.status, challenge) {
            (401, _) => return Ok(Reply::SignInAgain),
            (403, Some(challenge)) if challenge.asks_for_more() => {
                return Ok(Reply::More(challenge.scopes));
            }
            _ => {}
        }
        if let Some(name) = first_tool(&answer) {
            tool = name;
        }
    }
    Ok(Reply::Fine)
}

async fn ask(
    client: &Client,
    home: &Path,
    url: &str,
    version: &str,
    body: &Value,
) -> Result<Answer, Failure> {
    let store = std::fs::read_to_string(home.join(".claude/.credentials.json"))?;
    let store: Value = serde_json::from_str(&store)?;
    let entry = store["mcpOAuth"].as_object().and_then(|entries| entries.values().next());
    let token = entry.and_then(|entry| entry["accessToken"].as_str()).ok_or("no token")?;
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned().into());
    let method = body["method"].as_str().unwrap_or_default();
    let tool = body["params"]["name"].as_str().unwrap_or_default();
    let request = Request {
        method: Method::Post,
        url: url.into(),
        headers: vec![
            header("authorization", &format!("Bearer {token}")),
            header("accept", "application/json, text/event-stream"),
            header("content-type", "application/json"),
            header("mcp-protocol-version", version),
            header("mcp-method", method),
            header("mcp-name", tool),
        ],
        body: body.to_string().into_bytes().into(),
        on_behalf_of: url.into(),
        follow_redirects: false,
    };
    client.fetch(&request).await.map_err(|fault| fault.to_string().into())
}

fn first_tool(answer: &Answer) -> Option<String> {
    let text = std::str::from_utf8(&answer.body).ok()?;
    let json = text.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or(text);
    let value: Value = serde_json::from_str(json.trim()).ok()?;
    value["result"]["tools"][0]["name"].as_str().map(str::to_owned)
}
