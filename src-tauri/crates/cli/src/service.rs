//! `lamplighter service`: the keeper as a service of the user's own.

use anyhow::Context;
use lamplighter_engine::{
    lock::{EngineLock, LockFault},
    open::Place,
    service::{Change, Installed, Manager, Service, Status},
};

use crate::{EXIT_OTHER, args::ServiceCommand};

/// Does it. `status` is 0 where the service runs, 1 where it does not.
pub(crate) fn run(place: &Place, command: &ServiceCommand) -> anyhow::Result<u8> {
    let service = Service::find(&place.env, &place.paths.home)?;
    match command {
        ServiceCommand::Install(args) => install(place, &service, args.json),
        ServiceCommand::Remove(args) => remove(&service, args.json),
        ServiceCommand::Status(args) => status(&service, args.json),
    }
}

fn install(place: &Place, service: &Service, json: bool) -> anyhow::Result<u8> {
    let program = std::env::current_exe().context("finding out where this program lies")?;
    let running = service.status()?.running == Some(true);
    // A keeper in a terminal, say: the service waits for its end.
    let holder = EngineLock::holder(&place.paths).filter(|_| !running);
    let change = service.install(&program)?;
    let status = service.status()?;
    if json {
        let mut document = document(service, &status);
        document["changed"] = (change != Change::Unchanged).into();
        outln!("{}", serde_json::to_string_pretty(&document)?);
        return Ok(0);
    }
    outln!(
        "{}",
        match change {
            Change::Installed => "Installed: servers are kept signed in from now on",
            Change::Replaced => "Installed anew, in place of an older one, and started again",
            Change::Restarted =>
                "It was installed already, and was started again with the new program",
            Change::Unchanged => "It was installed already, and runs",
        }
    );
    outln!("  {}", service.file().display());
    outln!("  {} keep", program.display());
    if let Some(LockFault::Held { .. }) = &holder {
        let holder = holder.map(|held| held.to_string()).unwrap_or_default();
        outln!("  {holder}; the service takes over within 30 seconds of its end");
    }
    if let Some(advice) = linger_advice(&status) {
        outln!("  {advice}");
    }
    Ok(0)
}

fn remove(service: &Service, json: bool) -> anyhow::Result<u8> {
    let removed = service.remove()?;
    if json {
        let file = service.file().display().to_string();
        outln!("{}", serde_json::json!({ "schema": 1, "removed": removed, "file": file }));
    } else if removed {
        outln!("Removed: nothing is renewed any more unless you ask");
        outln!("  {}", service.file().display());
    } else {
        outln!("There was no service to remove");
    }
    Ok(0)
}

fn status(service: &Service, json: bool) -> anyhow::Result<u8> {
    let status = service.status()?;
    if json {
        outln!("{}", serde_json::to_string_pretty(&document(service, &status))?);
    } else {
        tell(service, &status);
    }
    Ok(if status.running == Some(true) { 0 } else { EXIT_OTHER })
}

fn tell(service: &Service, status: &Status) {
    let file = status.file.display();
    match &status.installed {
        Installed::No => {
            outln!("Not installed; `lamplighter service install` does it");
            return;
        }
        Installed::Foreign => outln!("{file} was not written by Lamplighter"),
        Installed::OtherHome { home } => {
            outln!("{file} is the service of another home of Lamplighter's ({home})");
        }
        Installed::Ours { program } => {
            outln!("Installed for {}: {file}", service.manager().name());
            if let Some(program) = program {
                let gone = if program.exists() { "" } else { ", which is not there any more" };
                outln!("  runs {}{gone}", program.display());
            }
        }
    }
    outln!(
        "  {}",
        match (status.running, status.pid) {
            (Some(true), Some(pid)) => format!("running, process {pid}"),
            (Some(true), None) => String::from("running"),
            (Some(false), _) => match service.manager() {
                Manager::Systemd => {
                    format!("not running; `systemctl --user status {}` says why", service.name())
                }
                Manager::Launchd => String::from("not running"),
            },
            (None, _) => String::from("whether it runs can't be told"),
        }
    );
    if let Some(why) = &status.unknown {
        outln!("  {why}");
    }
    if let Some(advice) = linger_advice(status) {
        outln!("  {advice}");
    }
}

/// Without lingering, the user's services end with the last session.
fn linger_advice(status: &Status) -> Option<&'static str> {
    match status.lingering {
        Some(false) => Some(
            "it ends when you log out and starts when you log in; `loginctl enable-linger` keeps it \
             running in between",
        ),
        Some(true) => Some("it runs whether or not you are logged in"),
        None => None,
    }
}

fn document(service: &Service, status: &Status) -> serde_json::Value {
    let (installed, program) = match &status.installed {
        Installed::No => ("no", None),
        Installed::Ours { program } => ("yes", program.as_ref()),
        Installed::Foreign => ("foreign", None),
        Installed::OtherHome { .. } => ("other_home", None),
    };
    serde_json::json!({
        "schema": 1,
        "manager": service.manager().name(),
        "file": status.file.display().to_string(),
        "installed": installed,
        "enabled": status.enabled,
        "running": status.running,
        "pid": status.pid,
        "program": program.map(|program| program.display().to_string()),
        "program_exists": program.map(|program| program.exists()),
        "lingering": status.lingering,
        "unknown": status.unknown,
    })
}
