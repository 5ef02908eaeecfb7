//! A loopback stand-in for the model API that Claude Code talks to. It obeys a script instead of
//! thinking, and remembers which tools every request offered it.
//!
//! The script: a user message `call TOOL {json}` is answered by a use of TOOL if the request offers
//! it; the result of a tool is answered by a text that holds it; anything else by a plain text.
//!
//! It must not guess: a tool that was not offered is never used, and the answer says so.
//! Where to read next: `claude`, which runs the client.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use crate::http;

/// The stand-in; it ends when dropped.
#[derive(Debug)]
pub struct ModelApi {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// One request for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The names of the tools it offered, in its order.
    pub tools: Vec<String>,
    /// The text the script saw: the last line a person said, or the result of a tool.
    pub said: String,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    /// Requests for something this stand-in has no answer for, as `METHOD /path`.
    strange: Mutex<Vec<String>>,
    answers: AtomicUsize,
    stopped: AtomicBool,
}

/// What the model does next.
enum Reply {
    Say(String),
    Use { tool: String, input: Value },
}

impl ModelApi {
    /// Starts it on a free port of the loopback interface.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::<Shared>::default();
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ours.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let ours = Arc::clone(&ours);
                // A client that hangs up in the middle is the client's business.
                thread::spawn(move || drop(serve(&stream, &ours)));
            }
        });
        Self { address, shared }
    }

    /// What `ANTHROPIC_BASE_URL` must say.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request for a message so far, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// Requests that had no answer here; for finding out what a new version asks for.
    pub fn strange(&self) -> Vec<String> {
        lock(&self.shared.strange).clone()
    }

    /// Forgets what was asked, so that the next session stands alone.
    pub fn forget(&self) {
        lock(&self.shared.asked).clear();
    }
}

impl Drop for ModelApi {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees the flag.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let Some(request) = http::read(stream)? else { return Ok(()) };
    let json = "application/json";
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/v1/messages") => {
            let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let tools = offered(&asked);
            let (said, reply) = script(&asked, &tools);
            lock(&shared.asked).push(Asked { tools, said });
            // No two answers may share an id: the client joins those that do into one message.
            let serial = shared.answers.fetch_add(1, Ordering::Relaxed);
            if asked["stream"] == json!(true) {
                let events = events(&asked, &reply, serial);
                http::answer(stream, "200 OK", "text/event-stream", &events)
            } else {
                http::answer(stream, "200 OK", json, &message(&asked, &reply, serial).to_string())
            }
        }
        ("POST", "/v1/messages/count_tokens") => {
            http::answer(stream, "200 OK", json, &json!({"input_tokens": 100}).to_string())
        }
        // The client looks whether the place answers at all.
        ("HEAD", _) | ("GET", "/") => http::answer(stream, "200 OK", json, ""),
        (method, path) => {
            lock(&shared.strange).push(format!("{method} {path}"));
            let error = json!({"type": "error", "error": {"type": "not_found_error", "message": "not here"}});
            http::answer(stream, "404 Not Found", json, &error.to_string())
        }
    }
}

fn offered(asked: &Value) -> Vec<String> {
    let tools = asked["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    tools.iter().filter_map(|tool| tool["name"].as_str()).map(String::from).collect()
}

/// What was said since the model last spoke, and what to do about it.
///
/// The client puts reminders of its own before, between and after what the person said.
fn script(asked: &Value, tools: &[String]) -> (String, Reply) {
    let messages = asked["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let spoke = messages.iter().rposition(|message| message["role"] == "assistant");
    let since = &messages[spoke.map_or(0, |at| at + 1)..];
    let blocks: Vec<Value> = since
        .iter()
        .filter(|message| message["role"] == "user")
        .flat_map(|message| blocks_of(&message["content"]))
        .collect();
    if let Some(result) = blocks.iter().rfind(|block| block["type"] == "tool_result") {
        let text = text_of(&result["content"]);
        let reply = Reply::Say(format!("The tool said: {text}"));
        return (text, reply);
    }
    let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    let Some(call) = texts.iter().rev().find_map(|text| text.trim().strip_prefix("call ")) else {
        let said = texts.last().copied().unwrap_or_default();
        return (said.into(), Reply::Say(String::from("Hello.")));
    };
    let (tool, input) = call.split_once(' ').unwrap_or((call, "{}"));
    let reply = if tools.iter().any(|offered| offered == tool) {
        Reply::Use { tool: tool.into(), input: serde_json::from_str(input).unwrap_or_default() }
    } else {
        Reply::Say(format!("{tool} is not offered"))
    };
    (format!("call {call}"), reply)
}

fn blocks_of(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn text_of(content: &Value) -> String {
    let blocks = blocks_of(content);
    let texts = blocks.iter().filter_map(|block| block["text"].as_str());
    texts.collect::<Vec<_>>().join("\n")
}

fn message(asked: &Value, reply: &Reply, serial: usize) -> Value {
    let (block, stop) = match reply {
        Reply::Say(text) => (json!({"type": "text", "text": text}), "end_turn"),
        Reply::Use { tool, input } => (
            json!({"type": "tool_use", "id": format!("toolu_rehearsed_{serial}"), "name": tool, "input": input}),
            "tool_use",
        ),
    };
    json!({
        "id": format!("msg_rehearsed_{serial}"), "type": "message", "role": "assistant", "model": asked["model"],
        "content": [block], "stop_reason": stop, "stop_sequence": null,
        "usage": {"input_tokens": 100, "output_tokens": 10},
    })
}

/// The same message as the stream of events that a client asks for.
fn events(asked: &Value, reply: &Reply, serial: usize) -> String {
    let whole = message(asked, reply, serial);
    let mut start = whole.clone();
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    let (block, delta) = match reply {
        Reply::Say(text) => {
            (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": text}))
        }
        Reply::Use { tool, input } => (
            json!({"type": "tool_use", "id": format!("toolu_rehearsed_{serial}"), "name": tool, "input": {}}),
            json!({"type": "input_json_delta", "partial_json": input.to_string()}),
        ),
    };
    let events = [
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta",
            "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": null},
            "usage": {"output_tokens": 10},
        }),
        json!({"type": "message_stop"}),
    ];
    let lines = events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("")));
    lines.collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
