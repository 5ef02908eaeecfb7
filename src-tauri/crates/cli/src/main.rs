//! `lamplighter`: keeps MCP servers signed in, from the command line.
//!
//! A shell: it turns words into actions and snapshots into lines. It must not decide anything, and
//! prints no secret, because none can reach it.

#[macro_use]
mod print;

mod args;
mod ask;
mod demo;
mod doctor;
mod events;
mod keep;
mod last_look;
mod log;
mod open;
mod question;
mod reconnect;
mod remote;
mod service;
mod settings;
mod shell;
mod sign_in;
mod sign_out;
mod status;
mod trust;
mod uninstall;
mod words;
mod work;

use std::process::ExitCode;

use clap::Parser;
use lamplighter_core::{keeper::Action, text};
use lamplighter_engine::{
    core_dumps,
    open::{OpenFault, Place},
    output,
    paths::{Env, PathsFault},
    reader::Reader,
};

use args::{Cli, Command};

/// Anything that is neither usage nor one of the table's codes.
const EXIT_OTHER: u8 = 1;
/// Wrong usage, as clap has it.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    core_dumps::forbid_entirely();
    if std::env::args_os().skip(1).eq([last_look::NAME]) {
        // Nobody reads what it would say.
        return ExitCode::from(last_look::run(&Env::Process).unwrap_or(EXIT_OTHER));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return ExitCode::from(print::usage(&told)),
    };
    start_log(cli.verbose);
    let keeps = matches!(cli.command, Command::Keep(_) | Command::Demo(_));
    let code = run(cli.command).unwrap_or_else(|error| {
        // It may name files, servers and what somebody typed.
        let words = text::harmless(&format!("{error:#}"), text::LONGEST_SENTENCE);
        errln!("lamplighter: {words}");
        exit_of(&error)
    });
    ExitCode::from(print::end(code, keeps))
}

/// A home that can't be one is wrong usage, like a wrong word.
fn exit_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<OpenFault>() {
        Some(OpenFault::Paths(
            PathsFault::Relative(_)
            | PathsFault::NotOurs(_)
            | PathsFault::PersonsHome(_)
            | PathsFault::OwnSettings(_),
        )) => EXIT_USAGE,
        _ => EXIT_OTHER,
    }
}

fn run(command: Command) -> anyhow::Result<u8> {
    // Nothing of this machine is looked at before a command wants it.
    let place = || Place::find(Env::Process);
    match command {
        Command::Status(args) => status::run(&place()?, &args),
        Command::Renew(args) => ask::run(place()?, Action::Renew, &args.names, args.json),
        Command::Keep(args) => keep::run(Env::Process, args.json),
        Command::Open => open::run(&place()?),
        Command::Events(args) => keep::events(&place()?, args.json),
        Command::Check(args) => ask::run(place()?, Action::Check, &args.names, args.json),
        Command::Pause(args) => ask::run(place()?, Action::Pause, &args.names, args.json),
        Command::Resume(args) => ask::run(place()?, Action::Resume, &args.names, args.json),
        Command::Reconnect(args) => reconnect::run(place()?, &args.name, &args.way),
        Command::SignIn(args) => sign_in::run(place()?, &args),
        Command::SignOut(args) => sign_out::run(place()?, &args),
        Command::Trust(args) => trust::run(place()?, &args),
        Command::Callback(args) => reconnect::callback(&place()?, &args.url),
        Command::Log(args) => log::run(&place()?, &args),
        Command::Demo(args) => demo::run(args.seconds, args.json),
        Command::Doctor(args) => doctor::run(&place()?, &args),
        Command::Service(args) => service::run(&place()?, &args.command),
        Command::Settings(args) => settings::run(&Env::Process, &args.command),
        Command::Uninstall(args) => uninstall::run(place()?, &args),
        Command::Completions(args) => Ok(shell::completions(args.shell)),
        Command::Man(args) => shell::man(args.out.as_deref()),
    }
}

/// The reader at this machine: its clock and its time zone.
fn reader() -> Reader {
    Reader::here()
}

/// Lines to standard error; silent unless asked for.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => "lamplighter=info,lamplighter_engine=info",
        _ => "lamplighter=debug,lamplighter_engine=debug",
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(|| output::Log)
        // It would say so on standard error itself, and panic there.
        .log_internal_errors(false)
        .with_target(false)
        .init();
}
