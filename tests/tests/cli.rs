//! The commands as a person and a script meet them: what they print, their exit codes, and that no
//! secret is ever among it.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use lamplighter_rehearsal::{Dialect, ExpiresIn, Fault, Layout, Rehearsal, Rotation};
use lamplighter_tests::{
    home::Home,
    program::lamplighter,
    stage::Stage,
    store::{self, CREDENTIALS, now_ms},
};
use serde_json::{Value, json};

fn strict() -> lamplighter_rehearsal::Builder {
    Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict).require_resource(true)
}

#[test]
fn what_is_due_is_renewed_and_the_store_holds_the_new_pair() {
    let (stage, old) = Stage::with_rig(strict());
    let ran = stage.run(&["renew"]).succeeded();
    assert!(ran.out.starts_with("The one server is signed in\n"), "{}", ran.out);
    assert!(ran.err.contains("claude-code/rig: renewed"), "{}", ran.err);
    let (access, refresh) = stage.pair("rig");
    assert_ne!((&access, &refresh), (&old.access_token, &old.refresh_token));
    assert!(stage.holds_live_pair("rig"));
    let end = stage.entry("rig")["expiresAt"].as_i64().expect("a whole number");
    assert!((3_590_000..=3_600_000).contains(&(end - now_ms())), "{}", end - now_ms());
    assert_eq!(stage.refreshes().len(), 1);
    stage.nothing_was_broken();
}

#[test]
fn what_is_not_due_is_left_and_what_is_named_is_renewed_now() {
    let mut stage = Stage::new(strict());
    stage.sign_in("rig", 3600);
    stage.run(&["renew"]).succeeded();
    assert!(stage.refreshes().is_empty());
    stage.run(&["renew", "rig"]).succeeded();
    stage.run(&["refresh", "claude-code/rig"]).succeeded();
    assert_eq!(stage.refreshes().len(), 2);
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn status_reads_and_leaves_no_trace() {
    let (stage, _) = Stage::with_rig(strict());
    let ran = stage.run(&["status"]);
    assert_eq!(ran.code, Some(11), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("◐ claude-code/rig  Token ended at "), "{}", ran.out);
    assert!(stage.control.refreshes().is_empty() && stage.control.mcp_calls().is_empty());
    let made: Vec<_> = std::fs::read_dir(stage.home.claude(""))
        .expect("~/.claude")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    assert_eq!(made, [CREDENTIALS]);
    for folder in ["state", "config", "run", "cache", "data"] {
        let folder = stage.home.path().with_file_name(folder);
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0, "{folder:?}");
    }
}

#[test]
fn the_status_document_has_the_members_that_the_readme_names() {
    let (stage, _) = Stage::with_rig(strict());
    stage.run(&["renew"]).succeeded();
    let status = stage.status();
    assert_eq!(status["schema"], 1);
    assert!(status["generated_at"].as_str().expect("a time").ends_with('Z'));
    let server = status["servers"][0].as_object().expect("an object").clone();
    let mut names: Vec<&str> = server.keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "account",
        "actions",
        "client",
        "expires_at",
        "has_refresh_token",
        "health",
        "id",
        "issuer",
        "last_renewal_at",
        "name",
        "next_renewal_at",
        "phrase",
        "profile",
        "reason",
        "renewed_by",
        "scopes",
        "sign_in_ends_at",
        "tools",
        "url",
    ];
    assert_eq!(names, expected);
    assert_eq!(server["id"], "claude-code/rig");
    assert_eq!(server["client"], "Claude Code");
    assert_eq!(server["health"], "healthy");
    assert_eq!(server["renewed_by"], "lamplighter");
    assert_eq!(server["has_refresh_token"], true);
    assert_eq!(server["scopes"], serde_json::json!(["read", "write"]));
    assert_eq!(server["issuer"].as_str(), Some(stage.town.issuer().as_str()));
}

