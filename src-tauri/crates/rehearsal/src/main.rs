//! Serves a rehearsal from the command line, for the demo and for trying a real client by hand.
//!
//! What it is: `lamplighter-rehearsal [--port N] [--life SECONDS] [--grants N] [--control]`. It
//! prints one line of JSON with the addresses and ready-made grants, and serves until standard
//! input closes. With `--control`, each line of standard input is an order answered by one line.
//!
//! What it must not do: listen beyond loopback, or outlive whoever started it.
//!
//! Where to read next: `commands` for the orders.

mod commands;

use std::io::{BufRead as _, Read as _, Write as _};
use std::process::ExitCode;

use lamplighter_rehearsal::{Control, Mint, Minted, Rehearsal};
use serde_json::{Value, json};

const USAGE: &str =
    "usage: lamplighter-rehearsal [--port N] [--life SECONDS] [--grants N] [--control]";

#[derive(Debug)]
struct Arguments {
    port: u16,
    life: i64,
    grants: u32,
    control: bool,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut found = Arguments { port: 0, life: 3600, grants: 1, control: false };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--port" => found.port = words.next()?.parse().ok()?,
            "--life" => found.life = words.next()?.parse().ok()?,
            "--grants" => found.grants = words.next()?.parse().ok()?,
            "--control" => found.control = true,
            _ => return None,
        }
    }
    Some(found)
}

fn shown(grant: &Minted) -> Value {
    json!({
        "client_id": grant.client_id,
        "access_token": grant.access_token,
        "refresh_token": grant.refresh_token,
        "expires_at_ms": grant.expires_at_ms,
        "scope": grant.scope,
    })
}

fn say(line: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn obey(control: &Control) -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            say(&commands::obey(control, &line))?;
        }
    }
    Ok(())
}

fn serve(arguments: &Arguments) -> std::io::Result<()> {
    let town =
        Rehearsal::builder().port(arguments.port).life_seconds(arguments.life).start_blocking()?;
    let control = town.control();
    let mint = Mint { access_life_seconds: arguments.life, ..Mint::default() };
    let grants: Vec<Value> =
        (0..arguments.grants).map(|_| shown(&control.mint(mint.clone()))).collect();
    say(&json!({
        "origin": town.origin(),
        "mcp_url": town.mcp_url(),
        "issuer": town.issuer(),
        "grants": grants,
    }))?;
    if arguments.control {
        return obey(&control);
    }
    let mut bytes = [0; 1024];
    while std::io::stdin().read(&mut bytes)? > 0 {}
    Ok(())
}

fn main() -> ExitCode {
    let Some(arguments) = arguments(std::env::args().skip(1)) else {
        drop(writeln!(std::io::stderr(), "{USAGE}"));
        return ExitCode::from(2);
    };
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            drop(writeln!(std::io::stderr(), "lamplighter-rehearsal: {e}"));
            ExitCode::FAILURE
        }
    }
}
