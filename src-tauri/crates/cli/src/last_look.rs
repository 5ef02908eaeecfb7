//! Finishes what a single command leaves in the journal: a minute after it, this program runs once more
//! by itself and gives what was saved its last look.
//!
//! It renews nothing, shows nothing and makes nothing: where Lamplighter's folder has gone meanwhile, or
//! somebody else acts for it, it ends. It must not hold the engine's lock while it waits.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lamplighter_core::{health::EXIT_FINE, keeper::Mode};
use lamplighter_engine::{
    children,
    driver::{Driver, LAST_LOOK},
    lock::EngineLock,
    open::Place,
    paths::Env,
    stop,
};

use crate::work;

/// The word that this program gives itself. No help, manual page or completion knows it.
pub(crate) const NAME: &str = "finish-journal";
/// How often it looks at most: tokens that a client has written over are put back twice.
const TIMES: usize = 3;
/// How often Lamplighter's folder is looked for meanwhile.
const POLL: Duration = Duration::from_secs(1);

/// To be called once a command's engine has done its work: has the rest done later.
pub(crate) fn later(driver: &Driver) {
    if !driver.leaves_records() {
        return;
    }
    // One that can't be started leaves it to the next command or keeper.
    let program = std::env::current_exe();
    let _ = program.and_then(|program| children::start_and_leave(command(&program)));
}

/// A shell closes first what whoever started us left open for us, such as the lock file of `flock`:
/// it would be held for a minute.
#[cfg(unix)]
fn command(program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    let close = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec \"$0\" \"$@\"";
    command.args(["-c", close]).arg(program).arg(NAME);
    command
}

#[cfg(not(unix))]
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(NAME);
    command
}

/// The later run.
pub(crate) fn run(env: &Env) -> anyhow::Result<u8> {
    for _ in 0..TIMES {
        if !look(Place::find(env.clone())?)? {
            break;
        }
    }
    Ok(EXIT_FINE)
}

/// Waits, and looks; whether another look is due later, because it had to put tokens back.
fn look(place: Place) -> anyhow::Result<bool> {
    let journal = place.paths.journal_file();
    let started = Instant::now();
    while started.elapsed() < LAST_LOOK {
        if !journal.exists() {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
    // A keeper looks by itself, and a command has its own look done later.
    if EngineLock::holder(&place.paths).is_some() || !journal.exists() {
        return Ok(false);
    }
    work::run(async {
        let what = "lamplighter, which finishes a command's work";
        let mut driver = place.open(Mode::OnRequest, what, Duration::ZERO, Box::new(|_, _| {}))?;
        Ok(driver.last_look(stop::asked()).await)
    })
}
