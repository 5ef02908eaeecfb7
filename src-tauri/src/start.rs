//! The start: what is checked before there is a window system, and how the parts are joined.
//!
//! A display must be there before GTK is asked for one, since it ends the process without a word that
//! helps. Read next: `shell`.

use std::sync::atomic::Ordering;

use anyhow::{Context as _, bail};
use lamplighter_core::secret::Secret;
#[cfg(target_os = "linux")]
use lamplighter_engine::children;
use lamplighter_engine::{
    desk::{self, Bell, Desk, Tick, Ticks},
    limits, output,
    paths::{Env, Paths},
    stop, traces,
};
use tauri::{AppHandle, Manager, RunEvent, Runtime};
use tauri_plugin_deep_link::DeepLinkExt;

use crate::{
    commands,
    desktop::HIDDEN,
    end::{AtHome, Last},
    notices, page,
    shell::Window,
    tray,
};

/// Started on servers of its own.
const DEMO: &str = "--demo";
/// The client library complains of every server that wants a sign-in, which is our daily bread.
const QUIET: &str = "warn,rmcp=off";
const HELP: &str = "\
lamplighter-tray [--hidden | --demo]

Keeps MCP servers signed in, with an icon in the panel. Started again it opens its window.

  --hidden   open no window; for the start at login
  --demo     show nothing but servers of its own, beside a tray that runs too; nothing of yours is
             read or written

`lamplighter` is the same without a desktop: `lamplighter keep`, `lamplighter status`.";

/// Starts, and works until it is told to quit.
pub(crate) fn run() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        output::err().line(HELP);
        return Ok(());
    }
    if words.iter().any(|word| word == "--version" || word == "-V") {
        output::err().line(concat!("lamplighter-tray ", env!("CARGO_PKG_VERSION")));
        return Ok(());
    }
    // A terminal that stands still or is gone holds up nothing here.
    let _haste = output::err().never_wait();
    start_log();
    if !has_display() {
        bail!("there is no display here; `lamplighter keep` does the same without one");
    }
    limits::raise_open_files();
    start_lean(&words)?;
    // A link comes by its plugin, and only one that asks for a row opens the window.
    let hidden = words.iter().any(|word| word == HIDDEN || is_link(word));
    let demo = words.iter().any(|word| word == DEMO);
    let mut context = tauri::generate_context!();
    context.config_mut().identifier = identifier(demo);
    let (bell, ticks) = desk::bell();
    let (for_second, for_setup) = (bell.clone(), bell.clone());
    let builder = tauri::Builder::default()
        // First, so that a second start is noticed before anything else is made.
        .plugin(tauri_plugin_single_instance::init(move |_, words, _| {
            // A link comes by the other plugin; anything else asks for the window.
            if !words.iter().any(|word| is_link(word)) {
                for_second.ring(Tick::Act(lamplighter_core::desk::Act::Open, None));
            }
        }))
        .plugin(tauri_plugin_deep_link::init());
    #[cfg(not(target_os = "linux"))]
    let builder = {
        use tauri_plugin_autostart::{MacosLauncher, init};
        builder
            .plugin(tauri_plugin_notification::init())
            .plugin(init(MacosLauncher::LaunchAgent, Some(vec![HIDDEN])))
    };
    #[cfg(target_os = "macos")]
    let builder = builder.on_web_content_process_terminate(|view| page::revive(view.app_handle()));
    let app = builder
        .manage(bell.clone())
        .manage(page::Place::default())
        .manage(tray::Icon::default())
        .manage(AtHome::default())
        .invoke_handler(tauri::generate_handler![commands::subscribe, commands::act])
        .setup(move |app| Ok(set_up(app.handle(), &for_setup, ticks, demo, hidden)?))
        .build(context)
        .context("the desktop can't be joined")?;
    app.run(move |app, event| happened(app, &event));
    Ok(())
}

