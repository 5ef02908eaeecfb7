//! Finishes what a single command leaves in the journal: a minute after it, this program runs once more
//! by itself and gives what was saved its last look.
//!
//! It renews nothing, shows nothing and makes nothing: where Lamplighter's folder has gone meanwhile, or
//! somebody else acts for it, it ends. It must not hold the engine's lock while it waits.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lamplighter_core::{health::EXIT_FINE, keeper::Mode};
use lamplighter_engine::{children, driver::Driver, lock::EngineLock, open::Place, stop};

use crate::work;

/// The word that this program gives itself.
pub(crate) const NAME: &str = "finish-journal";
/// After that long the last look is due: core plans it 65 s after a store was written.
const AFTER: Duration = Duration::from_secs(66);
/// How often Lamplighter's folder is looked for meanwhile.
const POLL: Duration = Duration::from_secs(1);
/// The look itself. Other commands wait for its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// To be called once a command's engine has done its work: has the rest done later.
pub(crate) fn later(driver: &Driver) {
    if !driver.leaves_records() {
        return;
    }
    // One that can't be started leaves it to the next command or keeper.
    let _ = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command.arg(NAME);
        children::start_and_leave(command)
    });
}

/// The later run.
pub(crate) fn run(place: Place) -> anyhow::Result<u8> {
    let journal = place.paths.journal_file();
    let started = Instant::now();
    while started.elapsed() < AFTER {
        if !journal.exists() {
            return Ok(EXIT_FINE);
        }
        thread::sleep(POLL);
    }
    // A keeper looks by itself, and a command has its own look done later.
    if EngineLock::holder(&place.paths).is_some() || !journal.exists() {
        return Ok(EXIT_FINE);
    }
    work::run(async {
        let what = "lamplighter, which finishes a command's work";
        let mut driver = place.open(Mode::OnRequest, what, Duration::ZERO, Box::new(|_, _| {}))?;
        driver.look().await;
        driver.settle(stop::asked(), PATIENCE).await;
        Ok(EXIT_FINE)
    })
}
