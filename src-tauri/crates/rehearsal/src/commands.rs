//! The orders of `--control`, one per line, in words.
//!
//! ```text
//! mint [LIFE_SECONDS]      life SECONDS           refuse on|off
//! revoke REFRESH           newest REFRESH         forget CLIENT_ID      kill-access
//! inject FAULT [TIMES]     inject-mcp FAULT [TIMES]     inject-metadata FAULT [TIMES]
//! refreshes                mcp-calls              violations
//! ```
//!
//! A fault is its name with its values after colons: `CutAfter`, `Slow:500`,
//! `Error:400:invalid_grant`, `RetryAfter:429:5`, `Hang:true`, `Redirect:307:http://…`.
//!
//! What it must not do: hold state, or act but through [`Control`].
//!
//! Where to read next: [`Control`], which has the same in Rust.

use lamplighter_rehearsal::{Control, Fault, Mint, Outcome};
use serde_json::{Value, json};

use crate::shown;

pub(crate) fn obey(control: &Control, line: &str) -> Value {
    let words: Vec<&str> = line.split_whitespace().collect();
    answer(control, &words).unwrap_or_else(|| json!({ "ok": false, "error": "not understood" }))
}

fn answer(control: &Control, words: &[&str]) -> Option<Value> {
    match words {
        ["mint"] => return Some(shown(&control.mint(Mint::default()))),
        ["mint", life] => {
            let access_life_seconds = life.parse().ok()?;
            return Some(shown(&control.mint(Mint { access_life_seconds, ..Mint::default() })));
        }
        ["life", seconds] => control.set_life_seconds(seconds.parse().ok()?),
        ["refuse", "on"] => control.refuse_connections(true),
        ["refuse", "off"] => control.refuse_connections(false),
        ["revoke", refresh] => control.revoke_family_of(refresh),
        ["forget", client] => control.forget_client(client),
        ["kill-access"] => control.kill_access_tokens(),
        ["newest", refresh] => {
            let (access, refresh) = control.newest_pair_of(refresh);
            return Some(json!({ "access_token": access, "refresh_token": refresh }));
        }
        ["inject", rest @ ..] => inject(rest, |fault, times| control.inject(fault, times))?,
        ["inject-mcp", rest @ ..] => inject(rest, |fault, times| control.inject_mcp(fault, times))?,
        ["inject-metadata", rest @ ..] => {
            inject(rest, |fault, times| control.inject_metadata(fault, times))?;
        }
        ["refreshes"] => return Some(refreshes(control)),
        ["mcp-calls"] => return Some(mcp_calls(control)),
        ["violations"] => return Some(json!(control.violations())),
        _ => return None,
    }
    Some(json!({ "ok": true }))
}

fn inject(words: &[&str], order: impl FnOnce(Fault, u32)) -> Option<()> {
    let (fault, times) = match words {
        [fault] => (fault, 1),
        [fault, times] => (fault, times.parse().ok()?),
        _ => return None,
    };
    order(fault_named(fault)?, times);
    Some(())
}

fn fault_named(text: &str) -> Option<Fault> {
    // An address has colons of its own, so no more than three parts.
    let parts: Vec<&str> = text.splitn(3, ':').collect();
    Some(match parts.as_slice() {
        ["Error", status, code] => {
            Fault::Error { status: status.parse().ok()?, code: known_code(code)? }
        }
        ["Status", status] => Fault::Status { status: status.parse().ok()? },
        ["Status500After"] => Fault::Status500After,
        ["CutBefore"] => Fault::CutBefore,
        ["CutAfter"] => Fault::CutAfter,
        ["Html200Before"] => Fault::Html200Before,
        ["Html200After"] => Fault::Html200After,
        ["Empty200After"] => Fault::Empty200After,
        ["Truncated200After"] => Fault::Truncated200After,
        ["HalfJson200After"] => Fault::HalfJson200After,
        ["Huge200", bytes] => Fault::Huge200 { bytes: bytes.parse().ok()? },
        ["Slow", ms] => Fault::Slow { ms: ms.parse().ok()? },
        ["WrongContentType"] => Fault::WrongContentType,
        ["Redirect", status, location] => {
            Fault::Redirect { status: status.parse().ok()?, location: (*location).to_owned() }
        }
        ["RetryAfter", status, seconds] => {
            Fault::RetryAfter { status: status.parse().ok()?, seconds: seconds.parse().ok()? }
        }
        ["Hang", after] => Fault::Hang { after: after.parse().ok()? },
        _ => return None,
    })
}

/// The codes of RFC 6749 §4.1.2.1 and §5.2, RFC 8707 §2 and RFC 8628 §3.5.
fn known_code(code: &str) -> Option<&'static str> {
    [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "server_error",
        "temporarily_unavailable",
        "access_denied",
        "slow_down",
    ]
    .into_iter()
    .find(|known| *known == code)
}

fn refreshes(control: &Control) -> Value {
    let seen = control.refreshes().into_iter().map(|seen| {
        let outcome = match seen.outcome {
            Outcome::Issued => "issued".to_owned(),
            Outcome::Refused(code) => code,
            Outcome::Fault(name) => name.to_owned(),
        };
        json!({
            "user_agent": seen.user_agent,
            "refresh_token": seen.refresh_token_short_id,
            "client_id": seen.client_id,
            "outcome": outcome,
            "reuse": seen.reuse,
            "resource": seen.resource,
        })
    });
    Value::Array(seen.collect())
}

fn mcp_calls(control: &Control) -> Value {
    let seen = control.mcp_calls().into_iter().map(|seen| {
        json!({
            "user_agent": seen.user_agent,
            "method": seen.method,
            "tool": seen.tool,
            "access_token": seen.access_short_id,
            "accepted": seen.accepted,
        })
    });
    Value::Array(seen.collect())
}

#[cfg(test)]
mod tests {
    use super::{fault_named, obey};
    use lamplighter_rehearsal::{Fault, Rehearsal};

    #[test]
    fn a_fault_is_read_with_its_values() {
        let slow = fault_named("RetryAfter:429:5");
        assert_eq!(slow, Some(Fault::RetryAfter { status: 429, seconds: 5 }));
        let location = "http://127.0.0.1:1/x".to_owned();
        let redirect = fault_named("Redirect:307:http://127.0.0.1:1/x");
        assert_eq!(redirect, Some(Fault::Redirect { status: 307, location }));
        assert_eq!(fault_named("Slow"), None);
    }

    #[test]
    fn an_order_is_answered_even_if_it_is_not_understood() {
        let town = Rehearsal::builder().start_blocking().unwrap();
        assert_eq!(obey(&town.control(), "inject CutAfter 2")["ok"], true);
        assert_eq!(obey(&town.control(), "inject Sloth")["ok"], false);
        assert!(obey(&town.control(), "mint -5")["refresh_token"].is_string());
    }
}
