//! The MCP server: Streamable HTTP without sessions, with two harmless tools.
//!
//! What it must not do: look at anything before the access token is found good, or remember
//! anything but who called.
//!
//! Where to read next: the MCP specification, "Transports" and "Authorization".

use hyper::{Method, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use crate::metadata::prm_path;
use crate::secrets::{now_ms, short_id};
use crate::town::{McpSeen, Town};
use crate::wire::{self, Call, Reply};

const VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
const NEWEST: &str = "2025-11-25";

pub(crate) fn mcp(town: &mut Town, call: &Call, process: bool) -> Option<Reply> {
    let token = call.authorization("bearer");
    let accepted = process && token.is_some_and(|t| town.ledger.access_live(t, now_ms()));
    let message = serde_json::from_slice::<Value>(&call.body);
    let message_ref = message.as_ref().unwrap_or(&Value::Null);
    if call.method == Method::POST {
        let batch = message_ref.as_array().map(Vec::as_slice);
        for one in batch.unwrap_or(std::slice::from_ref(message_ref)) {
            town.mcp_calls.push(McpSeen {
                user_agent: call.user_agent(),
                method: one["method"].as_str().unwrap_or_default().to_owned(),
                tool: (one["method"] == "tools/call")
                    .then(|| one["params"]["name"].as_str().unwrap_or_default().to_owned()),
                access_short_id: token.map(short_id).unwrap_or_default(),
                accepted,
            });
        }
    }
    if !process {
        return None;
    }
    // A page in a browser that reaches loopback by a rebound name has a foreign origin.
    if call.header(header::ORIGIN).is_some_and(|origin| !is_loopback(origin)) {
        return Some(Reply::empty(StatusCode::FORBIDDEN));
    }
    if !accepted {
        return Some(unauthorized(town, token.is_some()));
    }
    Some(match call.method {
        Method::POST => match message {
            Ok(message) => post(message),
            Err(_) => {
                Reply::json(StatusCode::BAD_REQUEST, &failure(&Value::Null, -32700, "Parse error"))
            }
        },
        Method::DELETE => Reply::empty(StatusCode::OK),
        // No stream of its own to offer: the specification wants 405 then.
        _ => Reply::empty(StatusCode::METHOD_NOT_ALLOWED).with(header::ALLOW, "POST, DELETE"),
    })
}

fn is_loopback(origin: &str) -> bool {
    Url::parse(origin)
        .is_ok_and(|u| matches!(u.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")))
}

/// RFC 6750 §3 and RFC 9728 §5.1.
fn unauthorized(town: &Town, had_token: bool) -> Reply {
    let mut parts = Vec::new();
    if had_token {
        parts.push("error=\"invalid_token\"".to_owned());
        parts.push("error_description=\"The access token is not live\"".to_owned());
    }
    if let Some(path) = prm_path(town) {
        parts.push(format!("resource_metadata=\"{}{path}\"", town.origin));
    }
    let challenge = format!("Bearer {}", parts.join(", "));
    Reply::json(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_token" }))
        .with(header::WWW_AUTHENTICATE, challenge.trim_end())
}

/// A token in the address ends up in logs (RFC 6750 §2.3, RFC 9700 §4.3.2).
pub(crate) fn check_query(town: &mut Town, call: &Call) {
    for name in ["access_token", "refresh_token", "client_secret", "token"] {
        if wire::one(&call.query, name).is_some() {
            town.violation(format!("a token in a query: {name} on {}", call.path));
        }
    }
}

fn post(message: Value) -> Reply {
    // Batches were part of 2025-03-26 only, yet a server of that version had to take them.
    let answer = if let Value::Array(batch) = message {
        let answers: Vec<Value> = batch.iter().filter_map(answer).collect();
        (!answers.is_empty()).then_some(Value::Array(answers))
    } else {
        answer(&message)
    };
    match answer {
        Some(answer) => Reply::json(StatusCode::OK, &answer),
        None => Reply::empty(StatusCode::ACCEPTED),
    }
}

/// `None` for what needs no answer: notifications and responses.
fn answer(message: &Value) -> Option<Value> {
    let id = &message["id"];
    let Some(method) = message["method"].as_str() else {
        let response = message.get("result").or_else(|| message.get("error")).is_some();
        return (!response).then(|| failure(id, -32600, "Invalid Request"));
    };
    if id.is_null() {
        return None;
    }
    let params = &message["params"];
    let result = match method {
        "initialize" => json!({
            "protocolVersion": version(params["protocolVersion"].as_str()),
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "lamplighter-rehearsal", "version": env!("CARGO_PKG_VERSION") },
        }),
        "ping" => json!({}),
        "tools/list" => json!({ "tools": tools() }),
        "tools/call" => match call_tool(params) {
            Ok(text) => json!({ "content": [{ "type": "text", "text": text }], "isError": false }),
            Err(why) => return Some(failure(id, -32602, why)),
        },
        _ => return Some(failure(id, -32601, "Method not found")),
    };
    Some(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

fn failure(id: &Value, code: i32, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

fn version(asked: Option<&str>) -> &str {
    asked.filter(|asked| VERSIONS.contains(asked)).unwrap_or(NEWEST)
}

fn tools() -> Value {
    json!([
        {
            "name": "lamp_echo",
            "description": "Gives back the text it is given.",
            "inputSchema": {
                "type": "object",
                "properties": { "text": { "type": "string", "description": "Any text" } },
                "required": ["text"],
            },
        },
        {
            "name": "lamp_time",
            "description": "Tells the time in milliseconds since 1970.",
            "inputSchema": { "type": "object", "properties": {} },
        },
    ])
}

fn call_tool(params: &Value) -> Result<String, &'static str> {
    match params["name"].as_str() {
        Some("lamp_echo") => {
            params["arguments"]["text"].as_str().map(str::to_owned).ok_or("text is missing")
        }
        Some("lamp_time") => Ok(now_ms().to_string()),
        _ => Err("Unknown tool"),
    }
}
