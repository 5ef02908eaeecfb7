//! OAuth messages as request and answer, without IO.
//!
//! The `oauth2` crate builds what leaves; answers are read by our own lenient types, because real
//! servers differ from the RFCs in more ways than one type can say.
//!
//! Read next: [`discovery`] for where a refresh token may go, [`recorded`]
//! for what an entry said of that when its token was first seen, [`token`] for the refresh itself. A
//! sign-in goes through [`challenge`], [`discovery::SignInDiscovery`], [`registration`], [`scopes`],
//! [`preflight`], [`authorize`] and [`token`], in this order.

pub mod auth_method;
pub mod authorize;
pub mod challenge;
pub mod discovery;
pub mod fault;
pub mod metadata;
pub mod pin;
pub mod preflight;
pub mod profile;
pub mod recorded;
pub mod registration;
pub mod scopes;
pub mod token;
pub mod url;
mod wire;
