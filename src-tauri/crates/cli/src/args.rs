//! The command line: what can be typed, with its help. It holds no rule of its own.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  lamplighter status                 every server's sign-in, at a glance
  lamplighter renew                  renew what is due, withdraw stale verdicts
  lamplighter renew slack            renew one server now
  lamplighter reconnect slack        sign in again, in the browser
  lamplighter keep                   stay, and renew everything before it ends
  lamplighter open                   show the tray's window
  lamplighter service install        the same in the background, from each log in on
  lamplighter doctor                 what is where, what is wrong, what to do

Exit codes:
  0 fine   10 a person is needed   11 a token has ended and may heal by itself
  12 a store can't be read or written   2 wrong usage   1 anything else";

/// Keeps MCP servers signed in: renews their OAuth tokens before they end and writes them back where
/// the client reads them.
#[derive(Debug, Parser)]
#[command(name = "lamplighter", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    /// Log what happens to standard error; twice for more. Never a secret.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show every server's sign-in. Only reads: no lock, no network, no keyring.
    #[command(after_help = "\
Examples:
  lamplighter status
  lamplighter status --json | jq '.servers[] | select(.health != \"healthy\")'
  lamplighter status --line          for a shell prompt: nothing, or \"Slack needs you\"")]
    Status(Status),
    /// Renew what is due and withdraw stale verdicts; or renew the servers named, now.
    #[command(
        alias = "refresh",
        after_help = "\
Examples:
  lamplighter renew                  all that are due
  lamplighter renew slack notion     these two, now
  lamplighter renew claude-code/slack --json

A name is an id from `lamplighter status`, or the server's name where only one has it. A server that
refuses its refresh token is asked once more a minute later before that is called final."
    )]
    Renew(Renew),
    /// Stay in the foreground and keep every server signed in; one line per event.
    #[command(
        alias = "watch",
        after_help = "\
Examples:
  lamplighter keep
  lamplighter keep --json >> keeper.jsonl

It renews each token before its client would have to, sees at once when a client renews by itself or
a sign-in is ended, and plans everything anew when the machine has slept. Ctrl-C and SIGTERM end it
cleanly: an answer that is on its way still comes home."
    )]
    Keep(Keep),
    /// Show the tray's window; starts the tray where none runs.
    #[command(after_help = "\
Examples:
  lamplighter open

A tray that runs brings its window up, wherever this is called from. Otherwise `lamplighter-tray` is
started: the one beside this command, else the one on the PATH. Exit code 1: there is none, or no
display.")]
    Open,
    /// Print every event of the keeper that runs, until it ends.
    #[command(after_help = "\
Examples:
  lamplighter events
  lamplighter events --json | jq 'select(.event == \"failed\")'")]
    Events(Keep),
    /// Ask servers whether they accept their tokens, and renew one that is refused.
    #[command(
        alias = "probe",
        after_help = "\
Examples:
  lamplighter check slack"
    )]
    Check(Names),
    /// Sign in, again or for the first time: the browser opens once, nothing is pasted.
    #[command(after_help = "\
Examples:
  lamplighter reconnect slack
  lamplighter reconnect notion --redirect loopback     if the page shows an error
  lamplighter reconnect linear --no-browser            prints the page's address instead
  lamplighter reconnect linear --json                  one event a line, for scripts

The old sign-in stays until the new one is saved. Exit code 0: signed in; 10: not.")]
    Reconnect(Reconnect),
    /// Sign in to a server that was never signed in to, whether or not the client knows it yet.
    #[command(after_help = "\
Examples:
  lamplighter sign-in https://mcp.notion.com/mcp --name notion
  lamplighter sign-in https://mcp.slack.com/mcp --client claude-code --name slack --no-browser

The entry is written under the key that the client itself would use. A client whose configuration
lacks the server has to be told of it too: the command for that is printed at the end. Only https
addresses are signed in to, and http ones on this machine.")]
    SignIn(SignIn),
    /// Sign out: the entry leaves the client's store, and the server is asked to end the sign-in.
    #[command(after_help = "\
Examples:
  lamplighter sign-out slack               says what will happen, and asks
  lamplighter sign-out slack --yes --json
  lamplighter sign-out slack --no-revoke   the sign-in stays valid at its server

The server is asked (RFC 7009) only once the store has let the entry go, and only at the address that
the sign-in is pinned to. A configured server can be signed in to again at any time.")]
    SignOut(SignOut),
    /// Accept that a server now signs in at another address.
    #[command(after_help = "\
Examples:
  lamplighter trust notion           shows both addresses and asks
  lamplighter trust notion --yes

It looks first where the server signs in now, which sends nothing but requests for metadata. Where
that is as it was, there is nothing to trust.")]
    Trust(Trust),
    /// Hand a callback's URL to the sign-in that waits for it.
    #[command(hide = true)]
    Callback(Callback),
    /// Leave servers to their client until `resume`.
    #[command(after_help = "\
