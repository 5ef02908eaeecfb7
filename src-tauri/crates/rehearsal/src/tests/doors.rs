//! Sign-in, discovery, MCP, and ports that close and open again.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::secrets::s256;
use crate::tests::{form, get, mcp, minted, refresh, send, tokens};
use crate::{Layout, Mint, Prm, Rehearsal};

fn register(town: &Rehearsal, body: &Value) -> Value {
    let head = "POST /register HTTP/1.1\r\nContent-Type: application/json";
    send(&town.origin(), head, &body.to_string()).unwrap().json()
}

/// Registers a public client and signs in; gives the client id and the code.
fn sign_in(town: &Rehearsal, grant_types: &[&str]) -> (String, String) {
    let client = register(
        town,
        &json!({
            "redirect_uris": ["http://localhost:1/cb"],
            "token_endpoint_auth_method": "none",
            "grant_types": grant_types,
        }),
    );
    let id = client["client_id"].as_str().unwrap().to_owned();
    let path = format!(
        "/authorize?response_type=code&client_id={id}&redirect_uri=http://localhost:4/cb&state=s\
         &code_challenge={}&code_challenge_method=S256",
        s256("verifier")
    );
    let answer = get(&town.origin(), &path);
    assert_eq!(answer.status, 302);
    let back = url::Url::parse(answer.header("location").unwrap()).unwrap();
    let value = |name: &str| back.query_pairs().find(|(k, _)| k == name).unwrap().1.into_owned();
    assert_eq!((value("state"), value("iss")), ("s".to_owned(), town.issuer()));
    (id, value("code"))
}

fn exchange(id: &str, code: &str) -> String {
    format!(
        "grant_type=authorization_code&client_id={id}&code={code}&code_verifier=verifier\
         &redirect_uri=http://localhost:4/cb"
    )
}

#[test]
fn a_client_can_register_sign_in_and_call_a_tool() {
    let town = Rehearsal::builder().start_blocking().unwrap();
    let (id, code) = sign_in(&town, &["authorization_code", "refresh_token"]);
    let body = exchange(&id, &code);
    let answer = form(&town.origin(), "/token", &body).unwrap();
    let (access, token) = tokens(&answer);
    let call = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call",
        "params":{"name":"lamp_echo","arguments":{"text":"hi"}}}"#;
    let answer = mcp(&town, &access, call).json();
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(7), &json!("hi")));
    assert_eq!(town.control().mcp_calls()[0].tool.as_deref(), Some("lamp_echo"));
    assert_eq!(town.control().violations(), [""; 0]);
    // A code used twice takes back what it gave.
    assert_eq!(form(&town.origin(), "/token", &body).unwrap().json()["error"], "invalid_grant");
    assert!(!town.control().is_access_live(&access) && !town.control().is_refresh_live(&token));
    assert_eq!(town.control().violations(), ["code used twice"]);
}

#[test]
fn without_grant_types_there_is_no_refresh_token() {
    let town = Rehearsal::builder().start_blocking().unwrap();
    let (id, code) = sign_in(&town, &[]);
    let answer = form(&town.origin(), "/token", &exchange(&id, &code)).unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.json().get("refresh_token").is_none());
}

#[test]
fn mcp_greets_in_the_version_asked_for() {
    let (town, _, grant) = minted(Rehearsal::builder());
    let hello = |version: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": { "protocolVersion": version } });
        let answer = mcp(&town, &grant.access_token, &body.to_string()).json();
        answer["result"]["protocolVersion"].as_str().unwrap().to_owned()
    };
    assert_eq!(hello("2025-03-26"), "2025-03-26");
    assert_eq!(hello("1999-01-01"), "2025-11-25");
    let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(mcp(&town, &grant.access_token, note).status, 202);
    let odd = r#"{"jsonrpc":"2.0","id":1,"method":"resources/list"}"#;
    assert_eq!(mcp(&town, &grant.access_token, odd).json()["error"]["code"], -32601);
    assert_eq!(get(&town.origin(), "/mcp").status, 401);
}

