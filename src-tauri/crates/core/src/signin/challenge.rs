//! The first request of a sign-in: what MCP clients send without a token, to be refused.

use alloc::{format, vec::Vec};

use zeroize::Zeroizing;

use crate::http::{Method, Request};

/// The revision of MCP that a greeting speaks.
const WITH_SESSIONS: &str = "2025-11-25";
/// The first revision without sessions.
const WITHOUT_SESSIONS: &str = "2026-07-28";

/// What is asked without a token, to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    Initialize,
    /// In the form of the revision without sessions (2026-07-28): its servers know no greeting, and
    /// others greet anybody and ask only then who it is.
    ListTools,
}

/// What MCP clients send first, without a token: its refusal says where to sign in.
pub(super) fn challenge_request(server_url: &str, opener: Opener) -> Request {
    let header = |name: &str, value: &str| (name.into(), Zeroizing::new(value.into()));
    let info = concat!(r#"{"name":"lamplighter","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
    let (method, revision, params) = match opener {
        Opener::Initialize => (
            "initialize",
            WITH_SESSIONS,
            format!(
                r#"{{"protocolVersion":"{WITH_SESSIONS}","capabilities":{{}},"clientInfo":{info}}}"#
            ),
        ),
        Opener::ListTools => (
            "tools/list",
            WITHOUT_SESSIONS,
            format!(
                r#"{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{WITHOUT_SESSIONS}","io.modelcontextprotocol/clientInfo":{info},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}"#
            ),
        ),
    };
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    Request {
        method: Method::Post,
        url: server_url.into(),
        headers: Vec::from([
            header("accept", "application/json, text/event-stream"),
            header("content-type", "application/json"),
            header("mcp-protocol-version", revision),
            header("mcp-method", method),
        ]),
        body: Zeroizing::new(body.into_bytes()),
        on_behalf_of: server_url.into(),
        follow_redirects: false,
    }
}
