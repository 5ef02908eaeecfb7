//! What must come from the operating system: found by looking for the commands, and installed
//! where that needs no question.
//!
//! It must not install anything without saying so first, and nothing at all with `--no-install`.
//! Where to read next: `parts`, which says what each part needs.

use std::env;
use std::ffi::OsStr;
use std::io::{IsTerminal as _, Write as _, stdin, stdout};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

use crate::cargo;

/// A command from a system package, with the package's name for each kind of system.
#[derive(Debug)]
pub(crate) struct Tool {
    /// What has to run.
    probe: &'static [&'static str],
    debian: &'static str,
    fedora: &'static str,
    arch: &'static str,
    brew: &'static str,
}

/// `node`.
pub(crate) const NODE: Tool = Tool {
    probe: &["node", "--version"],
    debian: "nodejs",
    fedora: "nodejs",
    arch: "nodejs",
    brew: "node",
};
/// `npm`.
pub(crate) const NPM: Tool = Tool {
    probe: &["npm", "--version"],
    debian: "npm",
    fedora: "nodejs-npm",
    arch: "npm",
    brew: "node",
};
/// `pip`, as a module of `python3`.
pub(crate) const PIP: Tool = Tool {
    probe: &["python3", "-m", "pip", "--version"],
    debian: "python3-pip",
    fedora: "python3-pip",
    arch: "python-pip",
    brew: "python",
};
/// `ip`.
pub(crate) const IP: Tool = Tool {
    probe: &["ip", "-V"],
    debian: "iproute2",
    fedora: "iproute",
    arch: "iproute2",
    brew: "(Linux only)",
};
/// `unshare`.
pub(crate) const UNSHARE: Tool = Tool {
    probe: &["unshare", "--version"],
    debian: "util-linux",
    fedora: "util-linux-core",
    arch: "util-linux",
    brew: "(Linux only)",
};

/// `dbus-daemon`, for a session bus of a test's own.
pub(crate) const DBUS: Tool = Tool {
    probe: &["dbus-daemon", "--version"],
    debian: "dbus",
    fedora: "dbus-daemon",
    arch: "dbus",
    brew: "(Linux only)",
};
/// `gnome-keyring-daemon`, a real keyring on that bus.
pub(crate) const KEYRING: Tool = Tool {
    probe: &["gnome-keyring-daemon", "--version"],
    debian: "gnome-keyring",
    fedora: "gnome-keyring",
    arch: "gnome-keyring",
    brew: "(Linux only)",
};

