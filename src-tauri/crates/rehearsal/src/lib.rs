//! Rehearses.
#![warn(missing_docs)]
mod dialect;
mod fault;
mod ledger;
mod mcp;
mod metadata;
mod options;
mod perform;
mod secrets;
mod sign_in;
mod token;
mod town;
mod wire;
pub use fault::Fault;
pub use secrets::short_id;
pub use town::Outcome;