#[test]
fn a_prompt_line_is_empty_while_all_is_well_and_names_who_needs_you() {
    let (mut stage, _) = Stage::with_rig(strict());
    stage.run(&["renew"]).succeeded();
    assert_eq!(stage.run(&["status", "--line"]).succeeded().out, "");
    stage.edit("rig", |entry| {
        entry["accessToken"] = "".into();
        entry["expiresAt"] = 0.into();
        entry.as_object_mut().expect("an object").remove("refreshToken");
    });
    let ran = stage.run(&["status", "--line"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(10), "rig needs you\n"));
}

#[test]
fn nothing_found_is_said_and_is_no_error() {
    let home = Home::new();
    let ran = lamplighter(&home, &["status"]).succeeded();
    assert_eq!(ran.out, "No MCP server with a sign-in was found\n");
    lamplighter(&home, &["renew"]).succeeded();
    let ran = lamplighter(&home, &["renew", "slack"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("no server named slack"), "{}", ran.err);
}

#[test]
fn usage_errors_are_2_and_every_help_has_examples() {
    let home = Home::new();
    assert_eq!(lamplighter(&home, &["stauts"]).code, Some(2));
    assert_eq!(lamplighter(&home, &["status", "--json", "--line"]).code, Some(2));
    for command in
        [&["--help"][..], &["status", "--help"], &["renew", "--help"], &["doctor", "--help"]]
    {
        let ran = lamplighter(&home, command).succeeded();
        assert!(ran.out.contains("Examples:"), "{command:?}: {}", ran.out);
    }
}

#[test]
fn a_name_that_several_have_must_be_said_in_full() {
    let mut stage = Stage::new(strict());
    stage.sign_in("rig", 3600);
    let other = stage.control.mint(lamplighter_rehearsal::Mint::default());
    let mut twin = stage.entry_for("rig", &other);
    twin["serverUrl"] = format!("{}?team=2", stage.town.mcp_url()).into();
    let text = serde_json::json!({"mcpOAuth": {
        stage.key("rig"): stage.entry("rig"), "rig|ffffffffffffffff": twin
    }});
    store::write(&stage.home, CREDENTIALS, &text.to_string());
    let ran = stage.run(&["renew", "rig"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("several servers"), "{}", ran.err);
    let ids: Vec<_> =
        ran.err.split_whitespace().filter(|w| w.starts_with("claude-code/rig~")).collect();
    assert_eq!(ids.len(), 2, "{}", ran.err);
    stage.run(&["renew", ids[0].trim_end_matches(',')]).succeeded();
}

#[test]
fn scripts_get_one_event_a_line_and_the_document_last() {
    let (stage, _) = Stage::with_rig(strict());
    let ran = stage.run(&["renew", "--json"]).succeeded();
    let lines: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<_> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(events, ["renewing", "renewed"]);
    assert!(lines[1]["expires_at"].as_str().expect("a time").ends_with('Z'));
    assert_eq!(lines.last().expect("a document")["schema"], 1);
}

#[test]
fn a_stale_verdict_is_withdrawn_with_a_renewal_and_with_a_good_token_alike() {
    for life in [-1, 3600] {
        let mut stage = Stage::new(strict());
        stage.sign_in("rig", life);
        store::write_verdict(&stage.home, "rig");
        let ran = stage.run(&["renew"]).succeeded();
        assert_eq!(store::verdicts(&stage.home), Vec::<String>::new(), "{}", ran.err);
        assert!(ran.err.contains("/mcp reconnect rig"), "{}", ran.err);
        // A good token is proven by asking the server, not by spending the refresh token.
        assert_eq!(stage.refreshes().len(), usize::from(life < 0));
        stage.nothing_was_broken();
    }
}

#[test]
fn a_verdict_that_the_server_confirms_is_a_reason_to_renew() {
    let mut stage = Stage::new(strict());
    stage.sign_in("rig", 3600);
    stage.control.kill_access_tokens();
    store::write_verdict(&stage.home, "rig");
    let ran = stage.run(&["renew"]).succeeded();
    assert!(ran.err.contains("the server refuses its token"), "{}", ran.err);
    assert!(stage.holds_live_pair("rig"));
    assert_eq!(stage.refreshes().len(), 1);
    assert_eq!(store::verdicts(&stage.home), Vec::<String>::new());
    stage.nothing_was_broken();
}

#[test]
fn a_dead_grant_is_asked_about_twice_and_then_needs_a_person() {
    let (stage, minted) = Stage::with_rig(strict());
    stage.control.revoke_family_of(&minted.refresh_token);
    let ran = stage.run(&["renew", "rig"]);
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.took.as_secs() >= 60, "confirmed after {:?}", ran.took);
    assert!(ran.err.contains("asked about once more"), "{}", ran.err);
    assert!(ran.out.contains("rig ended this sign-in"), "{}", ran.out);
    assert_eq!(stage.refreshes().len(), 2);
    assert_eq!(stage.pair("rig").1, minted.refresh_token, "nothing of ours deletes it");
    assert_eq!(stage.run(&["renew", "rig"]).code, Some(10));
    assert_eq!(stage.refreshes().len(), 2, "a confirmed refusal is not asked about again");
    assert_eq!(stage.server("rig")["health"], "sign_in_required");
}

#[test]
fn every_dialect_and_every_shape_of_an_end_is_understood() {
    let dialects = [Dialect::Standard, Dialect::GitHub, Dialect::Created201];
    for dialect in dialects {
        let (stage, _) = Stage::with_rig(strict().dialect(dialect));
        stage.run(&["renew"]).succeeded();
        assert!(stage.holds_live_pair("rig"), "{dialect:?}");
    }
    for shape in [
        ExpiresIn::Missing,
        ExpiresIn::Zero,
        ExpiresIn::Negative,
        ExpiresIn::Float,
        ExpiresIn::Text,
    ] {
        let (stage, _) = Stage::with_rig(strict().expires_in(shape));
        stage.run(&["renew"]).succeeded();
        let known = matches!(shape, ExpiresIn::Float | ExpiresIn::Text);
        assert_eq!(stage.entry("rig")["expiresAt"].is_i64(), known, "{shape:?}");
        assert_eq!(stage.entry("rig").get("expiresAt").is_some(), known, "{shape:?}");
    }
}

#[test]
fn an_answer_without_scope_or_refresh_token_keeps_the_old_ones() {
    let builder = strict().rotation(Rotation::None).omit_scope(true).omit_refresh_token(true);
    let (stage, minted) = Stage::with_rig(builder);
    stage.run(&["renew"]).succeeded();
    let entry = stage.entry("rig");
    assert_eq!(entry["scope"], "read write");
    assert_eq!(entry["refreshToken"].as_str(), Some(minted.refresh_token.as_str()));
    assert_ne!(entry["accessToken"].as_str(), Some(minted.access_token.as_str()));
    // The same token, not spent: presented again at the next renewal.
    stage.run(&["renew", "rig"]).succeeded();
    stage.nothing_was_broken();
}

#[test]
fn the_token_endpoint_is_found_in_every_layout() {
    for layout in [Layout::Inserted, Layout::OidcInserted, Layout::OidcAppended, Layout::Nothing] {
        let (stage, _) = Stage::with_rig(strict().layout(layout));
        let ran = stage.run(&["renew"]);
        assert_eq!(ran.code, Some(0), "{layout:?}: {}{}", ran.out, ran.err);
        assert!(stage.holds_live_pair("rig"));
    }
    let (stage, _) = Stage::with_rig(strict().issuer_path("/t/1"));
    stage.run(&["renew"]).succeeded();
    let (stage, _) = Stage::with_rig(strict().token_endpoint_elsewhere(true));
    stage.run(&["renew"]).succeeded();
}

#[test]
fn without_a_recorded_server_only_the_servers_own_is_trusted() {
    let (mut stage, _) = Stage::with_rig(strict());
    stage.edit("rig", |entry| {
        entry.as_object_mut().expect("an object").remove("discoveryState");
    });
    stage.run(&["renew"]).succeeded();
    assert!(stage.holds_live_pair("rig"));
}

#[test]
fn a_server_that_signs_in_elsewhere_now_gets_nothing() {
    let builder = strict().metadata_issuer("https://elsewhere.example");
    let (stage, minted) = Stage::with_rig(builder);
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("elsewhere.example"), "{}", ran.err);
    assert!(stage.control.refreshes().is_empty());
    assert_eq!(stage.pair("rig").1, minted.refresh_token);
}

