//! OAuth messages as request and answer, without IO.
//!
//! The `oauth2` crate builds what leaves; answers are read by our own lenient types, because real
//! servers differ from the RFCs in more ways than one type can say.
//!
//! Read next: [`discovery`] for where a refresh token may go, [`token`] for the refresh itself.

pub mod discovery;
pub mod token;
mod wire;
