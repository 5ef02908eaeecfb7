//! `cargo xtask demo`: what Lamplighter does, on a stage of its own.
//!
//! It must not read or write anything of the person who runs it, nor leave anything behind.
//! Where to read next: `town`.

use anyhow::Result;

use crate::cargo::{self, Programs};
use crate::town::{Home, Town};

/// The sign-ins of the demo.
const NAMES: [&str; 3] = ["calendar", "notes", "tickets"];
/// How long the server's access tokens live, in seconds: longer than the demo.
const LIFE: u32 = 600;
/// How long those in the store have left: little, yet longer than the first look at a write.
const LEFT_MS: i64 = 90_000;

/// Builds what it needs, then shows it.
pub(crate) fn run() -> Result<bool> {
    show(&Programs::build(&[])?)
}

/// Three sign-ins that are nearly over: how they are, the renewal, how they are then.
pub(crate) fn show(programs: &Programs) -> Result<bool> {
    let town = Town::start(&programs.rehearsal, LIFE, 3)?;
    let home = Home::new()?;
    home.write(&town.entries(&NAMES, LEFT_MS))?;
    println!(
        "\n\
         ┌─ DEMO ────────────────────────────────────────────────────────────────\n\
         │ A server of its own at {}, on loopback only,\n\
         │ and three sign-ins in a temporary home that is removed at the end.\n\
         │ Nothing of yours is read or written. It takes a little over a minute,\n\
         │ because the first write to a store is looked at again for 65 s.\n\
         └───────────────────────────────────────────────────────────────────────",
        town.address("origin"),
    );
    let mut well = true;
    for word in ["status", "renew", "status"] {
        println!("\n$ lamplighter {word}");
        let ran = cargo::succeeds(&mut home.command(&programs.lamplighter, &[word]))?;
        // A status may well speak of a sign-in that is nearly over; a renewal has to succeed.
        well &= ran || word == "status";
    }
    println!("\nThe demo is over; its server and its home are gone.");
    Ok(well)
}
