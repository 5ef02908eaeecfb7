//! `lamplighter trust`: a person has seen both addresses and accepts the new one.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::bail;
use lamplighter_core::{health::Health, keeper::Action};
use lamplighter_engine::open::Place;

use crate::{args, ask, events::choose, reader};

/// Shows what would be trusted, asks, and trusts.
pub(crate) fn run(place: Place, args: &args::Trust) -> anyhow::Result<u8> {
    let snapshot = place.watch()?;
    let names = [args.name.clone()];
    let chosen = choose(&snapshot, &names)?;
    if let Some(row) = snapshot.rows.iter().find(|row| chosen.contains(&row.id)) {
        if row.health == Health::ApprovalRequired {
            eprintln!("{}: {}", row.id, reader().phrase(&row.phrase));
        }
        eprintln!("{} will be taken at its word about where it signs in, once.", row.url);
    }
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            bail!("nobody is here to ask; say --yes to trust {} without a question", args.name);
        }
        eprint!("Trust it? [y/N] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            bail!("nothing was changed");
        }
    }
    ask::run(place, Action::Trust, &names, args.json)
}