#[test]
fn a_dead_access_token_is_challenged() {
    let (town, control, _) = minted(Rehearsal::builder());
    let old = control.mint(Mint { access_life_seconds: -1, ..Mint::default() });
    let answer = mcp(&town, &old.access_token, "{}");
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate").unwrap();
    let url = format!("{}/.well-known/oauth-protected-resource/mcp", town.origin());
    assert!(challenge.starts_with("Bearer error=\"invalid_token\""));
    assert!(challenge.ends_with(&format!("resource_metadata=\"{url}\"")));
    assert_eq!(get(&url[..town.origin().len()], &url[town.origin().len()..]).status, 200);
}

#[test]
fn metadata_lies_where_it_was_laid_and_nowhere_else() {
    let paths = [
        "/.well-known/oauth-authorization-server/t/1",
        "/.well-known/openid-configuration/t/1",
        "/t/1/.well-known/openid-configuration",
    ];
    let layouts = [Layout::Inserted, Layout::OidcInserted, Layout::OidcAppended, Layout::Nothing];
    for (i, layout) in layouts.into_iter().enumerate() {
        let builder = Rehearsal::builder().layout(layout).issuer_path("/t/1").prm(Prm::Root);
        let town = builder.start_blocking().unwrap();
        for (j, path) in paths.iter().enumerate() {
            let answer = get(&town.origin(), path);
            assert_eq!(answer.status == 200, i == j, "{layout:?} {path}");
            if i == j {
                assert_eq!(answer.json()["issuer"], town.issuer());
            }
        }
    }
}

#[test]
fn the_token_endpoint_can_be_elsewhere() {
    let (town, _, grant) = minted(Rehearsal::builder().token_endpoint_elsewhere(true));
    assert_eq!(refresh(&town, &grant, &grant.refresh_token).status, 404);
    let other = town.token_endpoint().replace("/token", "");
    assert_ne!(other, town.origin());
    let body = super::refresh_body(&town, &grant, &grant.refresh_token);
    assert_eq!(form(&other, "/token", &body).unwrap().status, 200);
}

#[test]
fn a_closed_door_refuses_and_opens_on_the_same_port() {
    let (town, control, grant) = minted(Rehearsal::builder());
    let address = town.origin().replace("http://", "");
    for _ in 0..3 {
        control.refuse_connections(true);
        control.refuse_connections(true);
        let error = TcpStream::connect(&address).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        control.refuse_connections(false);
        assert_eq!(get(&town.origin(), "/nowhere").status, 404);
    }
    assert_eq!(refresh(&town, &grant, &grant.refresh_token).status, 200);
    drop(town);
    assert!(TcpStream::connect(&address).is_err());
    control.refuse_connections(false);
    assert_eq!(control.refreshes().len(), 1);
}

#[test]
fn what_no_conforming_client_does_is_written_down() {
    let (town, control, grant) = minted(Rehearsal::builder().require_resource(true));
    let origin = town.origin();
    get(&origin, "/token");
    send(&origin, "POST /token HTTP/1.1\r\nContent-Type: application/json", "{}").unwrap();
    form(&origin, "/token", "grant_type=refresh_token&refresh_token=x").unwrap();
    let bare = format!(
        "grant_type=refresh_token&client_id={}&refresh_token={}",
        grant.client_id, grant.refresh_token
    );
    assert_eq!(form(&origin, "/token", &bare).unwrap().json()["error"], "invalid_target");
    get(&origin, "/mcp?access_token=x");
    assert_eq!(
        control.violations(),
        [
            "GET on /token",
            "wrong content type on /token: \"application/json\"",
            "client_id missing",
            "resource missing on a refresh",
            "a token in a query: access_token on /mcp",
        ]
    );
    assert!(control.is_refresh_live(&grant.refresh_token));
}

#[test]
fn a_revoked_family_is_dead_at_once() {
    let (town, control, grant) = minted(Rehearsal::builder());
    let body = format!("client_id={}&token={}", grant.client_id, grant.refresh_token);
    assert_eq!(form(&town.origin(), "/revoke", &body).unwrap().status, 200);
    assert!(!control.is_access_live(&grant.access_token));
    control.forget_client(&grant.client_id);
    let answer = refresh(&town, &grant, &grant.refresh_token);
    assert_eq!((answer.status, &answer.json()["error"]), (401, &"invalid_client".into()));
}

#[tokio::test]
async fn it_serves_while_the_test_blocks() {
    let town = Rehearsal::builder().start().await.unwrap();
    assert_eq!(get(&town.origin(), "/nowhere").status, 404);
}
