//! What MCP servers are built on: the SDK's own endpoints, Cloudflare's, fastmcp's. Each is signed in
//! at through its metadata and its registration, renewed from, and asked once it has
//! ended the sign-in or forgotten the client.
//!
//! What they share with every server is in `oidc` and `weather`; here is that they are what they are.
//! Where to read next: `tests/src/server.rs`.

use lamplighter_tests::{
    browser::visit,
    home::Home,
    peers,
    program::lamplighter,
    proxy::Proxy,
    reconnect::{Reconnect, free_port},
    server::Server,
    sign_in::SignIn,
    store,
};

const NAME: &str = "rig";
const LIFE_SECONDS: u32 = 600;

/// A home that is signed in at this server.
struct Rig {
    home: Home,
    server: Server,
    sign_in: SignIn,
}

/// Nothing where real servers may not run.
fn signed_in(what: &str, server: fn(u32) -> Server) -> Option<Rig> {
    if !peers::may_run(what) {
        return None;
    }
    let server = server(LIFE_SECONDS);
    let home = Home::new();
    let sign_in = server.sign_in();
    sign_in.write(&home, NAME);
    Some(Rig { home, server, sign_in })
}

fn is_renewed(what: &str, server: fn(u32) -> Server) {
    let Some(rig) = signed_in(what, server) else { return };
    let accepted = || {
        let ran = lamplighter(&rig.home, &["check", NAME]).succeeded();
        assert!(ran.err.contains("the server accepts its token, 1 tool"), "{}", ran.err);
    };
    accepted();
    for _ in 0..3 {
        let before = rig.sign_in.stored(&rig.home, NAME);
        lamplighter(&rig.home, &["renew", NAME]).succeeded();
        let after = rig.sign_in.stored(&rig.home, NAME);
        assert!(before.0 != after.0 && before.1 != after.1, "nothing new");
        accepted();
    }
}

fn once_revoked_needs_a_sign_in(what: &str, server: fn(u32) -> Server) {
    let Some(rig) = signed_in(what, server) else { return };
    lamplighter(&rig.home, &["renew", NAME]).succeeded();
    let held = rig.sign_in.stored(&rig.home, NAME);
    rig.server.revoke(&rig.sign_in, &held.1);
    let ran = lamplighter(&rig.home, &["renew", NAME]);
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("rig ended this sign-in"), "{}{}", ran.out, ran.err);
    assert_eq!(rig.sign_in.stored(&rig.home, NAME), held, "nothing of ours deletes it");
}

fn once_forgotten_says_so(what: &str, server: fn(u32) -> Server) {
    let Some(rig) = signed_in(what, server) else { return };
    rig.server.forget(&rig.sign_in);
    let ran = lamplighter(&rig.home, &["renew", NAME]);
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("no longer knows the client"), "{}{}", ran.out, ran.err);
}

/// How the browser comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Loopback,
    Scheme,
}

/// The server forgot the client: one click, a registration of our own, and it goes on. The pages that
/// a person has to go through are as many as `pages` says.
fn is_signed_in_to_again(what: &str, server: fn(u32) -> Server, way: Way, pages: usize) {
    let Some(rig) = signed_in(what, server) else { return };
    rig.server.forget(&rig.sign_in);
    assert_eq!(lamplighter(&rig.home, &["renew", NAME]).code, Some(10));
    let port = free_port();
    let more = match way {
        Way::Loopback => ["--redirect", "loopback", "--port", &port],
        Way::Scheme => ["--redirect", "scheme", "--port", &port],
    };
    let mut flow = Reconnect::start(&rig.home, NAME, &more);
    let page = flow.page();
    let redirect = flow.heard[0]["redirect_uri"].as_str().unwrap_or_default().to_owned();
    let loopback = format!("http://localhost:{port}/callback");
    let walk = rig.server.walk(&page, &redirect);
    assert_eq!(walk.pages.len(), pages, "{:?}", walk.pages);
    match way {
        Way::Loopback => {
            assert_eq!(redirect, loopback);
            let tab = visit(&walk.callback);
            assert!(tab.body.contains("Signed in to rig"), "{} {}", tab.status, tab.body);
        }
        Way::Scheme => {
            assert_eq!(redirect, "dev.lamplighter:/oauth/callback");
            let ran = lamplighter(&rig.home, &["callback", &walk.callback]).succeeded();
            assert!(ran.out.contains("Signed in to rig"), "{}", ran.out);
        }
    }
    let (last, code) = flow.end();
    assert_eq!((last["event"].as_str(), last["tools"].as_u64()), (Some("signed_in"), Some(1)));
    assert_eq!(code, Some(0));
    let entry = store::entry(&rig.home, &rig.sign_in.key(NAME));
    assert_eq!(entry["redirectUri"], loopback, "the client program can sign in by itself");
    for _ in 0..2 {
        let before = rig.sign_in.stored(&rig.home, NAME);
        lamplighter(&rig.home, &["renew", NAME]).succeeded();
        let after = rig.sign_in.stored(&rig.home, NAME);
        assert!(before.0 != after.0 && before.1 != after.1, "nothing new");
    }
    let ran = lamplighter(&rig.home, &["check", NAME]).succeeded();
    assert!(ran.err.contains("the server accepts its token, 1 tool"), "{}", ran.err);
}

