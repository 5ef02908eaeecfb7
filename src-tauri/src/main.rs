//! Lamplighter's tray: shows what the engine knows and hands on what a person wants.
//!
//! It translates and decides nothing. What is shown is made by `lamplighter_core::desk`, what a
//! click does is in `lamplighter_engine::desk`; here they meet tauri.
//!
//! Read next: [`shell`] for the desktop as the engine's actor sees it, [`tray`] and [`page`] for the
//! two things a person sees.

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod commands;
mod demo;
mod desktop;
#[cfg(target_os = "linux")]
mod display;
mod end;
mod notices;
mod page;
mod shell;
mod start;
mod tray;

use std::process::ExitCode;

use lamplighter_engine::{core_dumps, output};

fn main() -> ExitCode {
    core_dumps::forbid();
    let code = match start::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            output::err().line(format!("lamplighter-tray: {why:#}"));
            ExitCode::FAILURE
        }
    };
    output::err().flush(Some(output::BRIEFLY));
    code
}
