//! HTTP as the handlers see it: a whole [`Call`] in, a [`Reply`] out that may be spoilt on purpose.
//!
//! What it must not do: know OAuth. A [`Payload`] can break off, which is why it is a body of our
//! own and not a ready-made one.
//!
//! Where to read next: `serve`, which owns the connections.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::time::Sleep;
use url::form_urlencoded;

/// One request, read to its end.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether it came in on the second listener.
    pub(crate) elsewhere: bool,
}

pub(crate) fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
}

/// The value of a parameter that may come once. An empty one counts as left out (RFC 6749 §3.1).
pub(crate) fn one<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
}

impl Call {
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn user_agent(&self) -> String {
        self.header(header::USER_AGENT).unwrap_or_default().to_owned()
    }

    /// Without parameters, in lower case.
    pub(crate) fn content_type(&self) -> String {
        let whole = self.header(header::CONTENT_TYPE).unwrap_or_default();
        whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The rest of `Authorization` after this scheme, which is case-insensitive (RFC 9110 §11.1).
    pub(crate) fn authorization(&self, scheme: &str) -> Option<&str> {
        let (found, rest) = self.header(header::AUTHORIZATION)?.split_once(' ')?;
        found.eq_ignore_ascii_case(scheme).then(|| rest.trim())
    }

    /// User and password of HTTP Basic, form-decoded as RFC 6749 §2.3.1 asks.
    pub(crate) fn basic(&self) -> Option<(String, String)> {
        let text = String::from_utf8(STANDARD.decode(self.authorization("basic")?).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        let plain = |s: &str| {
            let pair = format!("v={s}");
            pairs(pair.as_bytes()).into_iter().next().map(|(_, v)| v).unwrap_or_default()
        };
        Some((plain(user), plain(password)))
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) payload: Payload,
}

impl Reply {
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), payload: Payload::whole(Bytes::new()) }
    }

    pub(crate) fn typed(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Self {
        let mut reply = Self::empty(status).with(header::CONTENT_TYPE, kind);
        reply.payload = Payload::whole(body.into());
        reply
    }

    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        Self::typed(status, "application/json", value.to_string())
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// RFC 6749 §5.1: an answer that carries tokens must not be stored.
    pub(crate) fn unstored(self) -> Self {
        self.with(header::CACHE_CONTROL, "no-store").with(header::PRAGMA, "no-cache")
    }

    pub(crate) fn into_response(self) -> Response<Payload> {
        let mut response = Response::new(self.payload);
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// A body that can be shorter than it promises, or long without being held in memory.
#[derive(Debug)]
pub(crate) struct Payload {
    head: Bytes,
    padding: u64,
    tail: Bytes,
    /// Promised beyond what is sent; not zero means that the connection breaks off.
    missing: u64,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Payload {
    pub(crate) fn whole(body: Bytes) -> Self {
        Self { head: body, padding: 0, tail: Bytes::new(), missing: 0, pause: None }
    }

    /// Half of it, under the length of the whole.
    pub(crate) fn cut_in_half(body: &Bytes) -> Self {
        let half = body.len() / 2;
        let mut payload = Self::whole(body.slice(..half));
        payload.missing = (body.len() - half) as u64;
        payload
    }

    /// JSON with one text of this length.
    pub(crate) fn huge(bytes: u64) -> Self {
        let mut payload = Self::whole(Bytes::from_static(b"{\"padding\":\""));
        payload.padding = bytes;
        payload.tail = Bytes::from_static(b"\"}");
        payload
    }

    /// What it would send in full, as long as nothing was sent.
    pub(crate) fn bytes(&self) -> Bytes {
        self.head.clone()
    }

    fn left(&self) -> u64 {
        self.head.len() as u64 + self.padding + self.tail.len() as u64 + self.missing
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        const CHUNK: &[u8] = &[b'x'; 32 * 1024];
        if !self.head.is_empty() {
            let head = std::mem::take(&mut self.head);
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        if self.padding > 0 {
            let size = usize::try_from(self.padding).unwrap_or(usize::MAX).min(CHUNK.len());
            self.padding -= size as u64;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK[..size])))));
        }
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            return Poll::Ready(Some(Ok(Frame::data(tail))));
        }
        if self.missing == 0 {
            return Poll::Ready(None);
        }
        // What was handed over is flushed only while the body waits, and it should arrive.
        let pause = self
            .pause
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(50))));
        match pause.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Some(Err(io::Error::other("cut on purpose")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}