Examples:
  lamplighter pause slack")]
    Pause(Names),
    /// Take paused servers up again.
    #[command(after_help = "\
Examples:
  lamplighter resume slack")]
    Resume(Names),
    /// Show what happened: who renewed what and when, and what went wrong.
    #[command(after_help = "\
Examples:
  lamplighter log
  lamplighter log slack --last 5
  lamplighter log --json")]
    Log(Log),
    /// Show the keeper at work on servers of its own, on loopback; touches nothing of yours.
    #[command(after_help = "\
Examples:
  lamplighter demo                   until Ctrl-C
  lamplighter demo --for 100         so many seconds")]
    Demo(Demo),
    /// Say what is where, what is wrong, and what to do about it.
    #[command(after_help = "\
Examples:
  lamplighter doctor
  lamplighter doctor --json

Nothing it prints is a secret: it may be pasted into a bug report.")]
    Doctor(Doctor),
    /// Run the keeper as a service of yours: from each log in on, in the background.
    #[command(after_help = "\
Examples:
  lamplighter service install
  lamplighter service status --json
  lamplighter service remove

On Linux it is a systemd user unit, on macOS a launchd agent (unproven); on Windows let the Task
Scheduler run `lamplighter keep` at log on. Everything that runs can be seen with `lamplighter log`
and `lamplighter events`.")]
    Service(Service),
    /// Show what is set, or set it: the same file that the tray's window changes.
    #[command(after_help = "\
Examples:
  lamplighter settings get                        every setting and its value
  lamplighter settings get probe
  lamplighter settings set consent watch          only look from now on
  lamplighter settings set stores.claude-code.folders ~/team/.claude ~/home/.claude
  lamplighter settings path

A keeper that runs goes on with the new settings within a second. What else stands in the file, its
comments included, stays as it is. What a file holds that can't be read is not changed.")]
    Settings(Settings),
    /// Remove everything of Lamplighter's; clients keep their sign-ins.
    #[command(after_help = "\
Examples:
  lamplighter uninstall              lists what goes, and asks
  lamplighter uninstall --yes
  lamplighter uninstall --yes --json

New tokens that no client has yet are saved first, and what was renewed in the last minute is watched
until its client is known to live with it; where a store can't be written, nothing is removed and the
exit code is 12. Settings, state, history, service and the key in your keyring go, and the tray's
entries for links and for the start at login; the command itself stays (cargo uninstall lamplighter).")]
    Uninstall(Uninstall),
    /// Print the completion script of a shell.
    #[command(after_help = "\
Examples:
  lamplighter completions bash > ~/.local/share/bash-completion/completions/lamplighter
  lamplighter completions zsh > ~/.zfunc/_lamplighter
  lamplighter completions fish > ~/.config/fish/completions/lamplighter.fish")]
    Completions(Completions),
    /// Print the manual page, or write one page for each command.
    #[command(after_help = "\
Examples:
  lamplighter man | man -l -
  lamplighter man --out ~/.local/share/man/man1")]
    Man(Man),
}

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// One JSON document (schema 1).
    #[arg(long, conflicts_with = "line")]
    pub json: bool,
    /// One line: empty while all is well.
    #[arg(long)]
    pub line: bool,
    /// Stay beside the keeper that runs and show the picture again each time it changes.
    #[arg(long, conflicts_with_all = ["json", "line"])]
    pub watch: bool,
}

/// `renew`.
#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// Which servers; without a name, all that are due.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// One JSON event a line, then the status document.
    #[arg(long)]
    pub json: bool,
}

/// `keep`.
#[derive(Debug, Args)]
pub(crate) struct Keep {
    /// One JSON event a line.
    #[arg(long)]
    pub json: bool,
}

/// Commands that take one or more servers.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Which servers.
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// One JSON event a line, then the status document.
    #[arg(long)]
    pub json: bool,
}

/// `log`.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// Only this server: an id as `status` shows it, or a name.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// How many lines at most.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub last: usize,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// `reconnect`.
#[derive(Debug, Args)]
pub(crate) struct Reconnect {
    /// Which server.
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub way: Way,
}

/// `sign-in`.
#[derive(Debug, Args)]
pub(crate) struct SignIn {
    /// The server's URL.
    #[arg(value_name = "URL")]
    pub url: String,
    /// The client that is to hold the sign-in, as `status` shows it in front of each name.
    #[arg(long, value_name = "CLIENT", default_value = "claude-code")]
    pub client: String,
    /// What the client calls the server: letters, digits, `-` and `_`.
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub name: String,
    #[command(flatten)]
    pub way: Way,
}

/// A name as clients take it.
fn server_name(name: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(fits) {
        Ok(name.into())
    } else {
        Err("a name is made of letters, digits, - and _".into())
    }
}

