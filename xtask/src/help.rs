//! The help of every command, with examples that can be pasted.
//!
//! It must not be longer than what a person reads. Where to read next: `main`.

/// What `cargo xtask` alone says.
pub(crate) const ALL: &str = "\
cargo xtask COMMAND

  run     build Lamplighter and start its tray; without sign-ins, the demo
  demo    the keeper at work on servers of its own, on loopback, in a temporary home
  test    everything that CI runs
  lint    formatting, clippy, documentation, licences
  conformance   the official MCP suite against a client that signs in by our flow
  bench   figures
  icons   render the pictures in `icons/` from their drawings
  sizes   how large the code is, and where its structure is hard to read

`cargo xtask COMMAND --help` says more.";

pub(crate) const RUN: &str = "\
cargo xtask run [--no-install] [--yes]

Builds Lamplighter and starts its tray, which asks before it does anything to your sign-ins. What the
window is built with is installed where that can be done, with a word before. Without a display, or
without those packages, the same in the foreground of this terminal. Where nothing is signed in on
this machine, it says so and starts the demo, which touches nothing of yours.

  --no-install   never install system packages; name what is missing and go on without the tray
  --yes          don't ask before packages are installed with sudo

Examples:
  cargo xtask run
  cargo xtask run --no-install";

pub(crate) const TEST: &str = "\
cargo xtask test [PART…] [--no-install] [--list] [--long] [--in-turn]

Real clients and servers, the peers, are installed once, from npm and PyPI, into target/peers.

Without names: every part that CI runs; those that mostly wait run beside the others, and what
they say is shown when they end. One that fails does not stop the others.
The last line is `N passed, N failed, N skipped`; the exit code is 1 if any failed.

  --in-turn      one part after the other
  --list         say which parts there are, and run nothing
  --long         more cases where a part has any (LAMPLIGHTER_LONG=1)
  --no-install   never install system packages or peers; name what is missing and stop

Examples:
  cargo xtask test
  cargo xtask test fmt clippy unit
  cargo xtask test claude-code --no-install
  cargo xtask test weather --long";

pub(crate) const BENCH: &str = "\
cargo xtask bench [NAME…]

Prints figures and asserts nothing. Without names: all of them.

  status        a cold `lamplighter status` on a store of 50 servers, beside `claude mcp list`
  renewal       a whole `lamplighter renew`, beside one durable write on the same disk
  store-write   writing a store back (the engine's own bench)
  keeper        renewals a second that the keeper alone can decide, with 100, 10,000 and 1,000,000
                sign-ins in a simulated world (core's own bench; a few minutes, about 3 GB)
  program       the real `lamplighter keep` with 50, 200 and 1,000 sign-ins at a server on loopback
                whose tokens live a minute: processor time, memory and bytes written a renewal, and
                the longest stall of its loop (Linux; some ten minutes). Each size is measured for
                120 seconds; LAMPLIGHTER_BENCH_SECONDS makes it fewer, 20 at least, and a token then
                lives half of that
  tray          the tray as it is shipped, on a desktop that nobody sees: its size, memory with and
                without its page, start to icon, click to page, wake-ups (the first build of it
                takes some ten minutes)

Examples:
  cargo xtask bench
  cargo xtask bench renewal
  LAMPLIGHTER_BENCH_SECONDS=20 cargo xtask bench program";

pub(crate) const LINT: &str = "\
cargo xtask lint [--fix] [--no-install]

Formatting, clippy, documentation, licences: the first parts of `cargo xtask test`.

  --fix          first let rustfmt and clippy change what they can
  --no-install   never install system packages; name what is missing and stop

Examples:
  cargo xtask lint
  cargo xtask lint --fix";

pub(crate) const CONFORMANCE: &str = "\
cargo xtask conformance [--no-install]

Runs the official MCP conformance suite against a client that signs in by the engine's flow, by
loopback and by the custom scheme, where there is only loopback.
The same as `cargo xtask test conformance`.

  --no-install   never install anything; name what is missing and stop

Examples:
  cargo xtask conformance";

pub(crate) const ICONS: &str = "\
cargo xtask icons [--no-install]

Renders the tray's shapes and the app's picture from the drawings in `icons/`. The results are
committed; this is for whoever changes a drawing.

  --no-install   never install system packages; name what is missing and stop

Examples:
  cargo xtask icons";

pub(crate) const SIZES: &str = "\
cargo xtask sizes

Reads the sources and prints figures, tests left out: lines by crate, long files and functions,
methods on the keeper, type names with two meanings, modules that need each other. Asserts nothing.

Examples:
  cargo xtask sizes";

pub(crate) const DEMO: &str = "\
cargo xtask demo

Builds `lamplighter` and runs `lamplighter demo`: four servers on loopback, a temporary home with a
sign-in to each, and the keeper at work on them, live in the terminal, until Ctrl-C (four minutes
without a terminal). Reads and writes nothing of yours.

Examples:
  cargo xtask demo";

/// Prints a help; that is always a success.
pub(crate) fn show(help: &str) -> bool {
    outln!("{help}");
    true
}
