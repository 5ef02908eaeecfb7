//! `lamplighter open`: the tray's window, from the tray that runs or from one that is started for it.
//!
//! It must not wait for the tray it starts, nor leave it tied to this terminal. Read next: `remote`.

use std::{
    env::consts::EXE_SUFFIX,
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use lamplighter_engine::{children, open::Place};

use crate::remote;

const TRAY: &str = "lamplighter-tray";
/// A tray that can't live here ends at once, and so does a second one, which only rings the first.
const EARLY_END: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

/// Brings the window up.
pub(crate) fn run(place: &Place) -> anyhow::Result<u8> {
    if let Some(remote) = remote::join(place)?
        && remote.open_page()?
    {
        return Ok(0);
    }
    let Some(tray) = tray(place) else {
        bail!(
            "there is no {TRAY} beside this command or on the PATH; it is built by `cargo build \
             --release -p {TRAY}`, and `cargo xtask run` builds and starts it"
        );
    };
    let set = |name: &str| place.env.get(name).is_some();
    if cfg!(target_os = "linux") && !set("DISPLAY") && !set("WAYLAND_DISPLAY") {
        bail!("there is no display here to show a window on; `lamplighter status` needs none");
    }
    let started = children::start(Command::new(&tray));
    let started = started.with_context(|| format!("starting {}", tray.display()))?;
    if ended_badly(started)? {
        bail!("{} ended at once; start it by hand to see why", tray.display());
    }
    Ok(0)
}

/// The tray beside this very program, as a build leaves them, else the first on the path.
fn tray(place: &Place) -> Option<PathBuf> {
    let name = format!("{TRAY}{EXE_SUFFIX}");
    let own = std::env::current_exe().ok().and_then(|exe| exe.canonicalize().ok());
    let beside = own.and_then(|exe| Some(exe.parent()?.to_owned()));
    let path = place.env.get("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(&name)).find(|file| file.is_file())
}

fn ended_badly(mut tray: Child) -> anyhow::Result<bool> {
    let deadline = Instant::now() + EARLY_END;
    while Instant::now() < deadline {
        if let Some(ended) = tray.try_wait().context("waiting for the tray")? {
            return Ok(!ended.success());
        }
        std::thread::sleep(POLL);
    }
    Ok(false)
}
