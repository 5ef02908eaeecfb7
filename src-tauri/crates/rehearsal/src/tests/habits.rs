//! Each provider keeps to what it is known for, also against a client that expects otherwise.

use serde_json::{Value, json};

use crate::secrets::s256;
use crate::tests::{form, get, send};
use crate::{Builder, Habits, Mint, Minted, NamesItself, Registration, Rehearsal};

/// A server with an app whose redirect is on port 9.
fn with_app(builder: Builder) -> (Rehearsal, Minted) {
    let town = builder.start_blocking().unwrap();
    let redirect_uri = "http://localhost:9/callback".to_owned();
    let app = town.control().mint(Mint { redirect_uri, ..Mint::default() });
    (town, app)
}

/// What the browser gets for a request of this app with these parameters besides.
fn authorize(town: &Rehearsal, app: &Minted, port: u16, more: &str) -> (u16, String) {
    let path = format!(
        "/authorize?response_type=code&client_id={}&redirect_uri=http://localhost:{port}/callback\
         &state=s&code_challenge={}&code_challenge_method=S256{more}",
        app.client_id,
        s256("verifier")
    );
    let answer = get(&town.origin(), &path);
    (answer.status, answer.header("location").unwrap_or_default().to_owned())
}

/// The answer to the code that such a request brought.
fn tokens(town: &Rehearsal, app: &Minted, back: &str, more: &str) -> Value {
    let code = back.split("code=").nth(1).unwrap_or_default().split('&').next().unwrap_or_default();
    let body = format!(
        "grant_type=authorization_code&client_id={}&code={code}&code_verifier=verifier{more}",
        app.client_id
    );
    form(town.token_endpoint().trim_end_matches("/token"), "/token", &body).unwrap().json()
}

#[test]
fn slack_wants_its_redirect_and_scopes_and_nests_its_tokens() {
    let (town, app) = with_app(Rehearsal::builder().slack());
    assert_eq!(authorize(&town, &app, 9, "").0, 400, "no scope");
    assert_eq!(authorize(&town, &app, 10, "&scope=a").0, 400, "another port");
    let (status, back) = authorize(&town, &app, 9, "&scope=a+b");
    assert!(status == 302 && !back.contains("iss="), "{status} {back}");
    let said = tokens(&town, &app, &back, "");
    assert_eq!((&said["ok"], &said["team"]["name"]), (&true.into(), &"ada@lamp.example".into()));
    assert_eq!(said["authed_user"]["scope"], "a,b");
    assert_eq!(said.get("access_token"), None);
    let path = "/.well-known/oauth-protected-resource";
    let elsewhere = get(&town.origin(), &format!("{path}/mcp"));
    assert_eq!((elsewhere.status, elsewhere.header("location")), (302, Some("/workspace")));
    assert_eq!(get(&town.origin(), "/workspace").status, 200);
    assert_eq!(get(&town.origin(), path).json()["resource"], town.origin());
    let document = get(&town.origin(), "/.well-known/oauth-authorization-server").json();
    assert_eq!(document["issuer"], "https://slack.com");
    assert_eq!(document.get("registration_endpoint"), None);
}

#[test]
fn google_gives_a_refresh_token_only_to_who_asks_its_way() {
    let (town, app) = with_app(Rehearsal::builder().google());
    assert_eq!(authorize(&town, &app, 9, "&scope=openid+offline_access").0, 400);
    for (more, comes) in [("", false), ("&access_type=offline&prompt=consent", true)] {
        let (_, back) = authorize(&town, &app, 9, &format!("&scope=openid{more}"));
        let said = tokens(&town, &app, &back, "");
        assert_eq!(said.get("refresh_token").is_some(), comes, "{more}");
        assert_eq!(said["id_token"].as_str().unwrap().split('.').count(), 3);
    }
}

