//! `lamplighter uninstall`: brings home what is on its way, then removes all that is ours.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
};

use lamplighter_core::{
    health::EXIT_STORE,
    keeper::{Event, Keeper},
};
use lamplighter_engine::{
    keyring::Forgotten,
    leave::{self, Belongings, Kept, Removal, StayFault, Step},
    lock::EngineLock,
    open::Place,
    stop,
};

use crate::{
    EXIT_OTHER, EXIT_USAGE, args,
    events::{print_json, print_line},
};

/// Removes, after asking.
pub(crate) fn run(place: Place, args: &args::Uninstall) -> anyhow::Result<u8> {
    let belongings = leave::look(&place)?;
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
    leave(place, args.json)
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
    for file in &belongings.shared {
        writeln!(err, "  the line of {} that hands links to the tray", file.display())?;
    }
    writeln!(err, "  Lamplighter's key in your keyring, where there is one")?;
    writeln!(err, "Clients keep their sign-ins and renew them by themselves again.")?;
    write!(err, "Go on? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

fn leave(place: Place, json: bool) -> anyhow::Result<u8> {
    let listener = Box::new(
        move |event: &Event, _: &Keeper| {
            if json { print_json(event) } else { print_line(event) }
        },
    );
    let (removal, forgotten) = match leave::entirely(place, stop::asked, listener, tell) {
        Ok(left) => left,
        Err(fault) => {
            eprintln!("lamplighter: nothing was removed: {fault}");
            return Ok(exit_of(&fault));
        }
    };
    report(&removal, &forgotten, json)?;
    let clean = removal.kept.iter().all(|kept| kept.place.is_dir());
    Ok(if clean && forgotten != Forgotten::Locked { 0 } else { EXIT_OTHER })
}

/// Standard error, also for scripts: a minute without a word is long.
fn tell(step: Step) {
    let left = match step {
        Step::EndingService => return eprintln!("Ending the service…"),
        Step::BringingHome(left) => left,
    };
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

fn exit_of(fault: &StayFault) -> u8 {
    match fault {
        StayFault::Unsaved { .. } => EXIT_STORE,
        StayFault::NotResumed { fault, .. } => exit_of(fault),
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
