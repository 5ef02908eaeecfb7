use alloc::{format, string::ToString, vec};

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::oauth::profile::Profiles;

const SERVER: &str = "https://mcp.example/mcp";
const AS: &str = "https://as.example";

/// A search's end as other modules' tests need one.
pub(crate) fn discovered(issuer: &str) -> Discovered {
    let metadata = document(issuer, "");
    let server = ServerDocument::read(metadata.as_bytes()).unwrap();
    let plain_http = &PlainHttp::default();
    let demands = Demands { server_url: SERVER, s256_vouched: false, plain_http };
    Discovered {
        resource: SERVER.into(),
        challenge_scopes: vec![],
        resource_scopes: vec![],
        authorization_servers: vec![issuer.into()],
        server: server.checked(issuer.into(), demands).unwrap(),
        source: DiscoverySource {
            authorization_server: issuer.into(),
            resource_metadata_url: None,
            from_challenge: false,
            metadata_found: true,
            configured_metadata_url: None,
        },
    }
}

/// Metadata of `issuer` with more members.
fn document(issuer: &str, members: &str) -> String {
    let base = issuer.trim_end_matches('/');
    format!(
        r#"{{"issuer":"{issuer}","authorization_endpoint":"{base}/authorize","token_endpoint":
            "{base}/token","code_challenge_methods_supported":["S256"]{members}}}"#
    )
}

/// Metadata of the resource `resource`, which signs in at `servers`.
fn resource(resource: &str, servers: &[&str]) -> String {
    let servers = servers.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"resource":"{resource}","authorization_servers":[{servers}],"scopes_supported":["r"]}}"#
    )
}

type Said = Result<(u16, String), Fault>;

#[expect(clippy::unnecessary_wraps, reason = "one of the ways a site answers")]
fn ok(body: impl Into<String>) -> Said {
    Ok((200, body.into()))
}

#[expect(clippy::unnecessary_wraps, reason = "one of the ways a site answers")]
fn missing() -> Said {
    Ok((404, String::new()))
}

/// Runs a search; returns its end and the URLs asked, in order.
fn search_with(
    start: Start<'_>,
    profile: &Profile,
    site: impl Fn(&str) -> Said,
) -> (Result<Discovered, SignInFault>, Vec<String>) {
    let mut search = SignInDiscovery::new(start, profile);
    let mut asked = vec![];
    for _ in 0..64 {
        let Some(request) = search.request() else { return (Err(SignInFault::Nothing), asked) };
        let said = site(&request.url).map(|(status, body)| Answer {
            status,
            content_type: None,
            retry_after: None,
            challenges: vec![],
            location: None,
            body: Zeroizing::new(body.into_bytes()),
        });
        asked.push(request.url);
        if let Some(end) = search.answer(said.as_ref().map_err(|fault| *fault)) {
            return (end, asked);
        }
    }
    panic!("the search does not end: {asked:?}");
}

fn search(site: impl Fn(&str) -> Said) -> (Result<Discovered, SignInFault>, Vec<String>) {
    search_with(Start { server_url: SERVER, ..Start::default() }, &Profile::default(), site)
}

fn challenge(header: &str) -> Challenge {
    Challenge::bearer(&[header.into()]).unwrap()
}

