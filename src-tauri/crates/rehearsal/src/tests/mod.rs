//! Tests through a raw TCP client, so that what is seen is what went over the wire.
//!
//! Where to read next: `faults` for each fault, `habits` for the providers, `rotation` for each way to rotate, `doors` for
//! sign-in, discovery, MCP and the ports themselves.

mod doors;
mod faults;
mod habits;
mod rotation;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::{Control, Mint, Minted, Rehearsal};

/// One answer as it arrived; `broken` when the connection ended before the body did.
struct Answer {
    status: u16,
    head: String,
    body: String,
    broken: bool,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// `None` when the connection closed without a byte.
fn send(origin: &str, head: &str, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(origin.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!(
        "{head}\r\nHost: x\r\nUser-Agent: raw/1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // A reset after part of the answer is one of the things looked for.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut answer = Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
        broken: false,
    };
    let length = answer.header("content-length").and_then(|l| l.parse().ok());
    answer.broken = length.is_some_and(|length: usize| length != body.len());
    Some(answer)
}

fn get(origin: &str, path: &str) -> Answer {
    send(origin, &format!("GET {path} HTTP/1.1"), "").unwrap()
}

fn form(origin: &str, path: &str, body: &str) -> Option<Answer> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Accept: application/json"
    );
    send(origin, &head, body)
}

fn refresh_body(town: &Rehearsal, grant: &Minted, token: &str) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token")
        .append_pair("client_id", &grant.client_id)
        .append_pair("refresh_token", token)
        .append_pair("resource", &town.mcp_url());
    form.finish()
}

fn try_refresh(town: &Rehearsal, grant: &Minted, token: &str) -> Option<Answer> {
    form(&town.origin(), "/token", &refresh_body(town, grant, token))
}

fn refresh(town: &Rehearsal, grant: &Minted, token: &str) -> Answer {
    try_refresh(town, grant, token).unwrap()
}

/// The access and refresh token of an answer.
fn tokens(answer: &Answer) -> (String, String) {
    let json = answer.json();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

fn mcp(town: &Rehearsal, access: &str, body: &str) -> Answer {
    let head = format!(
        "POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {access}"
    );
    send(&town.origin(), &head, body).unwrap()
}

fn minted(builder: crate::Builder) -> (Rehearsal, Control, Minted) {
    let town = builder.start_blocking().unwrap();
    let control = town.control();
    let grant = control.mint(Mint::default());
    (town, control, grant)
}
