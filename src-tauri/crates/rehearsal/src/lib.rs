//! Rehearses.
#![warn(missing_docs)]
mod dialect;
mod fault;
mod ledger;
mod options;
mod secrets;
mod token;
mod town;
mod wire;
pub use fault::Fault;
pub use secrets::short_id;
pub use town::Outcome;
