//! What several parts of the tests share: a home of their own, the real Claude Code, a stand-in for
//! the model API, and `lamplighter` itself.
//!
//! It sees public interfaces only and must never touch the developer's home or any network beyond
//! loopback. Where to read next: `home`, which every test begins with.

#![expect(clippy::expect_used, reason = "helpers of tests: a step that fails is a test that fails")]

pub mod claude;
pub mod home;
mod http;
pub mod keeper;
pub mod keychain;
#[cfg(target_os = "linux")]
pub mod logind;
pub mod model_api;
pub mod peers;
pub mod program;
pub mod session;
pub mod stage;
pub mod store;
