//! `lamplighter uninstall`: brings home what is on its way, then removes all that is ours.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
};

use anyhow::Context;
use lamplighter_core::{
    health::EXIT_STORE,
    keeper::{Event, Keeper},
};
use lamplighter_engine::{
    journal::Left,
    keyring::{self, Forgotten},
    leave::{self, Kept, Removal, StayFault},
    lock::EngineLock,
    open::Place,
    service::{Installed, Service},
    stop,
};

use crate::{
    EXIT_OTHER, EXIT_USAGE, args,
    events::{print_json, print_line},
};

/// What there is to remove.
struct Belongings {
    files: Vec<PathBuf>,
    service: Option<Service>,
    /// Whether the keeper that runs is the service's.
    served: bool,
}

/// Removes, after asking.
pub(crate) fn run(place: Place, args: &args::Uninstall) -> anyhow::Result<u8> {
    let belongings = look(&place)?;
    if !belongings.served
        && let Some(holder) = EngineLock::holder(&place.paths)
    {
        anyhow::bail!("{holder}; end it first, nothing was removed");
    }
    if !args.yes {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if args.json || !terminal {
            eprintln!("lamplighter: nothing was removed: without a terminal to ask on, say --yes");
            return Ok(EXIT_USAGE);
        }
        if !agreed(&belongings)? {
            eprintln!("Nothing was removed");
            return Ok(EXIT_OTHER);
        }
    }
    leave(place, belongings, args.json)
}

fn look(place: &Place) -> anyhow::Result<Belongings> {
    let files = leave::belongings(&place.paths, &place.env);
    // Where there are no services, none is ours.
    let service = Service::find(&place.env).ok();
    let service = service.map(|service| service.installed().map(|found| (service, found)));
    let service = match service.transpose()? {
        Some((service, Installed::Ours { .. })) => Some(service),
        Some((_, Installed::No | Installed::Foreign)) | None => None,
    };
    let status = service.as_ref().map(Service::status).transpose()?;
    let served = status.is_some_and(|status| status.running == Some(true));
    Ok(Belongings { files, service, served })
}

fn agreed(belongings: &Belongings) -> anyhow::Result<bool> {
    let mut err = std::io::stderr().lock();
    writeln!(err, "This is removed:")?;
    if let Some(service) = &belongings.service {
        writeln!(err, "  {} (the service is ended first)", service.file().display())?;
    }
    for file in &belongings.files {
        writeln!(err, "  {}", file.display())?;
    }
    writeln!(err, "  Lamplighter's key in your keyring, where there is one")?;
    writeln!(err, "Clients keep their sign-ins and renew them by themselves again.")?;
    write!(err, "Go on? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

fn leave(place: Place, belongings: Belongings, json: bool) -> anyhow::Result<u8> {
    let (paths, settings, env) = (place.paths.clone(), place.settings.clone(), place.env.clone());
    let service = belongings.service;
    if let Some(service) = service.as_ref().filter(|_| belongings.served) {
        eprintln!("Ending the service…");
        service.stop().context("ending the service; nothing was removed")?;
    }
    let lock = match bring_home(place, json) {
        Ok(lock) => lock,
        Err(fault) => {
            eprintln!("lamplighter: nothing was removed: {fault}");
            // As it was: what could not be brought home is tried on.
            if let Some(service) = service.as_ref().filter(|_| belongings.served) {
                service.resume().context("starting the service again")?;
            }
            return Ok(exit_of(&fault));
        }
    };
    let mut removed = Vec::new();
    if let Some(service) = service {
        service.remove().context("removing the service; nothing else was removed")?;
        removed.push(service.file().to_owned());
    }
    let rest = leave::remove(&paths, &env, lock);
    removed.extend(rest.removed);
    let removal = Removal { removed, kept: rest.kept };
    let forgotten = keyring::forget_journal_key(&settings, &env);
    report(&removal, &forgotten, json)?;
    let clean = removal.kept.iter().all(|kept| kept.place.is_dir());
    Ok(if clean && forgotten != Forgotten::Locked { 0 } else { EXIT_OTHER })
}

fn bring_home(place: Place, json: bool) -> Result<Option<EngineLock>, StayFault> {
    let listener = Box::new(
        move |event: &Event, _: &Keeper| {
            if json { print_json(event) } else { print_line(event) }
        },
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StayFault::Runtime(error.to_string()))?;
    runtime.block_on(leave::bring_home(place, stop::asked, listener, waiting))
}

/// Standard error, also for scripts: a minute without a word is long.
fn waiting(left: Left) {
    if left.unsaved > 0 {
        eprintln!("Saving the new tokens of {} sign-in(s) first…", left.unsaved);
    }
    if left.watched > 0 {
        eprintln!(
            "{} sign-in(s) were renewed just now; waiting up to a minute, until their client is known \
             to live with the new tokens…",
            left.watched
        );
    }
}

const fn exit_of(fault: &StayFault) -> u8 {
    match fault {
        StayFault::Unsaved { .. } => EXIT_STORE,
        StayFault::Open(_)
        | StayFault::Lock(_)
        | StayFault::Closed { .. }
        | StayFault::Service(_)
        | StayFault::Runtime(_)
        | StayFault::Stopped => EXIT_OTHER,
    }
}

fn report(removal: &Removal, forgotten: &Forgotten, json: bool) -> anyhow::Result<()> {
    let key = match forgotten {
        Forgotten::Gone => "removed",
        Forgotten::NotThere => "not_there",
        Forgotten::Locked => "locked",
        Forgotten::Absent(_) => "no_keyring",
        Forgotten::TimedOut => "no_answer",
        Forgotten::Off => "not_asked",
    };
    if json {
        let path = |path: &PathBuf| path.display().to_string();
        let kept = |kept: &Kept| serde_json::json!({ "path": path(&kept.place), "why": kept.why });
        let document = serde_json::json!({
            "schema": 1,
            "removed": removal.removed.iter().map(path).collect::<Vec<_>>(),
            "kept": removal.kept.iter().map(kept).collect::<Vec<_>>(),
            "keyring": key,
        });
        println!("{}", serde_json::to_string(&document)?);
        return Ok(());
    }
    for place in &removal.removed {
        println!("removed {}", place.display());
    }
    match forgotten {
        Forgotten::Gone => println!("removed the key in your keyring"),
        Forgotten::Locked => println!(
            "left    the key in your keyring, which is locked: entry `dev.lamplighter`, of no use now"
        ),
        Forgotten::NotThere | Forgotten::Absent(_) | Forgotten::TimedOut | Forgotten::Off => {}
    }
    for kept in &removal.kept {
        println!("left    {}: {}", kept.place.display(), kept.why);
    }
    println!("Clients keep their sign-ins. To remove the command too: cargo uninstall lamplighter");
    Ok(())
}
