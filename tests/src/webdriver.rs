//! What a person does in a page, by `WebDriver`: looks, clicks, types.
//!
//! It must not know what the page is for, nor which browser shows it. Every step waits until it can
//! be done. Where to read next: `chromium`; the W3C's `WebDriver` for the words.

use std::{
    fmt::Write as _,
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::process::Process;

/// Longer than the slowest page on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The member of an element's object that names it.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser's page under control; let go when dropped.
#[derive(Debug)]
pub struct WebDriver {
    port: u16,
    session: String,
    _program: Process,
}

impl WebDriver {
    /// Begins a session with a driver that listens on this port.
    pub(crate) fn begin(program: Process, port: u16, capabilities: &Value) -> Self {
        let mut driver = Self { port, session: String::new(), _program: program };
        let wanted = json!({"capabilities": {"alwaysMatch": capabilities}});
        let begun = driver.send("POST", "", Some(&wanted));
        let begun = begun.unwrap_or_else(|why| panic!("no session: {why}"));
        let session = begun["sessionId"].as_str().expect("a session's name");
        driver.session = format!("/{session}");
        driver
    }

    /// The address of the page.
    pub fn url(&self) -> String {
        let url = self.must("GET", "/url", None);
        url.as_str().unwrap_or_default().to_owned()
    }

    /// Goes to a page, and does not wait for it.
    pub fn open(&self, url: &str) {
        self.must("POST", "/url", Some(&json!({"url": url})));
    }

    /// Presses what this selector finds first.
    pub fn click(&self, selector: &str) {
        self.until(&format!("{selector} can be clicked"), || {
            let element = self.element(selector)?;
            self.send("POST", &format!("/element/{element}/click"), Some(&json!({})))
        });
    }

    /// Types into what this selector finds first.
    pub fn fill(&self, selector: &str, text: &str) {
        self.until(&format!("{selector} can be filled in"), || {
            let element = self.element(selector)?;
            let typed = json!({"text": text});
            self.send("POST", &format!("/element/{element}/value"), Some(&typed))
        });
    }

    /// Presses keys where the focus is; `WebDriver`'s own characters stand for those without a letter.
    pub fn press(&self, keys: &str) {
        self.keys(keys).unwrap_or_else(|why| panic!("{keys:?}: {why}"));
    }

    /// Presses keys of which the last takes the page away: it may be gone before that comes up again.
    pub fn press_away(&self, keys: &str) {
        drop(self.keys(keys));
    }

    fn keys(&self, keys: &str) -> Result<Value, String> {
        let mut actions = Vec::new();
        for key in keys.chars() {
            actions.push(json!({"type": "keyDown", "value": key}));
            actions.push(json!({"type": "keyUp", "value": key}));
        }
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.send("POST", "/actions", Some(&json!({"actions": [keyboard]})))
    }

    /// Holds keys down together, and lets them go.
    pub fn press_together(&self, keys: &str) {
        let down = keys.chars().map(|key| json!({"type": "keyDown", "value": key}));
        let up = keys.chars().rev().map(|key| json!({"type": "keyUp", "value": key}));
        let actions: Vec<Value> = down.chain(up).collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.must("POST", "/actions", Some(&json!({"actions": [keyboard]})));
    }

    /// What is to be read in what this selector finds first, once there is such a thing.
    pub fn text(&self, selector: &str) -> String {
        let text = self.until(&format!("{selector} is there"), || {
            let element = self.element(selector)?;
            self.send("GET", &format!("/element/{element}/text"), None)
        });
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until these words are to be read in what this selector finds first.
    pub fn until_says(&self, selector: &str, words: &str) {
        self.until(&format!("{selector} says {words:?}"), || {
            let element = self.element(selector)?;
            let text = self.send("GET", &format!("/element/{element}/text"), None)?;
            let text = text.as_str().unwrap_or_default();
            if text.contains(words) { Ok(()) } else { Err(format!("it says {text:?}")) }
        });
    }

    /// Whether this selector finds anything now.
    pub fn has(&self, selector: &str) -> bool {
        self.element(selector).is_ok()
    }

    /// What a function's body returns in the page; a promise is waited for.
    pub fn script(&self, body: &str, arguments: &[Value]) -> Value {
        self.must("POST", "/execute/sync", Some(&json!({"script": body, "args": arguments})))
    }

    /// The same where the page may be on its way to another.
    pub(crate) fn try_script(&self, body: &str) -> Result<Value, String> {
        let script = json!({"script": body, "args": []});
        self.send("POST", "/execute/sync", Some(&script))
    }

    /// Turns to the tab or window of which this holds, once there is one.
    pub fn turn_to(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        self.until(&format!("{what} is open"), || {
            let windows = self.send("GET", "/window/handles", None)?;
            for window in windows.as_array().into_iter().flatten() {
                // One that was closed meanwhile is not the one.
                let turned = self.send("POST", "/window", Some(&json!({"handle": window})));
                if turned.is_ok() && holds(self) {
                    return Ok(());
                }
            }
            Err(format!("{windows}"))
        });
    }

    /// A picture of the page. Measured: `WebKit` never answers where `WEBKIT_DISABLE_DMABUF_RENDERER`
    /// is set; there `Desktop::screenshot` still shows all.
    pub fn screenshot(&self, file: &Path) {
        let picture = self.must("GET", "/screenshot", None);
        let bytes = STANDARD.decode(picture.as_str().unwrap_or_default()).expect("base64");
        fs::write(file, bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }

    /// Tries again and again; the test ends with the last reason if it never works.
    pub fn until<T>(&self, what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match attempt() {
                Ok(done) => return done,
                Err(why) if Instant::now() >= deadline => {
                    panic!("waited in vain until {what}: {why}; at {:?}", self.page())
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// What a person would see, in words.
    fn page(&self) -> String {
        let text = json!({"args": [], "script": "return document.body.innerText"});
        let mut said = String::new();
        for told in
            [self.send("GET", "/url", None), self.send("POST", "/execute/sync", Some(&text))]
        {
            let _ = write!(said, "{} ", told.unwrap_or_else(Value::String));
        }
        said
    }

    fn element(&self, selector: &str) -> Result<String, String> {
        let by = json!({"using": "css selector", "value": selector});
        let found = self.send("POST", "/element", Some(&by))?;
        found[ELEMENT].as_str().map(str::to_owned).ok_or_else(|| format!("{found}"))
    }

    fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.send(method, path, body).unwrap_or_else(|why| panic!("{method} {path}: {why}"))
    }

    /// The value of the answer, or what went wrong in the driver's words.
    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let path = format!("/session{}{path}", self.session);
        let answer = exchange(self.port, method, &path, body).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|e| e.to_string())?;
        let value = answer["value"].take();
        match (value["error"].as_str(), value["message"].as_str()) {
            (Some(error), message) => Err(format!("{error}: {}", message.unwrap_or_default())),
            (None, _) => Ok(value),
        }
    }
}

impl Drop for WebDriver {
    fn drop(&mut self) {
        // A driver that has gone has let go.
        drop(self.send("DELETE", "", None));
    }
}

/// One request to a driver on loopback; the body of its answer.
fn exchange(port: u16, method: &str, path: &str, body: Option<&Value>) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    // Some drivers leave the connection open whatever they are told.
    let mut answer = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if answer.read_line(&mut line)? == 0 {
            return Err(io::Error::other("an answer without an end"));
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    Ok(body)
}
