//! `cargo xtask`: what the README and CI call, so that neither knows more than one word.
//!
//! What it is: words to one function for each command. What it must not do: know anything about
//! OAuth or about stores; what the program does is tested by `tests`, never here.
//!
//! Where to read next: `parts` for what CI runs, `run` for what a visitor sees first.

#[macro_use]
mod print;

mod bench;
mod bundle;
mod cargo;
mod conformance;
mod demo;
mod deny;
mod help;
mod icons;
mod lint;
mod namespace;
mod parts;
mod peers;
mod run;
mod sizes;
mod system;
mod test;
mod town;

use std::process::ExitCode;

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt as _};

use test::Ways;

/// The words of one command, all commands together: each says which of them it takes.
#[derive(Debug, Default)]
struct Words {
    names: Vec<String>,
    options: Vec<String>,
}

impl Words {
    /// Whether this option was given.
    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|given| given == option)
    }

    /// Reads what is left; an option that `allowed` lacks is an error.
    fn read(parser: &mut Parser, allowed: &[&str]) -> Result<Self> {
        let mut words = Self::default();
        while let Some(word) = parser.next()? {
            match word {
                Arg::Short('h') => words.options.push("help".to_owned()),
                Arg::Long(option) if option == "help" || allowed.contains(&option) => {
                    words.options.push(option.to_owned());
                }
                Arg::Value(name) => words.names.push(name.string()?),
                other @ (Arg::Short(_) | Arg::Long(_)) => return Err(other.unexpected().into()),
            }
        }
        Ok(words)
    }

    /// Refuses names where a command takes none.
    fn no_names(&self) -> Result<()> {
        match self.names.first() {
            Some(name) => bail!("unexpected {name:?}"),
            None => Ok(()),
        }
    }
}

/// Runs the command that the first word names; `true` where all is well.
fn command(parser: &mut Parser) -> Result<bool> {
    let name = match parser.next()? {
        Some(Arg::Value(name)) => name.string()?,
        None => bail!("which command?\n\n{}", help::ALL),
        Some(Arg::Long("help") | Arg::Short('h')) => return Ok(help::show(help::ALL)),
        Some(other @ (Arg::Short(_) | Arg::Long(_))) => return Err(other.unexpected().into()),
    };
    let (help, allowed): (&str, &[&str]) = match name.as_str() {
        "run" => (help::RUN, &["no-install", "yes"]),
        "test" => (help::TEST, &["no-install", "list", "long", "in-turn"]),
        "bench" => (help::BENCH, &[]),
        "lint" => (help::LINT, &["fix", "no-install"]),
        "demo" => (help::DEMO, &[]),
        "conformance" => (help::CONFORMANCE, &["no-install"]),
        "icons" => (help::ICONS, &["no-install"]),
        "sizes" => (help::SIZES, &[]),
        "help" => return Ok(help::show(help::ALL)),
        other => bail!("no command {other:?}\n\n{}", help::ALL),
    };
    let words = Words::read(parser, allowed)?;
    if words.has("help") {
        return Ok(help::show(help));
    }
    let install = !words.has("no-install");
    match name.as_str() {
        "test" if words.has("list") => Ok(test::list(&words.names)?),
        "test" => {
            let ways = Ways { install, long: words.has("long"), in_turn: words.has("in-turn") };
            test::run(&words.names, ways)
        }
        "bench" => bench::run(&words.names),
        "lint" => {
            words.no_names()?;
            lint::run(words.has("fix"), install)
        }
        "demo" => {
            words.no_names()?;
            demo::run()
        }
        "icons" => {
            words.no_names()?;
            icons::run(install)
        }
        "sizes" => {
            words.no_names()?;
            sizes::run()
        }
        "conformance" => {
            words.no_names()?;
            test::run(&["conformance".to_owned()], Ways { install, ..Ways::default() })
        }
        _ => {
            words.no_names()?;
            if words.has("yes") {
                system::agree();
            }
            run::run(install)
        }
    }
}

fn main() -> ExitCode {
    match command(&mut Parser::from_env()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            errln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