/// Joins the parts once the window system runs.
fn set_up<R: Runtime>(
    app: &AppHandle<R>,
    bell: &Bell,
    ticks: Ticks,
    demo: bool,
    hidden: bool,
) -> anyhow::Result<()> {
    #[cfg(target_os = "macos")]
    app.set_activation_policy(tauri::ActivationPolicy::Accessory)?;
    notices::start(app, bell);
    let shell = Window::new(app.clone(), demo);
    // The demo's links are nobody's: they would come to the person's own.
    let desk = if demo {
        Desk::in_demo(shell, bell.clone())
    } else {
        links(app, bell);
        Desk::new(Env::Process, shell, bell.clone())
    };
    let desk = desk.context("the engine can't be started")?;
    let last = Last::of(app);
    std::thread::Builder::new().name("desk".into()).spawn(move || {
        let _last = last;
        if let Err(fault) = desk.run(ticks) {
            tracing::error!(%fault, "the desktop's loop ended");
        }
    })?;
    #[cfg(target_os = "linux")]
    crate::display::outlive(app);
    outlive_the_session_bus();
    let for_stop = bell.clone();
    tauri::async_runtime::spawn(async move {
        stop::asked().await;
        for_stop.ring(Tick::End);
    });
    tray::appear(app, bell, !hidden);
    if !hidden {
        bell.ring(Tick::Act(lamplighter_core::desk::Act::Open, None));
    }
    Ok(())
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LAMPLIGHTER_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(QUIET));
    // Its own complaint about a log that can't be written would panic.
    let log = tracing_subscriber::fmt().log_internal_errors(false).with_writer(|| output::Log);
    log.with_env_filter(filter).init();
}

/// What the desktop tells this program's instances apart by: the demo is another program than the
/// person's own tray, and so is the tray of each home that is set apart.
fn identifier(demo: bool) -> String {
    if demo {
        return format!("{}.demo", traces::IDENTIFIER);
    }
    let own = Paths::find(&Env::Process).map(|paths| traces::identifier(&paths.home));
    own.unwrap_or_else(|_| traces::IDENTIFIER.to_owned())
}

fn happened<R: Runtime>(app: &AppHandle<R>, event: &RunEvent) {
    if let RunEvent::ExitRequested { code, api, .. } = event
        && !app.state::<AtHome>().0.load(Ordering::Acquire)
    {
        api.prevent_exit();
        // Without a code the last window was closed, which is no reason to end. With one, a new token
        // may still be on its way: the loop ends when it is home, and asks once more.
        if code.is_some() {
            page::close(app);
            app.state::<Bell>().ring(Tick::End);
        }
    }
    #[cfg(target_os = "macos")]
    if let RunEvent::Reopen { .. } = event {
        app.state::<Bell>().ring(Tick::Act(lamplighter_core::desk::Act::Open, None));
    }
    if let RunEvent::Exit = event {
        app.state::<Bell>().ring(Tick::End);
    }
}

/// A program on a bus that is gone is ended by the bus's library, unless it says otherwise. Sign-ins
/// are kept without an icon too.
#[cfg(target_os = "linux")]
fn outlive_the_session_bus() {
    use gio::{BusType, Cancellable};
    match gio::bus_get_sync(BusType::Session, Cancellable::NONE) {
        Ok(bus) => bus.set_exit_on_close(false),
        Err(fault) => tracing::info!(%fault, "there is no session bus"),
    }
}

#[cfg(not(target_os = "linux"))]
const fn outlive_the_session_bus() {}

/// Links of our scheme, the one that started us included. They are hostile: nothing but the engine
/// looks into them, and nothing of them is logged.
fn links<R: Runtime>(app: &AppHandle<R>, bell: &Bell) {
    let for_later = bell.clone();
    app.deep_link().on_open_url(move |event| {
        for url in event.urls() {
            for_later.ring(Tick::Link(Secret::new(url.as_str())));
        }
    });
    if let Ok(Some(urls)) = app.deep_link().get_current() {
        for url in urls {
            bell.ring(Tick::Link(Secret::new(url.as_str())));
        }
    }
}

fn is_link(word: &str) -> bool {
    word.get(..16).is_some_and(|start| start.eq_ignore_ascii_case("dev.lamplighter:"))
}

/// `WebKit`'s faster way to the screen costs some 55 MB that a page of rows does not need. It is chosen
/// by the environment, which a running program cannot change safely: it starts itself once more.
#[cfg(target_os = "linux")]
fn start_lean(words: &[String]) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt;
    const LEAN: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";
    if std::env::var_os(LEAN).is_some() {
        return Ok(());
    }
    let mut again = std::process::Command::new(std::env::current_exe()?);
    // What it starts later is not to have it.
    let fault = again.args(words).env(LEAN, "1").env(children::SET_FOR_OURSELVES, LEAN).exec();
    Err(anyhow::Error::new(fault).context("starting again"))
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
const fn start_lean(_words: &[String]) -> anyhow::Result<()> {
    Ok(())
}

/// On Linux a window system must be named; elsewhere it is there.
fn has_display() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || set("DISPLAY") || set("WAYLAND_DISPLAY")
}
