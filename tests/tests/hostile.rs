//! Hostile servers and configurations at a sign-in: each is refused with a sentence, no page is opened,
//! and no token or secret arrives where it does not belong.

use lamplighter_rehearsal::{Rehearsal, Rotation};
use lamplighter_tests::{
    browser::visit,
    hostile::{Answer, Hostile},
    reconnect::Reconnect,
    stage::Stage,
    store::{self, CREDENTIALS},
};
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// A well-behaved authorization server's metadata, with something changed.
fn metadata(origin: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut document = json!({
        "issuer": origin,
        "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"),
        "registration_endpoint": format!("{origin}/register"),
        "code_challenge_methods_supported": ["S256"],
    });
    change(&mut document);
    document.to_string()
}

/// A server whose two documents are these; everything else is refused.
fn documents(path: &str, origin: &str, resource: String, server: String) -> Answer {
    if path.contains("oauth-protected-resource") {
        ("200 OK", JSON, resource)
    } else if path.contains("oauth-authorization-server") || path.contains("openid-configuration") {
        ("200 OK", JSON, server)
    } else if path == "/register" {
        let uris = json!(["http://localhost:1/callback"]);
        ("201 Created", JSON, json!({"client_id": origin, "redirect_uris": uris}).to_string())
    } else {
        ("401 Unauthorized", JSON, "{}".into())
    }
}

fn resource(origin: &str) -> String {
    json!({"resource": format!("{origin}/mcp"), "authorization_servers": [origin]}).to_string()
}

/// A stage whose one server, signed in, is the hostile one.
fn with(hostile: &Hostile) -> (Stage, Vec<String>) {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    let minted = stage.sign_in("rig", 3600);
    let url = format!("{}/mcp", hostile.origin);
    stage.edit("rig", |entry| {
        entry["serverUrl"] = url.into();
        entry["clientSecret"] = "a-configured-secret".into();
    });
    let secrets = [minted.access_token, minted.refresh_token, "a-configured-secret".into()];
    (stage, secrets.into())
}

/// The sign-in fails with this code, opens nothing, changes nothing and gives nothing away.
fn refused(what: &str, hostile: &Hostile, codes: &[&str]) {
    let (stage, secrets) = with(hostile);
    let before = store::read(&stage.home, CREDENTIALS);
    let (last, code) = Reconnect::start(&stage.home, "rig", &["--timeout", "2"]).end();
    let told = last["code"].as_str().unwrap_or_default().to_owned();
    assert!(codes.contains(&told.as_str()), "{what}: {last}");
    assert!(last["message"].as_str().is_some_and(|words| words.len() > 10), "{what}: {last}");
    assert_eq!(code, Some(10), "{what}");
    assert_eq!(store::read(&stage.home, CREDENTIALS), before, "{what}");
    let sent = hostile.sent().join("\n");
    assert!(secrets.iter().all(|secret| !sent.contains(secret.as_str())), "{what}: {sent}");
    assert!(stage.refreshes().is_empty(), "{what}");
}

#[test]
fn metadata_that_leads_elsewhere_is_refused_with_a_sentence() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change, &[&str])] = &[
        (
            "script",
            |d| d["authorization_endpoint"] = "javascript:alert(1)".into(),
            &["bad_address"],
        ),
        ("file", |d| d["authorization_endpoint"] = "file:///etc/passwd".into(), &["bad_address"]),
        ("data", |d| d["token_endpoint"] = "data:text/plain,x".into(), &["bad_address"]),
        (
            "plain http elsewhere",
            |d| d["token_endpoint"] = "http://10.0.0.1/token".into(),
            &["bad_address"],
        ),
        ("another issuer", |d| d["issuer"] = "https://as.example".into(), &["issuer_mismatch"]),
        ("no S256", |d| d["code_challenge_methods_supported"] = json!(["plain"]), &["no_pkce"]),
        (
            "pushed requests",
            |d| d["require_pushed_authorization_requests"] = true.into(),
            &["pushed_requests"],
        ),
        (
            "a query of its own",
            |d| {
                let page = d["authorization_endpoint"].as_str().unwrap_or_default().to_owned();
                d["authorization_endpoint"] = format!("{page}?redirect_uri=x").into();
            },
            &["bad_address", "redirect_refused"],
        ),
        ("no endpoints", |d| d["token_endpoint"] = Value::Null, &["no_metadata"]),
        (
            "ten megabytes",
            |d| d["padding"] = "x".repeat(10 << 20).into(),
            // As if there were none: then only the fixed places of its own origin are left.
            &["redirect_refused"],
        ),
    ];
    for (what, change, codes) in cases {
        let change = *change;
        let hostile = Hostile::start(move |path, origin| {
            documents(path, origin, resource(origin), metadata(origin, change))
        });
        refused(what, &hostile, codes);
    }
}

#[test]
fn a_resource_that_speaks_for_another_or_names_a_private_server_is_refused() {
    let other = Hostile::start(|path, origin| {
        let named = json!({"resource": "https://mcp.slack.com", "authorization_servers": [origin]});
        documents(path, origin, named.to_string(), metadata(origin, |_| {}))
    });
    refused("another resource", &other, &["resource_mismatch"]);
    for server in ["http://10.0.0.1", "https://169.254.169.254", "file:///", "javascript:x"] {
        let hostile = Hostile::start(move |path, origin| {
            let named =
                json!({"resource": format!("{origin}/mcp"), "authorization_servers": [server]});
            documents(path, origin, named.to_string(), metadata(origin, |_| {}))
        });
        refused(server, &hostile, &["bad_address", "server_unreachable", "no_metadata"]);
    }
}

#[test]
fn pages_instead_of_documents_and_redirects_without_end_lead_nowhere() {
    let pages = Hostile::start(|_, _| ("200 OK", "text/html", "<html>sign in</html>".into()));
    refused("pages", &pages, &["registration_refused"]);
    let broken = Hostile::start(|_, _| ("200 OK", JSON, "{\"issuer\":".into()));
    refused("half documents", &broken, &["registration_refused"]);
    let unwell = Hostile::start(|_, _| ("500 Internal Server Error", JSON, "{}".into()));
    refused("unwell", &unwell, &["server_unreachable", "no_metadata"]);
}

#[test]
fn a_registration_without_the_clients_own_redirect_is_never_stored() {
    let hostile = Hostile::start(|path, origin| {
        documents(path, origin, resource(origin), metadata(origin, |_| {}))
    });
    // It answers every registration with a redirect that nobody asked for.
    refused("another redirect", &hostile, &["redirect_refused"]);
}

#[test]
fn what_a_server_says_in_its_refusal_reaches_no_page_and_no_log() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let mut flow = Reconnect::start(&stage.home, "rig", &[]);
    let back = visit(&flow.page()).location.unwrap_or_default();
    let (place, query) = back.split_once('?').unwrap_or_default();
    let ours = query.split('&').find(|pair| pair.starts_with("state=")).unwrap_or_default();
    let issuer = query.split('&').find(|pair| pair.starts_with("iss=")).unwrap_or_default();
    let evil = "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let tab = visit(&format!("{place}?{evil}&{ours}&{issuer}"));
    assert!(
        tab.body.contains("Not signed in to rig") && !tab.body.contains("script"),
        "{}",
        tab.body
    );
    let heard = format!("{:?}", flow.heard);
    let (last, code) = flow.end();
    assert_eq!((last["code"].as_str(), code), (Some("denied"), Some(10)));
    assert!(!heard.contains("script") && !last.to_string().contains("script"));
    assert!(stage.holds_live_pair("rig") || stage.refreshes().is_empty());
}