/// How to sign in.
#[derive(Debug, Args)]
pub(crate) struct Way {
    /// Where the browser comes back to.
    #[arg(long, value_enum, default_value_t = Redirect::Automatic)]
    pub redirect: Redirect,
    /// Print the page's address instead of opening a browser; the default under SSH without a display.
    #[arg(long)]
    pub no_browser: bool,
    /// The loopback port for the browser to come back to.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// How long the browser is waited for, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// One JSON event a line: first the page's address, which nothing opens then.
    #[arg(long)]
    pub json: bool,
}

/// Where the browser comes back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Redirect {
    /// The custom scheme where it is served here and the server takes it, else loopback.
    Automatic,
    /// The custom scheme.
    Scheme,
    /// A port on this machine.
    Loopback,
}

/// `sign-out`.
#[derive(Debug, Args)]
pub(crate) struct SignOut {
    /// Which server.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Leave the sign-in valid at its server.
    #[arg(long)]
    pub no_revoke: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// One JSON event a line, then the status document; needs --yes.
    #[arg(long)]
    pub json: bool,
}

/// `trust`.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// Which server.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Don't ask.
    #[arg(long)]
    pub yes: bool,
    /// One JSON event a line, then the status document.
    #[arg(long)]
    pub json: bool,
}

/// `callback`.
#[derive(Debug, Args)]
pub(crate) struct Callback {
    /// What the browser was sent to.
    pub url: String,
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// End after so many seconds; without it Ctrl-C does, or four minutes without a terminal.
    #[arg(long = "for", value_name = "SECONDS")]
    pub seconds: Option<u64>,
    /// One JSON event a line.
    #[arg(long)]
    pub json: bool,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// One JSON document.
    #[arg(long)]
    pub json: bool,
}

/// `service`.
#[derive(Debug, Args)]
pub(crate) struct Service {
    #[command(subcommand)]
    pub command: ServiceCommand,
}

/// What can be done about the service.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Install it and start it now. What is installed already stays, and runs the new program after an
    /// upgrade.
    #[command(after_help = "\
Examples:
  lamplighter service install

The service runs the very program that this command is, and looks where it looks: LAMPLIGHTER_HOME,
XDG_CONFIG_HOME, XDG_STATE_HOME, CLAUDE_CONFIG_DIR and CLAUDE_SECURESTORAGE_CONFIG_DIR are carried
over. A proxy belongs into the settings.")]
    Install(Json),
    /// End it and remove it, if it is Lamplighter's.
    #[command(after_help = "\
Examples:
  lamplighter service remove")]
    Remove(Json),
    /// Say whether it is installed and runs. Exit code 0 if it runs, else 1.
    #[command(after_help = "\
Examples:
  lamplighter service status
  lamplighter service status --json | jq .running")]
    Status(Json),
}

/// `settings`.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[command(subcommand)]
    pub command: SettingsCommand,
}

/// What can be done with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum SettingsCommand {
    /// Print one setting, or all of them with their values. Exit code 1: it has none.
    #[command(after_help = "\
Examples:
  lamplighter settings get
  lamplighter settings get --json | jq .network
  lamplighter settings get keyring")]
    Get(SettingsGet),
    /// Set one. A list takes several values, and replaces what stood there.
    #[command(after_help = "\
Examples:
  lamplighter settings set notices false
  lamplighter settings set network.allow_http 192.168.77.5 nas.lan
  lamplighter settings set network.allow_http '[]'
  lamplighter settings set profiles.slack.access_life_seconds 43200")]
    Set(SettingsSet),
    /// Print where the settings file lies, whether or not there is one yet.
    #[command(after_help = "\
Examples:
  $EDITOR \"$(lamplighter settings path)\"")]
    Path,
}

/// `settings get`.
#[derive(Debug, Args)]
pub(crate) struct SettingsGet {
    /// Which, as in the file, with a dot after each table: `network.proxy`. Without one all are listed,
    /// the proxy's password and what your command is given hidden.
    #[arg(value_name = "KEY")]
    pub key: Option<String>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `settings set`.
#[derive(Debug, Args)]
pub(crate) struct SettingsSet {
    /// Which, as in the file, with a dot after each table: `network.proxy`.
    #[arg(value_name = "KEY")]
    pub key: String,
    /// Its value: a bare word, or TOML.
    #[arg(value_name = "VALUE", required = true, allow_hyphen_values = true)]
    pub values: Vec<String>,
}

/// Commands that take nothing else.
#[derive(Debug, Args)]
pub(crate) struct Json {
    /// One JSON document (schema 1).
    #[arg(long)]
    pub json: bool,
}

/// `uninstall`.
#[derive(Debug, Args)]
pub(crate) struct Uninstall {
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// What was removed as one JSON document (schema 1), last; needs --yes.
    #[arg(long)]
    pub json: bool,
}

/// `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write the pages of all commands into this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
