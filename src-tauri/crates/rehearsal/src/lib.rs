//! An honest authorization server and MCP server on loopback, to rehearse with.
//!
//! What it is: OAuth 2 as the RFCs have it, with the habits of real providers to choose from and
//! faults to order, and an MCP server behind it that real programs can talk to. It is what tests
//! and the demo measure against, so it keeps books honestly: what a [`Control`] reports is what
//! would have happened at a provider.
//!
//! What it must not do: depend on another lamplighter crate, listen beyond loopback, write a file,
//! or be kinder to a client than the RFCs are.
//!
//! Where to read next: [`Builder`] for what can be chosen, [`Habits`] for what real ones do besides, [`Control`] for what can be done while
//! it runs, [`Fault`] for what can go wrong, `ledger` for how tokens rotate.

#![warn(missing_docs)]

mod builder;
mod control;
mod demo;
mod dialect;
mod fault;
mod habits;
mod ledger;
mod mcp;
mod metadata;
mod options;
mod perform;
mod secrets;
mod serve;
mod sign_in;
#[cfg(test)]
mod tests;
mod token;
mod town;
mod wire;

pub use builder::{Builder, Rehearsal};
pub use control::{Control, Mint, Minted};
pub use demo::Demo;
pub use fault::Fault;
pub use habits::{Habits, NamesItself, Nothing, Offline, Registration};
pub use options::{ClientAuth, Dialect, ExpiresIn, GraceAnswer, Layout, Prm, Rotation};
pub use secrets::short_id;
pub use town::{McpSeen, Outcome, Seen};
