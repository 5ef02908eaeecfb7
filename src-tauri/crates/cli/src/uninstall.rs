//! `lamplighter uninstall`: brings home what is on its way, then removes all that is ours.

use std::path::PathBuf;

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
    question,
    work::Running,
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
        if args.json || !question::is_possible() {
            errln!("lamplighter: nothing was removed: without a terminal to ask on, say --yes");
            return Ok(EXIT_USAGE);
        }
        if !agreed(&belongings)? {
            errln!("Nothing was removed");
            return Ok(EXIT_OTHER);
        }
    }
    leave(place, args.json)
}

fn agreed(belongings: &Belongings) -> std::io::Result<bool> {
    errln!("This is removed:");
    if let Some(service) = &belongings.service {
        errln!("  {} (the service is ended first)", service.file().display());
    }
    for file in &belongings.files {
        errln!("  {}", file.display());
    }
    for file in &belongings.shared {
        errln!("  the line of {} that hands links to the tray", file.display());
    }
    errln!("  Lamplighter's key in your keyring, where there is one");
    errln!("Clients keep their sign-ins and renew them by themselves again.");
    question::agreed("Go on?")
}

fn leave(place: Place, json: bool) -> anyhow::Result<u8> {
    let listener = Box::new(
        move |event: &Event, _: &Keeper| {
            if json { print_json(event) } else { print_line(event) }
        },
    );
    let running = Running::begin();
    let left = leave::entirely(place, stop::asked, listener, tell);
    drop(running);
    let (removal, forgotten) = match left {
        Ok(left) => left,
        Err(fault) => {
            errln!("lamplighter: nothing was removed: {fault}");
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
        Step::EndingService => return errln!("Ending the service…"),
        Step::BringingHome(left) => left,
    };
    if left.unsaved > 0 {
        errln!("Saving the new tokens of {} sign-in(s) first…", left.unsaved);
    }
    if left.watched > 0 {
        errln!(
            "{} sign-in(s) were renewed just now; waiting up to a minute, until their client is known \
             to live with the new tokens…",
            left.watched
        );
    }
}

fn exit_of(fault: &StayFault) -> u8 {
    match fault {
        StayFault::Unsaved { .. } | StayFault::Unread { .. } => EXIT_STORE,
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
        outln!("{}", serde_json::to_string(&document)?);
        return Ok(());
    }
    for place in &removal.removed {
        outln!("removed {}", place.display());
    }
    match forgotten {
        Forgotten::Gone => outln!("removed the key in your keyring"),
        Forgotten::Locked => outln!(
            "left    the key in your keyring, which is locked: entry `dev.lamplighter`, of no use now"
        ),
        Forgotten::NotThere | Forgotten::Absent(_) | Forgotten::TimedOut | Forgotten::Off => {}
    }
    for kept in &removal.kept {
        outln!("left    {}: {}", kept.place.display(), kept.why);
    }
    outln!("Clients keep their sign-ins. To remove the command too: cargo uninstall lamplighter");
    Ok(())
}
