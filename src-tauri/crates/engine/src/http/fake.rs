//! A stand-in that answers by script and remembers what it was asked.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lamplighter_core::http::{Answer, Fault, Request};
use zeroize::Zeroizing;

use super::{Answering, Http};

/// Answers requests from a script, each line used once, in order, per URL.
#[derive(Debug, Default)]
pub struct Scripted(Mutex<Script>);

#[derive(Debug, Default)]
struct Script {
    lines: VecDeque<(String, Result<Answer, Fault>)>,
    asked: Vec<Request>,
}

impl Scripted {
    /// Nothing scripted: every request finds nobody ([`Fault::Connect`]).
    pub fn new() -> Self {
        Self::default()
    }

    /// The next request to exactly `url` that finds no earlier line ends like this.
    #[must_use]
    pub fn on(self, url: &str, outcome: Result<Answer, Fault>) -> Self {
        self.add(url, outcome);
        self
    }

    /// The same, while it is in use.
    pub fn add(&self, url: &str, outcome: Result<Answer, Fault>) {
        self.script().lines.push_back((url.into(), outcome));
    }

    /// Every request so far, in order, unscripted ones included.
    pub fn asked(&self) -> Vec<Request> {
        self.script().asked.clone()
    }

    /// How many lines have not been used.
    pub fn left(&self) -> usize {
        self.script().lines.len()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Http for Scripted {
    fn fetch<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        let mut script = self.script();
        script.asked.push(request.clone());
        let line = script.lines.iter().position(|(url, _)| *url == request.url);
        let outcome = line.and_then(|line| script.lines.remove(line));
        Box::pin(std::future::ready(outcome.map_or(Err(Fault::Connect), |(_, outcome)| outcome)))
    }
}

/// A JSON answer.
pub fn json(status: u16, body: &str) -> Answer {
    Answer {
        status,
        content_type: Some("application/json".into()),
        retry_after: None,
        challenges: Vec::new(),
        location: None,
        body: Zeroizing::new(body.as_bytes().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_core::http::Method;

    use super::*;

    fn get(url: &str) -> Request {
        Request {
            method: Method::Get,
            url: url.into(),
            headers: Vec::new(),
            body: Zeroizing::default(),
            on_behalf_of: "https://mcp.example/mcp".into(),
            follow_redirects: false,
        }
    }

    #[tokio::test]
    async fn each_line_of_the_script_is_used_once() {
        let http = Scripted::new()
            .on("https://a.example/", Ok(json(200, "{}")))
            .on("https://b.example/", Err(Fault::Cut))
            .on("https://a.example/", Ok(json(404, "")));
        let status = async |url: &str| http.fetch(&get(url)).await.map(|answer| answer.status);
        assert_eq!(status("https://b.example/").await, Err(Fault::Cut));
        assert_eq!(status("https://a.example/").await, Ok(200));
        assert_eq!(status("https://a.example/").await, Ok(404));
        assert_eq!(status("https://a.example/").await, Err(Fault::Connect));
        assert_eq!((http.asked().len(), http.left()), (4, 0));
    }
}