#[test]
fn the_challenges_document_is_asked_first_and_alone() {
    let challenge = challenge(r#"Bearer resource_metadata="https://mcp.example/pr", scope="c""#);
    let start = Start { server_url: SERVER, challenge: Some(&challenge), ..Start::default() };
    let (end, asked) = search_with(start, &Profile::default(), |url| {
        if url.ends_with("/pr") { ok(resource(SERVER, &[AS])) } else { ok(document(AS, "")) }
    });
    let end = end.unwrap();
    assert_eq!(
        asked,
        ["https://mcp.example/pr", "https://as.example/.well-known/oauth-authorization-server"]
    );
    assert_eq!((end.resource.as_str(), end.server.issuer.as_str()), (SERVER, AS));
    assert_eq!((end.challenge_scopes, end.resource_scopes), (vec!["c".into()], vec!["r".into()]));
    assert_eq!(
        end.source,
        DiscoverySource {
            authorization_server: AS.into(),
            resource_metadata_url: Some("https://mcp.example/pr".into()),
            from_challenge: true,
            metadata_found: true,
            configured_metadata_url: None,
        }
    );
}

#[test]
fn the_path_form_comes_before_the_root_form() {
    let (end, asked) = search(|url| {
        if url.ends_with("/oauth-protected-resource") {
            ok(resource("https://mcp.example", &[AS]))
        } else if url.starts_with(AS) {
            ok(document(AS, ""))
        } else {
            ok("<html>")
        }
    });
    assert_eq!(
        asked[..2],
        [
            "https://mcp.example/.well-known/oauth-protected-resource/mcp",
            "https://mcp.example/.well-known/oauth-protected-resource",
        ]
    );
    assert_eq!(end.unwrap().resource, "https://mcp.example");
}

#[test]
fn every_request_names_the_protocol_version_and_may_be_redirected() {
    let search =
        SignInDiscovery::new(Start { server_url: SERVER, ..Start::default() }, &Profile::default());
    let request = search.request().unwrap();
    assert!(request.headers.iter().any(|(name, _)| name == "mcp-protocol-version"));
    assert!(request.follow_redirects);
    assert_eq!(request.on_behalf_of, SERVER);
}

#[test]
fn a_challenge_may_not_lead_anywhere() {
    for place in ["javascript:x", "http://mcp.example/pr", "http://127.0.0.1/pr", "", "/pr"] {
        let challenge = challenge(&format!("Bearer resource_metadata=\"{place}\""));
        let start = Start { server_url: SERVER, challenge: Some(&challenge), ..Start::default() };
        let search = SignInDiscovery::new(start, &Profile::default());
        let first = search.request().unwrap().url;
        assert_eq!(first, "https://mcp.example/.well-known/oauth-protected-resource/mcp");
    }
}

#[test]
fn a_challenge_to_a_host_that_does_not_answer_is_passed_over() {
    let challenge = challenge(r#"Bearer resource_metadata="https://gone.example/pr""#);
    let start = Start { server_url: SERVER, challenge: Some(&challenge), ..Start::default() };
    let (end, _) = search_with(start, &Profile::default(), |url| {
        if url.starts_with("https://gone") {
            Err(Fault::Dns)
        } else if url.contains("protected-resource") {
            ok(resource(SERVER, &[AS]))
        } else {
            ok(document(AS, ""))
        }
    });
    assert!(!end.unwrap().source.from_challenge);
    let (end, asked) = search(|_| Err(Fault::Timeout));
    assert_eq!((end, asked.len()), (Err(SignInFault::Unreachable), 1));
}

#[test]
fn a_document_for_another_resource_is_refused_before_anyone_signs_in() {
    let (end, asked) = search(|_| ok(resource("https://other.example/mcp", &[AS])));
    assert_eq!(asked.len(), 1);
    assert_eq!(
        end,
        Err(SignInFault::ResourceMismatch {
            server: "mcp.example".into(),
            named: "other.example".into(),
        })
    );
    let vouching =
        Profile { resources: vec!["https://other.example/mcp".into()], ..Profile::default() };
    let start = Start { server_url: SERVER, ..Start::default() };
    let (end, _) = search_with(start, &vouching, |url| {
        if url.contains("protected-resource") {
            ok(resource("https://other.example/mcp", &[AS]))
        } else {
            ok(document(AS, ""))
        }
    });
    assert_eq!(end.unwrap().resource, "https://other.example/mcp");
}

#[test]
fn slacks_documents_work_with_its_profile_and_need_a_person_without() {
    let site = |url: &str| {
        if url.ends_with("oauth-protected-resource") {
            ok(resource("https://mcp.slack.com", &["https://mcp.slack.com"]))
        } else if url.ends_with("oauth-authorization-server") {
            ok(r#"{"issuer":"https://slack.com","authorization_endpoint":
                "https://slack.com/oauth/v2_user/authorize","token_endpoint":
                "https://slack.com/api/oauth.v2.user.access",
                "code_challenge_methods_supported":["S256"]}"#)
        } else {
            // The redirect at the path form ends on a page.
            ok("<!doctype html>")
        }
    };
    let profiles = Profiles::default();
    let url = "https://mcp.slack.com/mcp";
    let start = Start { server_url: url, ..Start::default() };
    let (end, _) = search_with(start, profiles.of(url).1, site);
    let end = end.unwrap();
    assert_eq!(end.server.issuer, "https://slack.com");
    assert_eq!(end.resource, "https://mcp.slack.com");
    assert_eq!(end.source.authorization_server, "https://mcp.slack.com");
    let (end, _) = search_with(start, &Profile::default(), site);
    let Err(SignInFault::IssuerMismatch { asked, issuer }) = end else { panic!("{end:?}") };
    assert_eq!((&*asked, &*issuer), ("https://mcp.slack.com", "https://slack.com"));
    let confirmed = Start { confirmed_issuer: Some(&issuer), ..start };
    assert!(search_with(confirmed, &Profile::default(), site).0.is_ok());
}

#[test]
fn a_named_issuer_is_compared_byte_for_byte() {
    for said in [
        "https://as.example/",
        "https://AS.example",
        "https://as.example:443",
        "https://as.example/%2e",
        "https://as.example/x",
    ] {
        let (end, _) = search(|url| {
            if url.contains("protected-resource") {
                ok(resource(SERVER, &[AS]))
            } else {
                ok(document(said, ""))
            }
        });
        assert!(matches!(end, Err(SignInFault::IssuerMismatch { .. })), "{said}: {end:?}");
    }
}

#[test]
fn an_issuer_that_a_person_could_misread_is_not_even_one_to_confirm() {
    for said in [" https://as.example", "https://as.exаmple", "https://as.example/\u{202e}x", "as"]
    {
        let (end, _) = search(|url| {
            if url.contains("protected-resource") {
                ok(resource(SERVER, &[AS]))
            } else {
                ok(document(said, ""))
            }
        });
        let refused = matches!(end, Err(SignInFault::Incomplete { what: "issuer" }));
        assert!(refused, "{said}: {end:?}");
    }
}

#[test]
fn a_wrong_document_at_one_place_does_not_hide_the_right_one_at_the_next() {
    let named = "https://as.example/t/1";
    let (end, asked) = search(|url| {
        if url.contains("protected-resource") {
            ok(resource(SERVER, &[named]))
        } else if url.ends_with("/t/1/.well-known/openid-configuration") {
            ok(document(named, ""))
        } else {
            ok(document(AS, ""))
        }
    });
    assert_eq!(
        asked[1..],
        [
            "https://as.example/.well-known/oauth-authorization-server/t/1",
            "https://as.example/.well-known/openid-configuration/t/1",
            "https://as.example/t/1/.well-known/openid-configuration",
        ]
    );
    assert_eq!(end.unwrap().server.issuer, named);
}

#[test]
fn an_unusable_server_is_passed_over_for_the_next_that_is_named() {
    let servers = ["javascript:x", "http://plain.example", "https://gone.example", AS];
    let (end, _) = search(|url| {
        if url.contains("protected-resource") {
            ok(resource(SERVER, &servers))
        } else if url.starts_with(AS) {
            ok(document(AS, ""))
        } else {
            Err(Fault::Connect)
        }
    });
    let end = end.unwrap();
    assert_eq!(end.server.issuer, AS);
    assert_eq!(end.authorization_servers, servers);
    let (end, asked) = search(|url| {
        if url.contains("protected-resource") {
            ok(resource(SERVER, &["https://gone.example", "https://far.example"]))
        } else {
            Err(Fault::Timeout)
        }
    });
    assert_eq!((end, asked.len()), (Err(SignInFault::Unreachable), 3));
    let many: Vec<String> = (0..1000).map(|n| format!("https://{n}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (end, asked) = search(|url| {
        if url.contains("protected-resource") { ok(resource(SERVER, &many)) } else { missing() }
    });
    assert_eq!((end, asked.len()), (Err(SignInFault::Nothing), 1 + 2 * MOST_SERVERS));
    let many = ["javascript:x"; 1000];
    let (end, asked) = search(|_| ok(resource(SERVER, &many)));
    assert_eq!(asked.len(), 1);
    assert!(matches!(end, Err(SignInFault::Address { what: "sign-in server", .. })));
}

#[test]
fn the_server_of_the_last_sign_in_is_taken_first_where_it_is_still_named() {
    let site = |url: &str| {
        if url.contains("protected-resource") {
            ok(resource(SERVER, &["https://first.example", AS]))
        } else if url.starts_with(AS) {
            ok(document(AS, ""))
        } else {
            ok(document("https://first.example", ""))
        }
    };
    let issuer = |recorded| {
        let start = Start { server_url: SERVER, recorded, ..Start::default() };
        search_with(start, &Profile::default(), site).0.unwrap().server.issuer
    };
    assert_eq!(issuer(Some(AS)), AS);
    assert_eq!(issuer(Some("https://evil.example")), "https://first.example");
    assert_eq!(issuer(None), "https://first.example");
}

#[test]
fn metadata_without_s256_or_endpoints_is_refused() {
    let refused = |body: &str| {
        let (end, _) = search(|url| {
            if url.contains("protected-resource") { ok(resource(SERVER, &[AS])) } else { ok(body) }
        });
        end.unwrap_err()
    };
    let without = document(AS, "").replace("S256", "plain");
    assert_eq!(refused(&without), SignInFault::NoS256);
    let evil = document(AS, "").replace("https://as.example/authorize", "javascript:alert(1)//");
    assert!(matches!(refused(&evil), SignInFault::Address { what: "sign-in page", .. }));
    let plain = document(AS, "").replace("https://as.example/token", "http://as.example/token");
    assert!(matches!(refused(&plain), SignInFault::Address { what: "token endpoint", .. }));
    assert_eq!(
        refused(r#"{"issuer":"https://as.example"}"#),
        SignInFault::Incomplete { what: "sign-in page" }
    );
    assert_eq!(
        refused(r#"{"token_endpoint":"https://as.example/t"}"#),
        SignInFault::Incomplete { what: "issuer" }
    );
    let pushed = document(AS, r#","require_pushed_authorization_requests":true"#);
    assert_eq!(refused(&pushed), SignInFault::PushedRequests);
    // No document at all at a server of another origin: nothing vouches for fixed places there.
    assert_eq!(refused("<html>"), SignInFault::Nothing);
}

#[test]
fn a_server_of_the_2025_03_26_text_is_its_own_authorization_server() {
    let old = |said: &'static str| {
        search(move |url| {
            if url == "https://mcp.example/.well-known/oauth-authorization-server" {
                ok(document(said, ""))
            } else {
                missing()
            }
        })
        .0
    };
    let found = old("https://mcp.example").unwrap();
    assert_eq!(found.server.token_endpoint, "https://mcp.example/token");
    assert_eq!(found.resource, SERVER);
    assert_eq!(found.source.resource_metadata_url, None);
    // The slash is of our making; another host is not.
    assert_eq!(
        old("https://mcp.example/").unwrap().source.authorization_server,
        "https://mcp.example/"
    );
    assert!(matches!(old("https://cf.mcp.example"), Err(SignInFault::IssuerMismatch { .. })));
}

#[test]
fn without_any_metadata_the_endpoints_are_at_fixed_places() {
    let (end, asked) = search(|_| missing());
    let end = end.unwrap();
    assert_eq!(asked.len(), 4);
    assert_eq!(end.server.authorization_endpoint, "https://mcp.example/authorize");
    assert_eq!(end.server.token_endpoint, "https://mcp.example/token");
    assert_eq!(end.server.registration_endpoint.as_deref(), Some("https://mcp.example/register"));
    assert!(!end.server.published && !end.source.metadata_found);
    let (end, _) = search(|_| Ok((503, String::new())));
    assert_eq!(end, Err(SignInFault::Unreachable));
    // A document that was refused is not the same as none.
    let (end, _) = search(|url| {
        if url.ends_with("oauth-authorization-server") {
            ok(document("https://evil.example", ""))
        } else {
            missing()
        }
    });
    assert!(matches!(end, Err(SignInFault::IssuerMismatch { .. })));
}

#[test]
fn a_document_that_is_too_large_is_none() {
    let (end, asked) = search(|url| {
        if url.ends_with("resource/mcp") {
            Err(Fault::TooLarge)
        } else if url.contains("protected-resource") {
            ok(resource("https://mcp.example", &[AS]))
        } else {
            ok(document(AS, ""))
        }
    });
    assert_eq!(asked.len(), 3);
    assert!(end.is_ok());
}

#[test]
fn a_forbidden_address_is_named() {
    let (end, _) = search(|url| {
        if url.contains("protected-resource") {
            ok(resource(SERVER, &["https://10.0.0.1"]))
        } else {
            Err(Fault::Forbidden)
        }
    });
    assert_eq!(end, Err(SignInFault::Address { what: "sign-in server", host: "10.0.0.1".into() }));
}

#[test]
fn a_configured_document_is_taken_at_its_word_but_still_checked() {
    let start = Start {
        server_url: SERVER,
        metadata_url: Some("https://corp.example/as.json"),
        ..Start::default()
    };
    let site = |body: String| {
        move |url: &str| {
            if url.contains("protected-resource") {
                ok(resource(SERVER, &["https://ignored.example"]))
            } else if url == "https://corp.example/as.json" {
                ok(body.clone())
            } else {
                missing()
            }
        }
    };
    let (end, asked) = search_with(start, &Profile::default(), site(document(AS, "")));
    let end = end.unwrap();
    assert_eq!(asked.len(), 2);
    assert_eq!(end.server.issuer, AS);
    assert_eq!(end.source.configured_metadata_url.as_deref(), Some("https://corp.example/as.json"));
    let without = document(AS, "").replace("S256", "plain");
    let (end, _) = search_with(start, &Profile::default(), site(without.clone()));
    assert_eq!(end, Err(SignInFault::NoS256));
    let vouched = Profile { s256: Some(true), ..Profile::default() };
    assert!(search_with(start, &vouched, site(without)).0.is_ok());
    let (end, _) = search_with(start, &Profile::default(), |_| missing());
    assert_eq!(end, Err(SignInFault::Nothing));
}

#[test]
fn an_address_that_is_none_ends_at_once() {
    let start = Start { server_url: "not a url", ..Start::default() };
    let mut search = SignInDiscovery::new(start, &Profile::default());
    assert_eq!(search.request(), None);
    assert_eq!(search.answer(Err(Fault::Forbidden)), Some(Err(SignInFault::Nothing)));
}

#[test]
fn a_fault_names_hosts_and_never_a_document() {
    let fault = SignInFault::IssuerMismatch {
        asked: "https://a.example/x?secret=1".into(),
        issuer: "https://b.example/\u{1b}[2Jevil".into(),
    };
    assert_eq!(
        fault.to_string(),
        "the sign-in server at a.example calls itself b.example, which can't be checked"
    );
    let slash = SignInFault::IssuerMismatch {
        asked: "https://a.example".into(),
        issuer: "https://a.example/".into(),
    };
    assert!(
        slash.to_string().contains("a.example writes its own address in another way"),
        "{slash}"
    );
}

/// One of many ways a site may answer one request.
fn any_said() -> impl Strategy<Value = Said> {
    let own = "https://mcp.example";
    let bodies = vec![
        resource(SERVER, &[AS]),
        resource(own, &[own, AS, "https://third.example", "http://plain.example", "x"]),
        resource("https://other.example", &[AS]),
        resource(SERVER, &[]),
        document(AS, ""),
        document(own, ""),
        document("https://mcp.example/", ""),
        document("https://evil.example", ""),
        document(AS, r#","require_pushed_authorization_requests":true"#),
        document(AS, "").replace("S256", "plain"),
        document(AS, "").replace("https://as.example/token", "http://as.example/token"),
        "<html>".into(),
        "{}".into(),
    ];
    let faults = vec![
        Fault::Dns,
        Fault::Connect,
        Fault::Tls,
        Fault::Forbidden,
        Fault::Cut,
        Fault::Timeout,
        Fault::TooLarge,
    ];
    prop_oneof![
        8 => proptest::sample::select(bodies).prop_map(|body| Ok((200, body))),
        4 => proptest::sample::select(vec![404, 401, 302, 429, 500])
            .prop_map(|status| Ok((status, String::new()))),
        1 => proptest::sample::select(faults).prop_map(Err),
    ]
}

proptest! {
    #[test]
    fn every_search_ends_and_ends_nowhere_unsafe(
        said in proptest::collection::vec(any_said(), 32),
        named in proptest::option::of(proptest::sample::select(vec![
            "https://mcp.example/pr", "https://as.example/pr", "javascript:x", "http://a.example",
        ])),
    ) {
        let challenge = Challenge {
            resource_metadata: named.map(String::from),
            ..Challenge::default()
        };
        let start =
            Start { server_url: SERVER, challenge: Some(&challenge), ..Start::default() };
        let next = core::cell::Cell::new(0);
        let (end, asked) = search_with(start, &Profile::default(), |_| {
            next.set(next.get() + 1);
            said[next.get() - 1].clone()
        });
        // Three places of the resource's metadata, at most three of each server's.
        prop_assert!(asked.len() <= 3 + 3 * MOST_SERVERS, "{asked:?}");
        prop_assert!(asked.iter().all(|url| url.starts_with("https://")), "{asked:?}");
        if let Ok(found) = end {
            let server = found.server;
            prop_assert!(server.authorization_endpoint.starts_with("https://"));
            prop_assert!(server.token_endpoint.starts_with("https://"));
            prop_assert!(!server.published || server.code_challenge_methods.contains(&"S256".into()));
            prop_assert!(!server.issuer.contains("evil"));
            prop_assert!(origin(&found.resource) == origin(SERVER));
        }
    }
}
