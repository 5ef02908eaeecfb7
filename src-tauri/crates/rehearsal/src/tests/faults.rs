//! Each fault does on the wire what it says, and processes the request or doesn't.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::tests::{Answer, get, mcp, minted, refresh, try_refresh};
use crate::{Fault, Outcome, Rehearsal};

/// Orders the fault once, checks whether it rotated and how it was recorded, gives the answer, and
/// checks that the next refresh is right.
fn once(fault: Fault) -> Option<Answer> {
    let (town, control, grant) = minted(Rehearsal::builder());
    control.inject(fault.clone(), 1);
    let answer = try_refresh(&town, &grant, &grant.refresh_token);
    let rotated = !control.is_refresh_live(&grant.refresh_token);
    assert_eq!(rotated, fault.processes(), "{fault:?}");
    let outcome = &control.refreshes()[0].outcome;
    if matches!(fault, Fault::Slow { .. }) {
        assert_eq!(*outcome, Outcome::Issued);
    } else {
        assert_eq!(*outcome, Outcome::Fault(fault.name()));
    }
    let (_, newest) = control.newest_pair_of(&grant.refresh_token);
    assert_eq!(refresh(&town, &grant, &newest).status, 200, "{fault:?}");
    assert_eq!(control.violations(), [""; 0]);
    answer
}

#[test]
fn a_cut_closes_the_connection_without_a_byte() {
    assert!(once(Fault::CutBefore).is_none());
    assert!(once(Fault::CutAfter).is_none());
}

#[test]
fn an_error_or_status_comes_as_ordered() {
    let error = once(Fault::Error { status: 503, code: "temporarily_unavailable" }).unwrap();
    assert_eq!(error.status, 503);
    assert_eq!(error.json()["error"], "temporarily_unavailable");
    let status = once(Fault::Status { status: 502 }).unwrap();
    assert_eq!((status.status, status.body.as_str()), (502, ""));
    let after = once(Fault::Status500After).unwrap();
    assert_eq!((after.status, after.body.as_str()), (500, ""));
    let retry = once(Fault::RetryAfter { status: 429, seconds: 7 }).unwrap();
    assert_eq!((retry.status, retry.header("retry-after")), (429, Some("7")));
    let location = "http://127.0.0.1:9/else".to_owned();
    let redirect = once(Fault::Redirect { status: 307, location }).unwrap();
    assert_eq!(redirect.status, 307);
    assert_eq!(redirect.header("location"), Some("http://127.0.0.1:9/else"));
}

#[test]
fn a_page_or_nothing_comes_with_200() {
    for fault in [Fault::Html200Before, Fault::Html200After] {
        let page = once(fault).unwrap();
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").unwrap().starts_with("text/html"));
        assert!(page.body.starts_with("<!doctype html>"));
    }
    let empty = once(Fault::Empty200After).unwrap();
    assert_eq!((empty.status, empty.body.as_str(), empty.broken), (200, "", false));
}

#[test]
fn half_an_answer_arrives_as_half_an_answer() {
    let cut = once(Fault::Truncated200After).unwrap();
    assert!(cut.broken && cut.body.starts_with("{\"access_token\":\"") && cut.json().is_null());
    let half = once(Fault::HalfJson200After).unwrap();
    assert!(!half.broken && half.body.starts_with("{\"access_token\":\"") && half.json().is_null());
}

#[test]
fn a_huge_answer_is_as_long_as_ordered() {
    let huge = once(Fault::Huge200 { bytes: 3_000_000 }).unwrap();
    assert_eq!(huge.json()["padding"].as_str().unwrap().len(), 3_000_000);
}

#[test]
fn a_slow_answer_is_late_and_right() {
    let start = Instant::now();
    let slow = once(Fault::Slow { ms: 300 }).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(slow.json()["access_token"].is_string());
    let odd = once(Fault::WrongContentType).unwrap();
    assert!(odd.header("content-type").unwrap().starts_with("text/html"));
    assert!(odd.json()["access_token"].is_string());
}

#[test]
fn a_hanging_request_is_answered_by_the_end_of_the_server_only() {
    for after in [false, true] {
        let (town, control, grant) = minted(Rehearsal::builder());
        control.inject(Fault::Hang { after }, 1);
        let body = crate::tests::refresh_body(&town, &grant, &grant.refresh_token);
        let address = town.origin().replace("http://", "");
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!(
            "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut byte = [0];
        assert!(stream.read(&mut byte).is_err(), "nothing comes yet");
        assert_eq!(control.is_refresh_live(&grant.refresh_token), !after);
        drop(town);
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert!(matches!(stream.read(&mut byte), Ok(0) | Err(_)), "and then the end");
    }
}

#[test]
fn faults_wait_their_turn_and_count_down() {
    let (town, control, grant) = minted(Rehearsal::builder());
    control.inject(Fault::Status { status: 502 }, 2);
    control.inject(Fault::Status { status: 503 }, 1);
    let status = || refresh(&town, &grant, &grant.refresh_token).status;
    assert_eq!([status(), status(), status(), status()], [502, 502, 503, 200]);
}

#[test]
fn metadata_and_mcp_have_faults_of_their_own() {
    let (town, control, grant) = minted(Rehearsal::builder());
    control.inject_metadata(Fault::Status { status: 500 }, 1);
    control.inject_mcp(Fault::RetryAfter { status: 503, seconds: 1 }, 1);
    let path = "/.well-known/oauth-authorization-server";
    assert_eq!(get(&town.origin(), path).status, 500);
    assert_eq!(get(&town.origin(), path).status, 200);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(mcp(&town, &grant.access_token, ping).status, 503);
    assert_eq!(mcp(&town, &grant.access_token, ping).status, 200);
    assert!(!control.mcp_calls()[0].accepted && control.mcp_calls()[1].accepted);
}
