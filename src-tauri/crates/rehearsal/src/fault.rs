//! The ways in which a server can fail its client, and the queue of those still to happen.
//!
//! What it is: a closed list of [`Fault`]s, each with one exact meaning on the wire, and whether
//! the request is processed first. That difference is the whole point: a refresh token that was
//! spent without the client learning the new one is the worst case a client can meet.
//!
//! What it must not do: change the ledger. A fault only replaces or withholds an answer.
//!
//! Where to read next: `perform` turns a fault into bytes; `token` decides what "processed" means.

use std::collections::VecDeque;

/// One way to fail a request. "Processed" means the tokens were rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An OAuth error with this status and code. Not processed.
    Error {
        /// The HTTP status.
        status: u16,
        /// The value of `error`.
        code: &'static str,
    },
    /// This status with an empty body. Not processed.
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// Processed, then 500 with no tokens in it.
    Status500After,
    /// The connection is closed without an answer. Not processed.
    CutBefore,
    /// Processed, then the connection is closed without an answer.
    CutAfter,
    /// 200 with an HTML page, as from a captive portal. Not processed.
    Html200Before,
    /// Processed, then 200 with an HTML page.
    Html200After,
    /// Processed, then 200 with no body.
    Empty200After,
    /// Processed, then half of the announced `Content-Length`, then the connection is closed.
    Truncated200After,
    /// Processed, then half of the JSON as if it were the whole body (framing is right).
    HalfJson200After,
    /// 200 with a JSON body of at least this many bytes. Not processed.
    Huge200 {
        /// How many bytes.
        bytes: u64,
    },
    /// Processed at once; the right answer comes after this time.
    Slow {
        /// How many milliseconds.
        ms: u64,
    },
    /// Processed; the right body, but named `text/html`.
    WrongContentType,
    /// A redirect. Not processed.
    Redirect {
        /// The HTTP status, 301 to 308.
        status: u16,
        /// Where to.
        location: String,
    },
    /// This status with `Retry-After`. Not processed.
    RetryAfter {
        /// The HTTP status, 429 or 503 as a rule.
        status: u16,
        /// The value of `Retry-After`.
        seconds: u64,
    },
    /// No answer until the server stops.
    Hang {
        /// Whether the request is processed before hanging.
        after: bool,
    },
}

impl Fault {
    /// The name of the variant, as [`crate::Outcome::Fault`] reports it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Error { .. } => "Error",
            Self::Status { .. } => "Status",
            Self::Status500After => "Status500After",
            Self::CutBefore => "CutBefore",
            Self::CutAfter => "CutAfter",
            Self::Html200Before => "Html200Before",
            Self::Html200After => "Html200After",
            Self::Empty200After => "Empty200After",
            Self::Truncated200After => "Truncated200After",
            Self::HalfJson200After => "HalfJson200After",
            Self::Huge200 { .. } => "Huge200",
            Self::Slow { .. } => "Slow",
            Self::WrongContentType => "WrongContentType",
            Self::Redirect { .. } => "Redirect",
            Self::RetryAfter { .. } => "RetryAfter",
            Self::Hang { .. } => "Hang",
        }
    }

    /// Whether the request takes effect although the answer is spoilt.
    pub fn processes(&self) -> bool {
        match self {
            Self::Status500After
            | Self::CutAfter
            | Self::Html200After
            | Self::Empty200After
            | Self::Truncated200After
            | Self::HalfJson200After
            | Self::Slow { .. }
            | Self::WrongContentType => true,
            Self::Hang { after } => *after,
            Self::Error { .. }
            | Self::Status { .. }
            | Self::CutBefore
            | Self::Html200Before
            | Self::Huge200 { .. }
            | Self::Redirect { .. }
            | Self::RetryAfter { .. } => false,
        }
    }
}

/// Faults still to happen, in the order they were injected.
#[derive(Debug, Default)]
pub(crate) struct Queue(VecDeque<(Fault, u32)>);

impl Queue {
    pub(crate) fn push(&mut self, fault: Fault, times: u32) {
        if times > 0 {
            self.0.push_back((fault, times));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn take(&mut self) -> Option<Fault> {
        let (fault, left) = self.0.front_mut()?;
        let fault = fault.clone();
        *left -= 1;
        if *left == 0 {
            self.0.pop_front();
        }
        Some(fault)
    }
}
