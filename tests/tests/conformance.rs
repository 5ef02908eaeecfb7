//! The official MCP conformance suite runs here, and is one that a client can fail.
//!
//! Where to read next: `tests/src/conformance.rs`.

use lamplighter_tests::{conformance, home::Home, peers};

#[test]
fn a_client_that_does_nothing_fails() {
    if !peers::may_run("the conformance suite") {
        return;
    }
    let ran = conformance::judge(&Home::new(), "true", "auth/metadata-default");
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    let told = ran.out + &ran.err;
    assert!(told.contains("Executing client: true http://"), "{told}");
    assert!(told.contains("client-registration"), "{told}");
}

#[test]
fn the_suite_knows_the_scenarios_that_a_sign_in_meets() {
    if !peers::may_run("the conformance suite") {
        return;
    }
    let known = conformance::scenarios(&Home::new());
    for scenario in [
        "auth/metadata-default",
        "auth/metadata-var3",
        "auth/basic-cimd",
        "auth/scope-step-up",
        "auth/token-endpoint-auth-none",
        "auth/resource-mismatch",
        "auth/authorization-server-migration",
        "auth/iss-wrong-issuer",
        "auth/2025-03-26-oauth-endpoint-fallback",
    ] {
        assert!(known.iter().any(|name| name == scenario), "{scenario} is not in {known:?}");
    }
}
