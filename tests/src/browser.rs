//! A browser without a person: it asks for a page on loopback and says what came.
//!
//! It keeps no cookies and follows nothing by itself. Where to read next: `reconnect`, which walks a
//! sign-in with it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The status code.
    pub status: u16,
    /// `Location`.
    pub location: Option<String>,
    /// Every header, a line each.
    pub headers: String,
    /// The page.
    pub body: String,
}

/// Asks for `http://HOST:PORT/PATH`.
pub fn visit(url: &str) -> Visit {
    let mut stream = ask(url);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    let location = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
    });
    Visit { status, location, headers: head.to_owned(), body: body.to_owned() }
}

/// The authorization page that a one-time address leads to; an opener is given only that address.
///
/// The address leads there once: ask for it a single time.
pub fn led_by(address: &str) -> String {
    let lead = visit(address);
    lead.location.unwrap_or_else(|| panic!("{address} leads nowhere: {}", lead.status))
}

/// Asks, and leaves the answer to come or not: the tab is open for as long as this is held.
pub fn ask(url: &str) -> TcpStream {
    let rest = url.strip_prefix("http://").expect("a page on loopback");
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(authority).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("asked");
    stream
}