#[test]
fn a_confidential_client_proves_itself_as_the_server_wants() {
    use lamplighter_rehearsal::{ClientAuth, Mint};
    for auth in [ClientAuth::Basic, ClientAuth::Post] {
        let mut stage = Stage::new(strict());
        stage.sign_in_as(
            "rig",
            Mint {
                access_life_seconds: -1,
                client_secret: Some("s3cret+/=".into()),
                auth: Some(auth),
                ..Mint::default()
            },
        );
        let ran = stage.run(&["renew"]);
        assert_eq!(ran.code, Some(0), "{auth:?}: {}{}", ran.out, ran.err);
        assert!(stage.holds_live_pair("rig"), "{auth:?}");
        assert!(stage.refreshes().iter().all(|seen| !seen.reuse));
    }
}

#[test]
fn a_forgotten_client_needs_a_person() {
    let (stage, minted) = Stage::with_rig(strict());
    stage.control.forget_client(&minted.client_id);
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.took.as_secs() >= 60, "confirmed after {:?}", ran.took);
    assert_eq!(stage.refreshes().len(), 2);
    assert!(ran.out.contains("no longer knows the client"), "{}", ran.out);
    assert_eq!(stage.pair("rig").1, minted.refresh_token);
}

#[test]
fn no_secret_is_printed_logged_or_kept_in_plain_sight() {
    let (stage, minted) = Stage::with_rig(strict());
    let mut told = String::new();
    for args in [
        &["-vv", "status", "--json"][..],
        &["-vv", "renew", "--json"],
        &["-vv", "renew", "rig"],
        &["-vv", "status"],
        &["doctor"],
        &["doctor", "--json"],
        &["renew", "no-such-server"],
    ] {
        let ran = stage.run(args);
        told.push_str(&ran.out);
        told.push_str(&ran.err);
    }
    let (access, refresh) = stage.pair("rig");
    // An answer that breaks off may hold tokens too.
    stage.control.inject(Fault::HalfJson200After, 2);
    for args in [&["-vv", "renew", "rig"][..], &["-vv", "status", "--json"], &["doctor"]] {
        let ran = stage.run(args);
        told.push_str(&ran.out);
        told.push_str(&ran.err);
    }
    let (lost_access, lost_refresh) = stage.control.newest_pair_of(&refresh);
    assert_ne!(lost_refresh, refresh, "it broke off after the server had rotated");
    let secrets = [
        minted.access_token.as_str(),
        &minted.refresh_token,
        &access,
        &refresh,
        &lost_access,
        &lost_refresh,
        "own-login",
    ];
    for secret in secrets {
        assert!(!told.contains(secret), "{told}");
    }
    // Our own files: facts and history hold no secret at all; the journal alone may, and only until
    // the last look, readable by nobody else.
    let ours = stage.home.path().with_file_name("state");
    let mut files = 0;
    for entry in walk(&ours) {
        files += 1;
        let text = String::from_utf8_lossy(&std::fs::read(&entry).expect("a file")).into_owned();
        let is_journal =
            entry.file_name().is_some_and(|n| n.to_string_lossy().starts_with("journal"));
        assert!(is_journal || secrets.iter().all(|s| !text.contains(s)), "{entry:?}");
        assert_eq!(mode(&entry), 0o600, "{entry:?}");
    }
    assert!(files > 0);
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn what_is_to_be_trusted_is_shown_first_and_nothing_is_sent_before() {
    for by_keeper in [false, true] {
        let builder = strict().metadata_issuer("https://elsewhere.example");
        let mut stage = Stage::new(builder);
        stage.sign_in("rig", 3600);
        let keeper = by_keeper.then(|| lamplighter_tests::keeper::Keeper::start(&stage.home));
        if let Some(keeper) = &keeper {
            keeper.until_reachable(&stage.home);
        }
        let host = stage.town.issuer().replace("http://", "");
        let ran = stage.run(&["trust", "rig"]);
        assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
        assert!(ran.err.contains(&host) && ran.err.contains("elsewhere.example"), "{}", ran.err);
        assert!(ran.err.contains("say --yes"), "{}", ran.err);
        assert!(stage.control.refreshes().is_empty(), "nothing was sent");
        let ran = stage.run(&["trust", "rig", "--yes"]).succeeded();
        assert!(ran.err.contains("elsewhere.example"), "{}", ran.err);
        stage.run(&["renew", "rig"]).succeeded();
        assert!(stage.holds_live_pair("rig"));
        // Now there is nothing to trust any more.
        let ran = stage.run(&["trust", "rig"]).succeeded();
        assert!(ran.err.contains("it signs in where it did"), "{}", ran.err);
        drop(keeper);
    }
}

#[test]
fn what_cannot_be_seen_is_not_trusted() {
    let mut stage = Stage::new(strict());
    stage.sign_in("rig", 3600);
    stage.control.refuse_connections(true);
    let ran = stage.run(&["trust", "rig", "--yes"]);
    assert_eq!(ran.code, Some(11), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("nothing was changed"), "{}", ran.err);
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_a_person_sees_both_hosts_and_decides() {
    use lamplighter_tests::{program::command, terminal::Terminal};

    let mut stage = Stage::new(strict().metadata_issuer("https://elsewhere.example"));
    stage.sign_in("rig", 3600);
    for (answer, code, word) in [("n\n", 1, "Nothing was changed"), ("y\n", 0, "claude-code/rig")] {
        let mut terminal = Terminal::start(command(&stage.home, &["trust", "rig"]));
        let shown = terminal.until("Trust elsewhere.example? [y/N]");
        let host = stage.town.issuer().replace("http://", "");
        assert!(shown.contains(&format!("instead of {host}")), "{shown}");
        terminal.types(answer);
        let (shown, ended) = terminal.end();
        assert_eq!(ended, Some(code), "{shown}");
        assert!(shown.contains(word), "{shown}");
    }
    stage.run(&["renew", "rig"]).succeeded();
}

#[test]
fn what_doctor_finds_has_a_code_that_the_readme_explains() {
    type Spoil = fn(&Stage);
    let readme = include_str!("../../README.md");
    let wrongs: [(&str, Spoil); 4] = [
        ("keyring_absent", |_| {}),
        ("store_broken", |stage| store::write(&stage.home, CREDENTIALS, "[]")),
        ("lock_held", |stage| {
            std::fs::create_dir(stage.home.claude(".storage-write.lock")).expect("a lock");
        }),
        ("verdicts_cached", |stage| store::write_verdict(&stage.home, "rig")),
    ];
    for (expected, spoil) in wrongs {
        let (stage, _) = Stage::with_rig(strict());
        spoil(&stage);
        let ran = stage.run(&["doctor", "--json"]);
        let told: Value = serde_json::from_str(&ran.out).expect("a document");
        let findings = told["findings"].as_array().expect("a list");
        let codes: Vec<&str> = findings.iter().filter_map(|found| found["code"].as_str()).collect();
        assert!(codes.contains(&expected), "{codes:?}");
        for code in codes {
            assert!(readme.contains(&format!("`{code}`")), "{code}");
        }
        assert!(stage.run(&["doctor"]).out.contains(&format!("[{expected}]")));
    }
}

#[test]
fn a_server_without_tls_in_the_network_is_left_to_its_client_until_it_is_let_in() {
    let (mut stage, _) = Stage::with_rig(strict());
    stage.edit("rig", |entry| {
        entry["serverUrl"] = "http://192.168.77.5/mcp".into();
        entry["discoveryState"] = json!({"authorizationServerUrl": "http://192.168.77.5"});
    });
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("Left to Claude Code"), "{}{}", ran.out, ran.err);
    let row = stage.server("rig");
    let reason = row["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("192.168.77.5 without TLS") && reason.contains("allow_http"), "{row}");
    std::fs::create_dir_all(stage.home.config("lamplighter")).expect("a folder");
    let let_in = "[network]\nallow_http = ['192.168.77.5']\n";
    std::fs::write(stage.home.config("lamplighter/settings.toml"), let_in).expect("written");
    assert_eq!(stage.server("rig")["health"], "retrying_ended", "it is due now");
}
