//! OAuth messages as request and answer, without IO.

pub mod discovery;
