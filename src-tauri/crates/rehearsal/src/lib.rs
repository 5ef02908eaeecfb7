//! Rehearses.
#![warn(missing_docs)]
mod fault;
mod options;
mod secrets;
