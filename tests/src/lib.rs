//! What several parts of the tests share: a home of their own, the real Claude Code, a stand-in for
//! the model API, real authorization servers, and `lamplighter` itself.
//!
//! It sees public interfaces only and must never touch the developer's home or any network beyond
//! loopback. Where to read next: `home`, which every test begins with.

#![expect(clippy::expect_used, reason = "helpers of tests: a step that fails is a test that fails")]

pub mod browser;
#[cfg(target_os = "linux")]
pub mod bus;
#[cfg(target_os = "linux")]
pub mod chromium;
pub mod claude;
pub mod conformance;
#[cfg(target_os = "linux")]
pub mod cost;
#[cfg(target_os = "linux")]
pub mod dead_disk;
pub mod desk;
#[cfg(target_os = "linux")]
pub mod desktop;
#[cfg(target_os = "linux")]
pub mod eyes;
pub mod home;
pub mod hostile;
mod http;
pub mod keeper;
pub mod keychain;
#[cfg(target_os = "linux")]
pub mod keyring;
#[cfg(target_os = "linux")]
pub mod logind;
pub mod model_api;
pub mod oidc;
pub mod peers;
#[cfg(target_os = "linux")]
pub mod process;
pub mod program;
pub mod proxy;
pub mod reconnect;
pub mod script;
pub mod server;
pub mod session;
pub mod sign_in;
pub mod stage;
pub mod store;
#[cfg(target_os = "linux")]
pub mod terminal;
mod tls;
#[cfg(target_os = "linux")]
pub mod webdriver;
