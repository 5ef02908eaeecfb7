//! Acts for `lamplighter-core`: carries its effects out and tells it what happened.
//!
//! What it must not do: decide. Whether, when and with what a token is renewed is core's; here are
//! files, locks, HTTP, the keyring and the one loop that joins them. It knows no Tauri.
//!
//! Where to read next: [`stores`] for what belongs to other programs.

mod accept;
mod bounded;
pub mod browser;
pub mod changes;
pub mod children;
pub mod clock;
pub mod core_dumps;
mod deadline;
pub mod desk;
#[cfg(all(unix, not(target_os = "macos")))]
pub mod desktop_entries;
pub mod doctor;
pub mod document;
pub mod driver;
mod files;
mod gzip;
pub mod history;
pub mod home;
pub mod http;
pub mod identity;
pub mod journal;
pub mod keyring;
pub mod leave;
pub mod limits;
pub mod link;
pub mod lock;
#[cfg(all(unix, not(target_os = "macos")))]
pub mod notifications;
pub mod on_change;
pub mod open;
pub mod output;
#[cfg(all(unix, not(target_os = "macos")))]
pub mod panel;
pub mod paths;
pub mod presence;
pub mod probe;
pub mod reader;
pub mod redirect;
mod regular_file;
pub mod runtime;
pub mod seal;
pub mod service;
pub mod settings;
pub mod socket;
pub mod state;
pub mod stop;
pub mod stores;
#[cfg(test)]
mod testing;
pub mod traces;
pub mod wake;
pub mod watch;
