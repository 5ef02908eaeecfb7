//! Turns a fault into what the client gets to see.
//!
//! What it must not do: touch the town. The request was processed or not before this is asked.
//!
//! Where to read next: [`Fault`] for what each means, `wire` for the body that breaks off.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::{StatusCode, header};

use crate::dialect;
use crate::fault::Fault;
use crate::options::Options;
use crate::wire::{Call, Payload, Reply};

const PAGE: &str = "<!doctype html><title>Sign in</title><p>Please accept the terms.</p>";

/// Close the connection, answer nothing.
#[derive(Debug)]
pub(crate) struct Cut;

fn status_of(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// `right` is the answer without the fault, there if [`Fault::processes`].
pub(crate) async fn perform(
    fault: Fault,
    right: Option<Reply>,
    options: &Options,
    call: &Call,
) -> Result<Reply, Cut> {
    let right = right.unwrap_or_else(|| Reply::empty(StatusCode::INTERNAL_SERVER_ERROR));
    let html = || Reply::typed(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    let typed = |body: Bytes| Reply::typed(StatusCode::OK, "application/json", body);
    Ok(match fault {
        Fault::Error { status, code } => dialect::error(options, call, status_of(status), code),
        Fault::Status { status } => Reply::empty(status_of(status)),
        Fault::Status500After => Reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::CutBefore | Fault::CutAfter => return Err(Cut),
        Fault::Html200Before | Fault::Html200After => html(),
        Fault::Empty200After => Reply::empty(StatusCode::OK),
        Fault::Truncated200After => {
            let mut reply = typed(Bytes::new());
            reply.payload = Payload::cut_in_half(&right.payload.bytes());
            reply
        }
        Fault::HalfJson200After => {
            let body = right.payload.bytes();
            typed(body.slice(..body.len() / 2))
        }
        Fault::Huge200 { bytes } => {
            let mut reply = typed(Bytes::new());
            reply.payload = Payload::huge(bytes);
            reply
        }
        Fault::Slow { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            right
        }
        Fault::WrongContentType => {
            let mut reply = right;
            reply.headers.retain(|(name, _)| name != header::CONTENT_TYPE);
            reply.with(header::CONTENT_TYPE, "text/html; charset=utf-8")
        }
        Fault::Redirect { status, location } => {
            Reply::empty(status_of(status)).with(header::LOCATION, location)
        }
        Fault::RetryAfter { status, seconds } => {
            Reply::empty(status_of(status)).with(header::RETRY_AFTER, seconds.to_string())
        }
        Fault::Hang { .. } => std::future::pending().await,
    })
}