/// A screen that nobody sees.
pub(crate) const XVFB: Tool = Tool {
    probe: &["Xvfb", "-help"],
    debian: "xvfb",
    fedora: "xorg-x11-server-Xvfb",
    arch: "xorg-server-xvfb",
    brew: "(Linux only)",
};
/// A window manager. It is not run: it would leave a log in the home of whoever asks.
pub(crate) const OPENBOX: Tool = Tool {
    probe: &["sh", "-c", "command -v openbox"],
    debian: "openbox",
    fedora: "openbox",
    arch: "openbox",
    brew: "(Linux only)",
};
/// A panel whose system tray is a `StatusNotifier` host.
pub(crate) const PANEL: Tool = Tool {
    probe: &["xfce4-panel", "--help"],
    debian: "xfce4-panel",
    fedora: "xfce4-panel",
    arch: "xfce4-panel",
    brew: "(Linux only)",
};
/// Where that panel reads its settings.
pub(crate) const XFCONF: Tool = Tool {
    probe: &["xfconf-query", "--version"],
    debian: "xfconf",
    fedora: "xfconf",
    arch: "xfconf",
    brew: "(Linux only)",
};
/// What shows notices.
pub(crate) const DUNST: Tool = Tool {
    probe: &["dunst", "--version"],
    debian: "dunst",
    fedora: "dunst",
    arch: "dunst",
    brew: "(Linux only)",
};
/// `notify-send`, which shows one.
pub(crate) const NOTIFY_SEND: Tool = Tool {
    probe: &["notify-send", "--version"],
    debian: "libnotify-bin",
    fedora: "libnotify",
    arch: "libnotify",
    brew: "(Linux only)",
};
/// A browser as people use it.
pub(crate) const CHROMIUM: Tool = Tool {
    probe: &["chromium", "--version"],
    debian: "chromium",
    fedora: "chromium",
    arch: "chromium",
    brew: "(Linux only)",
};
/// What clicks in it.
pub(crate) const CHROMEDRIVER: Tool = Tool {
    probe: &["chromedriver", "--version"],
    debian: "chromium-driver",
    fedora: "chromedriver",
    arch: "chromium",
    brew: "(Linux only)",
};
/// What clicks in the tray's window.
pub(crate) const WEBKIT_DRIVER: Tool = Tool {
    probe: &["WebKitWebDriver", "--help"],
    debian: "webkit2gtk-driver",
    fedora: "webkit2gtk-driver",
    arch: "webkit2gtk-4.1",
    brew: "(Linux only)",
};
/// `xdg-open` and `xdg-mime`.
pub(crate) const XDG_UTILS: Tool = Tool {
    probe: &["xdg-open", "--version"],
    debian: "xdg-utils",
    fedora: "xdg-utils",
    arch: "xdg-utils",
    brew: "(Linux only)",
};
/// `desktop-file-validate` and the list of who opens what.
pub(crate) const DESKTOP_FILES: Tool = Tool {
    probe: &["desktop-file-validate", "--help"],
    debian: "desktop-file-utils",
    fedora: "desktop-file-utils",
    arch: "desktop-file-utils",
    brew: "(Linux only)",
};
/// `gio`, which opens links as most desktops do.
pub(crate) const GIO: Tool = Tool {
    probe: &["gio", "version"],
    debian: "libglib2.0-bin",
    fedora: "glib2",
    arch: "glib2",
    brew: "(Linux only)",
};
/// A hand on the mouse.
pub(crate) const XDOTOOL: Tool = Tool {
    probe: &["xdotool", "--help"],
    debian: "xdotool",
    fedora: "xdotool",
    arch: "xdotool",
    brew: "(Linux only)",
};
/// Pictures of the screen, and what they show.
pub(crate) const IMAGEMAGICK: Tool = Tool {
    probe: &["import", "-version"],
    debian: "imagemagick",
    fedora: "ImageMagick",
    arch: "imagemagick",
    brew: "(Linux only)",
};

/// `rsvg-convert`.
pub(crate) const RSVG: Tool = Tool {
    probe: &["rsvg-convert", "--version"],
    debian: "librsvg2-bin",
    fedora: "librsvg2-tools",
    arch: "librsvg",
    brew: "librsvg",
};
/// What the tray's window is built with.
pub(crate) const WEBKIT: Tool = Tool {
    probe: &["pkg-config", "--exists", "webkit2gtk-4.1"],
    debian: "libwebkit2gtk-4.1-dev",
    fedora: "webkit2gtk4.1-devel",
    arch: "webkit2gtk-4.1",
    brew: "(Linux only)",
};
/// `pkg-config`, which finds it.
pub(crate) const PKG_CONFIG: Tool = Tool {
    probe: &["pkg-config", "--version"],
    debian: "pkg-config",
    fedora: "pkgconf-pkg-config",
    arch: "pkgconf",
    brew: "pkgconf",
};

impl Tool {
    /// Whether the command is there and runs.
    fn is_there(&self) -> bool {
        let [name, args @ ..] = self.probe else { return false };
        found(name) && quiet(Command::new(name).args(args))
    }
}

/// Whether the path has such a program.
fn found(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder: PathBuf| folder.join(name).is_file())
}

/// Says so where less than this many gigabytes are free on the disk of `target`. Silent where `df` does not tell.
pub(crate) fn warn_of_a_full_disk(least: u64) {
    let place = cargo::root();
    let df = Command::new("df").arg("-Pk").arg(&place).stderr(Stdio::null()).output();
    if let Some(free) = df.ok().and_then(|df| free_kilobytes(&String::from_utf8_lossy(&df.stdout)))
        && free < least * 1_000_000
    {
        let (whole, tenth) = (free / 1_000_000, free / 100_000 % 10);
        errln!(
            "xtask: only {whole}.{tenth} GB are free on the disk of {}; a run may need {least} GB, \
             and what fails then looks like something else",
            place.display()
        );
    }
}

