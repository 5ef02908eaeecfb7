//! What MCP servers are built on: the SDK's own endpoints, Cloudflare's, fastmcp's. Each is signed in
//! at through its metadata and its registration, renewed from, and asked once it has
//! ended the sign-in or forgotten the client.
//!
//! What they share with every server is in `oidc` and `weather`; here is that they are what they are.
//! Where to read next: `tests/src/server.rs`.

use lamplighter_tests::{
    home::Home,
    peers,
    program::lamplighter,
    proxy::Proxy,
    reconnect::{Reconnect, free_port},
    server::Server,
    sign_in::SignIn,
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

/// The server forgot the client: one click, a registration of our own, and it goes on.
fn is_signed_in_to_again(what: &str, server: fn(u32) -> Server) {
    let Some(rig) = signed_in(what, server) else { return };
    rig.server.forget(&rig.sign_in);
    assert_eq!(lamplighter(&rig.home, &["renew", NAME]).code, Some(10));
    let mut flow = Reconnect::start(&rig.home, NAME, &["--port", &free_port()]);
    let tab = flow.consent();
    assert!(tab.body.contains("Signed in to rig"), "{} {}", tab.status, tab.body);
    let (last, code) = flow.end();
    assert_eq!((last["event"].as_str(), last["tools"].as_u64()), (Some("signed_in"), Some(1)));
    assert_eq!(code, Some(0));
    lamplighter(&rig.home, &["renew", NAME]).succeeded();
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
    is_signed_in_to_again("the MCP SDK", Server::mcp_sdk);
}

#[test]
fn workers_is_signed_in_to_again_with_nothing_pasted() {
    is_signed_in_to_again("workers-oauth-provider", Server::workers);
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