/// Its refresh token before the newest stays good until the newest is used, for this very case.
#[test]
fn an_answer_of_workers_that_was_lost_on_the_way_is_recovered_at_once() {
    if !peers::may_run("a lost answer of workers-oauth-provider") {
        return;
    }
    let server = Server::workers(LIFE_SECONDS);
    let proxy = Proxy::start();
    proxy.lead_to(server.port());
    let home = Home::new();
    let sign_in = server.sign_in_at(&proxy.origin());
    sign_in.write(&home, NAME);
    for round in 1..=2 {
        let before = sign_in.stored(&home, NAME);
        proxy.lose_answers("/token", 1);
        let ran = lamplighter(&home, &["renew", NAME]);
        assert_eq!(ran.code, Some(0), "round {round}: {}{}", ran.out, ran.err);
        assert_eq!(proxy.lost(), round);

        let after = sign_in.stored(&home, NAME);
        assert!(before.0 != after.0 && before.1 != after.1, "round {round}: nothing new");
        let ran = lamplighter(&home, &["check", NAME]).succeeded();
        assert!(ran.err.contains("the server accepts its token, 1 tool"), "{}", ran.err);
    }
    // What came last is what the server takes.
    lamplighter(&home, &["renew", NAME]).succeeded();
}

#[test]
fn the_mcp_sdk_is_signed_in_to_again_with_nothing_pasted() {
    is_signed_in_to_again("the MCP SDK", Server::mcp_sdk, Way::Loopback, 0);
}

#[test]
fn the_mcp_sdk_takes_the_scheme() {
    is_signed_in_to_again("the scheme at the MCP SDK", Server::mcp_sdk, Way::Scheme, 0);
}

#[test]
fn workers_is_signed_in_to_again_with_nothing_pasted() {
    is_signed_in_to_again("workers-oauth-provider", Server::workers, Way::Loopback, 0);
}

#[test]
fn workers_takes_the_scheme() {
    is_signed_in_to_again("the scheme at workers", Server::workers, Way::Scheme, 0);
}

#[test]
fn fastmcp_is_signed_in_to_again_through_its_form_of_consent() {
    is_signed_in_to_again("fastmcp's form", Server::fastmcp, Way::Loopback, 1);
}

#[test]
fn fastmcp_takes_the_scheme_through_its_form_of_consent() {
    is_signed_in_to_again("the scheme at fastmcp", Server::fastmcp, Way::Scheme, 1);
}

#[test]
fn a_sign_in_at_the_mcp_sdk_is_renewed() {
    is_renewed("the MCP SDK", Server::mcp_sdk);
}

#[test]
fn a_sign_in_at_workers_is_renewed() {
    is_renewed("workers-oauth-provider", Server::workers);
}

#[test]
fn a_sign_in_at_fastmcp_is_renewed() {
    is_renewed("fastmcp", Server::fastmcp);
}

#[test]
fn a_revoked_sign_in_at_the_mcp_sdk_needs_a_person() {
    once_revoked_needs_a_sign_in("the MCP SDK", Server::mcp_sdk);
}

#[test]
fn a_revoked_sign_in_at_workers_needs_a_person() {
    once_revoked_needs_a_sign_in("workers-oauth-provider", Server::workers);
}

#[test]
fn a_revoked_sign_in_at_fastmcp_needs_a_person() {
    once_revoked_needs_a_sign_in("fastmcp", Server::fastmcp);
}

#[test]
fn a_client_that_the_mcp_sdk_forgot_is_named_as_such() {
    once_forgotten_says_so("the MCP SDK", Server::mcp_sdk);
}

#[test]
fn a_client_that_workers_forgot_is_named_as_such() {
    once_forgotten_says_so("workers-oauth-provider", Server::workers);
}

#[test]
fn a_client_that_fastmcp_forgot_is_named_as_such() {
    once_forgotten_says_so("fastmcp", Server::fastmcp);
}