/// The fourth column of the second line, as POSIX has it.
fn free_kilobytes(df: &str) -> Option<u64> {
    df.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

/// Runs it with no output at all, and says whether it succeeded.
pub(crate) fn quiet(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Sees to it that these commands are there.
pub(crate) fn ensure(tools: &[&Tool], install: bool) -> Result<()> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !tool.is_there()).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let commands = names(&missing, |tool| tool.debian);
    let advice = advice(&missing);
    if !install {
        bail!("missing system packages: {commands}\n{advice}");
    }
    let Some(prefix) = apt(&commands) else {
        bail!("missing system packages: {commands}\n{advice}");
    };
    outln!("Installing system packages: {commands}");
    apt_get(prefix, &["update"], &[])?;
    let packages: Vec<&str> = missing.iter().map(|tool| tool.debian).collect();
    apt_get(prefix, &["install", "-y", "--no-install-recommends"], &packages)?;
    match missing.iter().find(|tool| !tool.is_there()) {
        Some(tool) => bail!("{} is installed, but {:?} still fails", tool.debian, tool.probe),
        None => Ok(()),
    }
}

/// Whether a person has said yes to everything beforehand.
static AGREED: AtomicBool = AtomicBool::new(false);

/// From now on nobody is asked.
pub(crate) fn agree() {
    AGREED.store(true, Ordering::Relaxed);
}

/// How these packages are installed here: the words before `apt-get`. Where sudo needs a password, a
/// person at a terminal is asked first.
fn apt(packages: &str) -> Option<&'static [&'static str]> {
    if !found("apt-get") {
        return None;
    }
    let id = Command::new("id").arg("-u").stdin(Stdio::null()).output();
    if id.is_ok_and(|id| id.stdout.trim_ascii() == b"0") {
        return Some(&[]);
    }
    if !found("sudo") {
        return None;
    }
    if quiet(Command::new("sudo").args(["-n", "true"])) {
        return Some(&["sudo", "-n"]);
    }
    let asked = stdin().is_terminal() && env::var_os("CI").is_none();
    (asked && (AGREED.load(Ordering::Relaxed) || says_yes(packages))).then_some(&["sudo"])
}

fn says_yes(packages: &str) -> bool {
    let question = format!("Install {packages} with sudo? [Y/n] ");
    let mut answer = String::new();
    let asked = stdout().write_all(question.as_bytes()).and_then(|()| stdout().flush());
    let read = asked.and_then(|()| stdin().read_line(&mut answer));
    read.is_ok_and(|count| count > 0)
        && ["", "y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

fn apt_get(prefix: &[&str], args: &[&str], packages: &[&str]) -> Result<()> {
    let words = [prefix, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], args, packages];
    let words = words.concat();
    let Some((name, args)) = words.split_first() else { return Ok(()) };
    cargo::must(&mut cargo::program(OsStr::new(name), args))
}

/// The names of some packages, each once.
fn names(tools: &[&Tool], name: impl Fn(&Tool) -> &'static str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for tool in tools {
        let name = name(tool);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" ")
}

/// What a person can type instead.
fn advice(tools: &[&Tool]) -> String {
    format!(
        "  Debian, Ubuntu: apt-get install --no-install-recommends {}\n  \
           Fedora:         dnf install {}\n  \
           Arch:           pacman -S {}\n  \
           Homebrew:       brew install {}",
        names(tools, |tool| tool.debian),
        names(tools, |tool| tool.fedora),
        names(tools, |tool| tool.arch),
        names(tools, |tool| tool.brew),
    )
}

/// Node must also be young enough for the peers.
pub(crate) fn require_node(least: u32) -> Result<()> {
    let output = Command::new("node").arg("--version").output()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|it| it.parse().ok());
    match major {
        Some(major) if major >= least => Ok(()),
        Some::<u32>(_) | None => bail!("Node {least} or later is needed, this is {version:?}"),
    }
}
