//! Carries core's HTTP requests: one small trait, one client behind it, one scripted stand-in.
//!
//! It must not decide what an answer means, follow a redirect with a token in hand, or log a body, a
//! header or a query. What it does decide, because only it can see them, are addresses: HTTPS only
//! (plain HTTP on loopback), and no private address unless the MCP server itself has one.
//!
//! Read next: `address` (which addresses are allowed), `client` (the real one), [`fake`].

mod address;
mod client;
pub mod fake;
mod network;

use std::{future::Future, pin::Pin};

use lamplighter_core::http::{Answer, Fault, Request};

pub use address::{LookingUp, Names, SystemNames};
pub use client::{Client, Limits};
pub use network::{Network, NetworkFault, ProxyChoice};

/// An answer on its way.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send + 'a>>;

/// Carries requests.
///
/// Contract: [`Fault::Dns`], [`Fault::Connect`], [`Fault::Tls`], [`Fault::Forbidden`] and
/// [`Fault::PrivateAddress`] only where certainly no byte of the request left; [`Fault::Cut`] and
/// [`Fault::Timeout`] wherever one may have. Dropping the future may cut an answer off: a caller that presents a token spawns it and
/// waits.
pub trait Http: Send + Sync {
    /// Sends the request and reads the whole answer. Of a POST that succeeded, also what came before the
    /// connection broke or the time was over, where that can be told from a whole answer: it may hold new
    /// tokens.
    fn fetch<'a>(&'a self, request: &'a Request) -> Answering<'a>;
}