#[test]
fn entra_refuses_a_resource_and_lists_no_offline_access() {
    let (town, app) = with_app(Rehearsal::builder().entra());
    let (_, back) = authorize(&town, &app, 9, "&scope=a+offline_access&resource=x");
    assert!(back.contains("error=invalid_target"), "{back}");
    let (_, back) = authorize(&town, &app, 9, "&scope=a+offline_access&prompt=consent");
    assert!(back.contains("error=consent_required"), "{back}");
    let (_, back) = authorize(&town, &app, 9, "&scope=a+offline_access");
    let wrong = tokens(&town, &app, &back, "&resource=x");
    assert!(wrong["error_description"].as_str().unwrap().starts_with("AADSTS9010010: "));
    let said = tokens(&town, &app, &back, "");
    assert_eq!((&said["scope"], said.get("id_token")), (&"a".into(), None));
    let held = said["refresh_token"].as_str().unwrap();
    let renewed = |more: &str| {
        let id = &app.client_id;
        let body = format!("grant_type=refresh_token&client_id={id}&refresh_token={held}{more}");
        form(&town.origin(), "/token", &body).unwrap().json()
    };
    assert_eq!(renewed("&scope=a").get("refresh_token"), None);
    assert!(renewed("&scope=a+offline_access")["refresh_token"].is_string());
    assert!(renewed("")["refresh_token"].is_string());
}

#[test]
fn github_says_all_in_forms_and_registers_nobody() {
    let (town, _) = with_app(Rehearsal::builder().github());
    let body = "grant_type=refresh_token&client_id=x&refresh_token=y";
    let wrong = form(&town.origin(), "/token", body).unwrap();
    assert_eq!(wrong.status, 200);
    assert!(wrong.body.starts_with("error=incorrect_client_credentials&"), "{}", wrong.body);
    assert_eq!(register(&town, &json!({"redirect_uris": ["http://localhost:1/a"]})).0, 422);
    assert_eq!(town.control().registrations(), 1);
}

fn register(town: &Rehearsal, body: &Value) -> (u16, Value) {
    let head = "POST /register HTTP/1.1\r\nContent-Type: application/json";
    let answer = send(&town.origin(), head, &body.to_string()).unwrap();
    (answer.status, answer.json())
}

#[test]
fn a_registration_is_what_the_server_makes_of_it() {
    let of = |registration| {
        let habits = Habits { registration, ..Habits::default() };
        Rehearsal::builder().habits(habits).start_blocking().unwrap()
    };
    let public = json!({
        "redirect_uris": ["http://localhost:1/a", "dev.example:/a"],
        "token_endpoint_auth_method": "none",
    });
    let secret = json!({"redirect_uris": ["http://localhost:1/a"]});
    let (status, said) = register(&of(Registration::Loose), &secret);
    assert_eq!((status, &said["client_secret_expires_at"]), (200, &"0".into()));
    assert_eq!(register(&of(Registration::WebOnly), &public).1["error"], "invalid_redirect_uri");
    assert_eq!(register(&of(Registration::WebOnly), &secret).0, 201);
    let (status, said) = register(&of(Registration::WithSecret), &public);
    assert_eq!((status, &said["error"]), (400, &"invalid_client_metadata".into()));
    assert_eq!(register(&of(Registration::ByHand), &secret).0, 404);
    assert_eq!(register(&of(Registration::Open), &public).0, 201);
}

#[test]
fn an_issuer_is_named_as_it_is_said_to_be() {
    for (names_itself, advertised, named) in [
        (NamesItself::Advertised, true, true),
        (NamesItself::Unadvertised, false, true),
        (NamesItself::Never, false, false),
    ] {
        let habits = Habits { names_itself, issuer_slash: true, ..Habits::default() };
        let (town, app) = with_app(Rehearsal::builder().habits(habits));
        assert!(town.issuer().ends_with('/'));
        let document = get(&town.origin(), "/.well-known/oauth-authorization-server").json();
        assert_eq!(document["issuer"], town.issuer());
        let says = document.get("authorization_response_iss_parameter_supported").is_some();
        let (_, back) = authorize(&town, &app, 9, "");
        assert_eq!((says, back.contains("&iss=")), (advertised, named));
    }
}
