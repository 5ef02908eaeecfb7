mod settings;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Instant,
};

use serde_json::json;

use super::*;

/// A desktop that writes down what is done to it.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is seen by itself")]
struct Seen {
    views: Vec<View>,
    menus: Vec<Vec<Item>>,
    lamps: Vec<(Shape, String)>,
    notices: Vec<Shown>,
    withdrawn: Vec<u32>,
    /// How often links were to come here.
    links_served: usize,
    page_open: bool,
    /// It is being made and takes no view yet.
    page_loads: bool,
    quit: bool,
    /// It starts with the desktop.
    at_login: bool,
    /// The home of the demo, where one may be played.
    demo: Option<PathBuf>,
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Seen>>);

impl Recorder {
    fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.with(|seen| holds(seen)) {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Shell for Recorder {
    fn show_view(&mut self, view: &View) -> bool {
        self.with(|seen| {
            if !seen.page_loads {
                seen.views.push(view.clone());
            }
            !seen.page_loads
        })
    }
    fn set_menu(&mut self, menu: &[Item]) {
        self.with(|seen| seen.menus.push(menu.to_vec()));
    }
    fn set_lamp(&mut self, shape: Shape, sentence: &str) {
        self.with(|seen| seen.lamps.push((shape, sentence.to_owned())));
    }
    fn notify(&mut self, notice: &Shown) {
        self.with(|seen| seen.notices.push(notice.clone()));
    }
    fn withdraw(&mut self, number: u32) {
        self.with(|seen| seen.withdrawn.push(number));
    }
    fn open_page(&mut self) {
        self.with(|seen| seen.page_open = true);
    }
    fn close_page(&mut self) {
        self.with(|seen| seen.page_open = false);
    }
    fn is_page_open(&self) -> bool {
        self.with(|seen| seen.page_open)
    }
    fn page_is_ready(&mut self) {}
    fn pin(&mut self, _on: bool) {}
    fn hold_page(&mut self, _on: bool) {}
    fn start_at_login(&self) -> Option<bool> {
        Some(self.with(|seen| seen.at_login))
    }
    fn set_start_at_login(&mut self, on: bool) -> Result<(), String> {
        self.with(|seen| seen.at_login = on);
        Ok(())
    }
    fn serve_links(&mut self) -> Result<(), String> {
        self.with(|seen| seen.links_served += 1);
        Ok(())
    }
    fn forget_links(&mut self) -> Result<(), String> {
        Ok(())
    }
    fn start_demo(&mut self) -> Result<PathBuf, String> {
        self.with(|seen| seen.demo.clone()).ok_or_else(|| "no demo here".into())
    }
    fn end_demo(&mut self) {}
    fn quit(&mut self) {
        self.with(|seen| seen.quit = true);
    }
}

struct Rig {
    home: tempfile::TempDir,
    shell: Recorder,
    bell: Bell,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Rig {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With these settings, if any.
    fn start_with(settings: &str) -> Self {
        Self::start_as(settings, false, None)
    }

    /// The same; `apart`: with a home of Lamplighter's that is set apart from the user's own; `first`: this
    /// happens before all else.
    fn start_as(settings: &str, apart: bool, first: Option<Tick>) -> Self {
        let home = tempfile::tempdir().unwrap();
        if !settings.is_empty() {
            fs::create_dir_all(home.path().join(".config/lamplighter")).unwrap();
            fs::write(home.path().join(".config/lamplighter/settings.toml"), settings).unwrap();
        }
        fs::create_dir(home.path().join(".claude")).unwrap();
        let far = now().0 + 3_600_000 * 10;
        let entry = json!({"serverName": "notes", "serverUrl": "http://127.0.0.1:9/mcp",
            "accessToken": "at-secret", "refreshToken": "rt-secret", "expiresAt": far,
            "clientId": "c", "discoveryState": {"authorizationServerUrl": "http://127.0.0.1:9"}});
        let store = json!({"mcpOAuth": {"notes|0123456789abcdef": entry}});
        fs::write(store_file(home.path()), store.to_string()).unwrap();
        let set_apart = home.path().join("apart").into_os_string();
        let mut env = vec![
            ("HOME", home.path().as_os_str()),
            ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere".as_ref()),
        ];
        env.extend(apart.then_some((crate::paths::HOME_OVERRIDE, set_apart.as_os_str())));
        let env = Env::fixed(env);
        let shell = Recorder::default();
        let (bell, ticks) = bell();
        if let Some(first) = first {
            bell.ring(first);
        }
        let desk = Desk::new(env, shell.clone(), bell.clone()).unwrap();
        let thread = std::thread::spawn(move || desk.run(ticks).unwrap());
        Self { home, shell, bell, thread: Some(thread) }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.bell.ring(Tick::End);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn store_file(home: &Path) -> PathBuf {
    home.join(".claude/.credentials.json")
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

#[test]
fn before_the_answer_nothing_is_written_anywhere() {
    let rig = Rig::start();
    let before = fs::read(store_file(rig.home.path())).unwrap();
    rig.shell.until("the server is seen", |seen| {
        seen.lamps.iter().any(|(_, words)| words == "notes is signed in")
    });
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.shell.until("the page is filled", |seen| {
        let view = seen.views.last();
        view.is_some_and(|view| {
            view.around.consent == view::Consent::Unasked
                && view.question == "Found a server that Claude Code is signed in to: notes."
        })
    });
    assert_eq!(fs::read(store_file(rig.home.path())).unwrap(), before);
    assert_eq!(files_in(rig.home.path()), [".claude"]);
    assert_eq!(files_in(&rig.home.path().join(".claude")), [".credentials.json"]);
    let view = rig.shell.with(|seen| serde_json::to_string(seen.views.last().unwrap()).unwrap());
    assert!(!view.contains("secret"), "no token reaches the page");
}

#[test]
fn after_a_yes_it_keeps_and_the_answer_is_written_down() {
    let rig = Rig::start();
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.shell.until("it looks", |seen| !seen.views.is_empty());
    let keep = lamplighter_core::desk::Answer::Keep;
    rig.bell.ring(Tick::Act(Act::Consent { answer: keep }, None));
    rig.shell.until("it keeps", |seen| {
        let view = seen.views.last();
        view.is_some_and(|view| {
            view.around.consent == view::Consent::Keep
                && view.rows.iter().any(|row| row.next_renewal_at.is_some())
        })
    });
    let settings = rig.home.path().join(".config/lamplighter/settings.toml");
    assert!(fs::read_to_string(settings).unwrap().contains("consent = \"keep\""));
}

#[test]
fn what_is_set_while_it_keeps_counts_and_it_goes_on_keeping() {
    let rig = Rig::start();
    rig.bell.ring(Tick::Act(Act::Open, None));
    let keep = lamplighter_core::desk::Answer::Keep;
    rig.bell.ring(Tick::Act(Act::Consent { answer: keep }, None));
    let keeps = |seen: &Seen| {
        let rows = seen.views.last().map(|view| view.rows.as_slice()).unwrap_or_default();
        rows.iter().find(|row| row.next_renewal_at.is_some()).map(|row| row.id.clone())
    };
    rig.shell.until("it keeps", |seen| keeps(seen).is_some());
    let grant = rig.shell.with(|seen| keeps(seen).unwrap());
    rig.bell.ring(Tick::Act(Act::Probe { on: false }, None));
    rig.bell.ring(Tick::Act(Act::Notices { on: false }, None));
    rig.bell.ring(Tick::Act(Act::Pause { grant: grant.clone() }, None));
    rig.shell.until("it still does what is clicked", |seen| {
        let view = seen.views.last().unwrap();
        !view.around.settings.probe
            && !view.around.settings.notices
            && view.rows.iter().any(|row| {
                row.id == grant && row.health == lamplighter_core::health::Health::Paused
            })
    });
}

#[test]
fn what_is_asked_of_a_page_that_is_still_being_made_is_not_lost() {
    let rig = Rig::start();
    rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
    rig.shell.with(|seen| seen.page_loads = true);
    let grant = GrantId::from("claude-code/notes");
    rig.bell.ring(Tick::Act(Act::Show { grant: grant.clone() }, None));
    // Something else happens before the page is there.
    rig.bell.ring(Tick::Presence(Presence::Here));
    rig.shell.until("the page is open", |seen| seen.page_open);
    rig.shell.with(|seen| seen.page_loads = false);
    rig.bell.ring(Tick::PageOpened);
    rig.shell.until("the row is asked for", |seen| {
        seen.views.iter().any(|view| view.around.focus.as_ref() == Some(&grant))
    });
    rig.bell.ring(Tick::PageOpened);
    rig.shell
        .until("once", |seen| seen.views.last().is_some_and(|view| view.around.focus.is_none()));
    rig.bell.ring(Tick::Act(Act::OpenSettings, None));
    rig.shell.until("the settings are asked for", |seen| {
        seen.views.iter().any(|view| view.around.turn_to_settings)
    });
    rig.bell.ring(Tick::PageOpened);
    rig.shell.until("once too", |seen| {
        seen.views.last().is_some_and(|view| !view.around.turn_to_settings)
    });
}

#[test]
fn a_notices_button_opens_the_page_on_its_row_before_the_browser_comes() {
    let rig = Rig::start();
    rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
    let grant = GrantId::from("claude-code/notes");
    rig.bell.ring(Tick::Pressed(Act::Reconnect { grant: grant.clone() }));
    rig.shell.until("its row is shown", |seen| {
        seen.views.iter().any(|view| view.around.focus.as_ref() == Some(&grant))
    });
}

/// The sign-in that a menu began has worked.
fn signed_in(grant: &GrantId) -> Tick {
    Tick::Told(Told::Event(Box::new(Event::SignedIn {
        grant: grant.clone(),
        server: "notes".into(),
        tools: Some(12),
        refused: false,
        account: None,
        other_account: false,
    })))
}

#[test]
fn success_is_a_notice_where_no_page_is_open_and_only_after_the_persons_own_act() {
    let rig = Rig::start_with("consent = 'watch'");
    rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
    let grant = GrantId::from("claude-code/notes");
    // Somebody else's, at a terminal.
    rig.bell.ring(signed_in(&grant));
    rig.bell.ring(Tick::Act(Act::Reconnect { grant: grant.clone() }, None));
    rig.bell.ring(signed_in(&grant));
    rig.shell.until("it is told", |seen| !seen.notices.is_empty());
    let notices = rig.shell.with(|seen| seen.notices.clone());
    let [notice] = notices.as_slice() else { panic!("{notices:?}") };
    assert_eq!(notice.title, "Signed in to notes, 12 tools");
    assert_eq!(notice.body, "In Claude Code sessions that are open: /mcp reconnect notes");
    assert!(!rig.shell.with(|seen| seen.page_open));
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.bell.ring(Tick::Act(Act::Reconnect { grant: grant.clone() }, None));
    rig.bell.ring(signed_in(&grant));
    rig.shell.until("the page says it", |seen| {
        seen.views.iter().any(|view| view.around.focus.as_ref() == Some(&grant))
    });
    assert_eq!(rig.shell.with(|seen| seen.notices.len()), 1);
}

#[test]
fn a_sign_in_that_failed_is_told_where_no_page_is_open_and_not_to_who_ended_it() {
    let rig = Rig::start_with("consent = 'watch'");
    rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
    let grant = GrantId::from("claude-code/notes");
    let failed = |code: &str| {
        let (grant, why) = (grant.clone(), String::from("the server refused it"));
        Tick::Told(Told::Event(Box::new(Event::SignInFailed { grant, code: code.into(), why })))
    };
    // Somebody else's, at a terminal; then one that the person ended.
    rig.bell.ring(failed("denied"));
    rig.bell.ring(Tick::Act(Act::Reconnect { grant: grant.clone() }, None));
    rig.bell.ring(failed("cancelled"));
    rig.bell.ring(Tick::Act(Act::Reconnect { grant: grant.clone() }, None));
    rig.bell.ring(failed("denied"));
    rig.shell.until("it is told", |seen| !seen.notices.is_empty());
    let notices = rig.shell.with(|seen| seen.notices.clone());
    let [notice] = notices.as_slice() else { panic!("{notices:?}") };
    assert_eq!(notice.title, "Not signed in to notes");
    assert_eq!(notice.body, "the server refused it");
    assert_eq!(notice.click, Act::Show { grant: grant.clone() });
    // A page that is open says it itself.
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.bell.ring(Tick::Act(Act::Reconnect { grant: grant.clone() }, None));
    rig.bell.ring(failed("denied"));
    rig.shell.until("the page says it", |seen| {
        seen.views.iter().any(|view| !view.around.notes.is_empty())
    });
    assert_eq!(rig.shell.with(|seen| seen.notices.len()), 1);
}

#[test]
#[cfg(unix)]
fn a_command_asks_for_the_page_of_the_tray_that_keeps() {
    use crate::socket::{Remote, Reply, Request};
    let rig = Rig::start_with("consent = 'keep'");
    rig.shell.until("it keeps", |seen| seen.menus.len() >= 2);
    let env = Env::fixed([("HOME", rig.home.path())]);
    let socket = Place::find(env).unwrap().paths.socket_file();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut remote = loop {
        if let Some(remote) = Remote::join(&socket).unwrap() {
            break remote;
        }
        assert!(Instant::now() < deadline, "nobody listens");
        std::thread::sleep(Duration::from_millis(10));
    };
    // Before the desktop has joined its keeper there is nobody to ask.
    let mut asked = false;
    while !asked && Instant::now() < deadline {
        remote.ask(&Request::OpenPage).unwrap();
        asked = matches!(remote.hear().unwrap(), Reply::PageAsked(true));
    }
    rig.shell.until("the page is open", |seen| seen.page_open);
}

#[test]
fn a_menu_that_did_not_change_is_not_set_again() {
    let rig = Rig::start();
    rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
    let count = rig.shell.with(|seen| seen.menus.len());
    for _ in 0..5 {
        rig.bell.ring(Tick::PageOpened);
    }
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.shell.until("the page is filled", |seen| !seen.views.is_empty());
    assert_eq!(rig.shell.with(|seen| seen.menus.len()), count);
}

/// A desk in a home with these settings, and where they lie.
fn desk_with(settings: &str) -> (Rig, PathBuf) {
    let rig = Rig::start_with(settings);
    let file = rig.home.path().join(".config/lamplighter/settings.toml");
    rig.bell.ring(Tick::Act(Act::Open, None));
    (rig, file)
}

fn notes(seen: &Seen) -> String {
    seen.views.last().map(|view| view.around.notes.join(" ")).unwrap_or_default()
}

#[test]
fn settings_that_cannot_be_read_stay_where_they_are_and_nothing_is_kept_until_they_are_mended() {
    let (rig, file) = desk_with("consent = [\n");
    rig.shell.until("the page says it", |seen| {
        notes(seen).contains("line 1") && notes(seen).contains("Nothing is renewed")
    });
    rig.shell.until("the server is seen", |seen| {
        seen.views.last().is_some_and(|view| !view.rows.is_empty())
    });
    // Neither a click nor a stance takes the note away, and no click acts on guesses.
    rig.bell.ring(Tick::Act(Act::CheckAll, None));
    rig.bell.ring(Tick::Act(Act::Probe { on: false }, None));
    rig.shell.until("it refuses to guess", |seen| notes(seen).matches("line 1").count() >= 2);
    rig.shell.with(|seen| {
        let view = seen.views.last().unwrap();
        assert_eq!(view.around.consent, view::Consent::Watch, "the question is not asked again");
    });
    assert_eq!(fs::read_to_string(&file).unwrap(), "consent = [\n");
    assert_eq!(files_in(file.parent().unwrap()), ["settings.toml"]);
    assert!(!rig.home.path().join(".local").exists());
    let notices = rig.shell.with(|seen| seen.notices.clone());
    let [notice] = notices.as_slice() else { panic!("{notices:?}") };
    assert!(notice.body.contains("settings.toml, line 1, column"), "{}", notice.body);
    assert_eq!((&notice.act, &notice.click), (&Act::Open, &Act::Open));
    fs::write(&file, "consent = 'keep'\nkeyring = 'off'\n").unwrap();
    rig.shell.until("it keeps", |seen| is_kept(&rig) && !notes(seen).contains("can't be read"));
}

/// Whether somebody keeps in this home.
fn is_kept(rig: &Rig) -> bool {
    let env = Env::fixed([("HOME", rig.home.path())]);
    crate::lock::EngineLock::holder(&crate::paths::Paths::find(&env).unwrap()).is_some()
}

#[test]
fn what_was_set_stays_in_effect_while_the_settings_cannot_be_read() {
    let (rig, file) = desk_with("consent = 'keep'\nkeyring = 'off'\nprobe = false\n");
    rig.shell.until("it keeps", |_| is_kept(&rig));
    fs::write(&file, "consent = 'keep'\non_change = 'notify xoxb-hush'\n").unwrap();
    rig.shell.until("the page says it", |seen| {
        notes(seen).contains("line 2") && notes(seen).contains("What was set before")
    });
    rig.shell.with(|seen| {
        assert!(!notes(seen).contains("hush"), "{}", notes(seen));
        let settings = &seen.views.last().unwrap().around.settings;
        assert!(!settings.probe && settings.keep);
    });
    // The keeper goes on with it, begun anew or not, and does what is asked.
    let grant = GrantId::from("claude-code/notes");
    rig.bell.ring(Tick::Act(Act::Pause { grant }, None));
    rig.shell.until("it still does what is clicked", |seen| {
        let view = seen.views.last().unwrap();
        view.rows.iter().any(|row| row.health == lamplighter_core::health::Health::Paused)
    });
    fs::write(&file, "consent = 'keep'\nkeyring = 'off'\nprobe = false\n").unwrap();
    rig.shell.until("the note goes", |seen| notes(seen).is_empty());
    assert_eq!(rig.shell.with(|seen| seen.notices.len()), 1, "once");
}

/// A home for a demo: nothing is signed in there.
fn demo_home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".claude")).unwrap();
    fs::write(store_file(home.path()), "{}").unwrap();
    home
}

/// Everything that reaches out of the demo.
fn acts_that_reach_out(folder: &Path) -> Vec<Act> {
    let keep = lamplighter_core::desk::Answer::Keep;
    let folder = folder.display().to_string();
    vec![
        Act::RemoveLamplighter,
        Act::StartAtLogin { on: true },
        Act::Consent { answer: keep },
        Act::Notices { on: false },
        Act::Probe { on: false },
        Act::AddFolder { folder: folder.clone() },
        Act::RemoveFolder { folder },
        Act::OpenSettingsFile,
        Act::Unlock { store: "claude-code".into() },
    ]
}

fn refused(bell: &Bell, act: &Act) -> bool {
    let (answer, answered) = oneshot::channel();
    bell.ring(Tick::Act(act.clone(), Some(answer)));
    answered.blocking_recv().unwrap().is_err_and(|why| why.contains("This is the demo"))
}

#[test]
fn in_the_demo_nothing_that_is_the_persons_can_be_set_or_removed() {
    let demo = demo_home();
    let (rig, file) = desk_with("consent = 'keep'\nkeyring = 'off'\n");
    rig.shell.until("it keeps", |_| is_kept(&rig));
    rig.shell.with(|seen| seen.demo = Some(demo.path().to_owned()));
    rig.bell.ring(Tick::Act(Act::Demo, None));
    let playing = |seen: &Seen| seen.views.last().is_some_and(|view| view.around.demo);
    rig.shell.until("the demo plays", playing);
    let before = fs::read(&file).unwrap();
    for act in acts_that_reach_out(rig.home.path()) {
        assert!(refused(&rig.bell, &act), "{act:?}");
        assert!(!act.is_for_the_demo());
        // From the menu too.
        rig.bell.ring(Tick::Act(act, None));
    }
    rig.shell.until("the page is told", |seen| notes(seen).contains("This is the demo"));
    rig.shell.with(|seen| {
        assert!(playing(seen) && !seen.quit && !seen.at_login);
        assert_eq!(seen.views.last().unwrap().around.settings.start_at_login, None);
        assert!(!format!("{:?}", seen.menus.last()).contains("Start at login"));
    });
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(!demo.path().join("lamplighter/settings.toml").exists());
    rig.bell.ring(Tick::Act(Act::LeaveDemo, None));
    rig.shell.until("it is over", |seen| !playing(seen));
    assert!(!refused(&rig.bell, &Act::Notices { on: false }));
}

#[test]
fn a_notice_of_the_persons_and_one_of_the_demos_know_nothing_of_each_other() {
    let demo = demo_home();
    let rig = Rig::start_with("consent = 'watch'");
    rig.shell.with(|seen| seen.demo = Some(demo.path().to_owned()));
    fs::create_dir_all(rig.home.path().join(".local/state/lamplighter")).unwrap();
    rig.bell.ring(Tick::Act(Act::Open, None));
    let row = |seen: &Seen| seen.views.last().and_then(|view| view.rows.first()).cloned();
    rig.shell.until("the server is seen", |seen| row(seen).is_some());
    let mut dead = rig.shell.with(|seen| row(seen)).unwrap();
    dead.health = lamplighter_core::health::Health::SignInRequired;
    dead.expires_at = None;
    let tell = || {
        let (rows, stores, unfinished) = (vec![dead.clone()], vec![], vec![]);
        let dead = Snapshot { rows, stores, unfinished, exit: 10 };
        rig.bell.ring(Tick::Told(Told::Snapshot(Box::new(dead))));
    };
    let told = |times: usize| {
        tell();
        rig.shell.until("it is told", |seen| seen.notices.len() == times);
        let number = rig.shell.with(|seen| seen.notices[times - 1].number);
        rig.bell.ring(Tick::NoticeShown(number));
        number
    };
    let own = told(1);
    rig.bell.ring(Tick::Act(Act::Demo, None));
    rig.shell.until("the demo plays", |seen| {
        let view = seen.views.last().unwrap();
        view.around.demo && view.rows.is_empty() && !view.stores.is_empty()
    });
    assert_eq!(rig.shell.with(|seen| seen.withdrawn.clone()), [own]);
    let demos = told(2);
    // What is found on the way back says nothing of the sign-in.
    fs::write(store_file(rig.home.path()), "{").unwrap();
    rig.bell.ring(Tick::Act(Act::LeaveDemo, None));
    rig.shell.until("its store is seen", |seen| {
        let view = seen.views.last().unwrap();
        !view.around.demo && view.stores.iter().any(|store| store.fault.is_some())
    });
    assert_eq!(rig.shell.with(|seen| seen.withdrawn.clone()), [own, demos]);
    told(3);
}

#[test]
fn a_desk_that_was_started_on_the_demo_shows_nothing_else_and_leaving_it_ends_it() {
    let demo = demo_home();
    let shell = Recorder::default();
    shell.with(|seen| seen.demo = Some(demo.path().to_owned()));
    let (bell, ticks) = bell();
    let desk = Desk::in_demo(shell.clone(), bell.clone()).unwrap();
    let thread = std::thread::spawn(move || desk.run(ticks).unwrap());
    bell.ring(Tick::Act(Act::Open, None));
    shell.until("the page is filled", |seen| !seen.views.is_empty());
    for act in acts_that_reach_out(demo.path()) {
        assert!(refused(&bell, &act), "{act:?}");
    }
    bell.ring(Tick::Act(Act::LeaveDemo, None));
    shell.until("it ends", |seen| seen.quit);
    bell.ring(Tick::End);
    thread.join().unwrap();
    let own = demo.path().display().to_string();
    shell.with(|seen| {
        for view in &seen.views {
            assert!(view.around.demo && view.around.consent == view::Consent::Keep);
            assert!(view.around.settings.file.starts_with(&own), "{:?}", view.around.settings);
        }
    });
}

#[test]
#[cfg(unix)]
fn the_persons_own_command_hears_news_from_the_tray_that_keeps() {
    let out = tempfile::tempdir().unwrap();
    let heard = out.path().join("heard");
    let command = format!("cat >> '{}'; exit 3", heard.display());
    let rig = Rig::start_with(&format!(
        "consent = 'keep'\nkeyring = 'off'\non_change = ['sh', '-c', \"{command}\"]"
    ));
    rig.shell.until("it keeps", |seen| seen.menus.len() >= 2);
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.bell.ring(Tick::Act(Act::Pause { grant: "claude-code/notes".into() }, None));
    rig.shell.until("the command hears of it", |_| {
        fs::read_to_string(&heard).is_ok_and(|told| told.contains("\"health\":\"paused\""))
    });
    rig.shell.until("its failure is on the page", |seen| {
        let notes = seen.views.last().map(|view| view.around.notes.join(" "));
        notes.is_some_and(|notes| notes.contains("on_change: the command failed"))
    });
    let told = fs::read_to_string(&heard).unwrap();
    assert!(told.lines().all(|line| line.contains("\"schema\":1")), "{told}");
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn settings_that_change_under_a_keeper_begin_it_anew_and_it_still_answers() {
    let rig = Rig::start();
    let keep = lamplighter_core::desk::Answer::Keep;
    rig.shell.until("it looks", |seen| !seen.lamps.is_empty());
    rig.bell.ring(Tick::Act(Act::Consent { answer: keep }, None));
    let socket = || {
        let env = Env::fixed([("HOME", rig.home.path())]);
        crate::paths::Paths::find(&env).unwrap().socket_file()
    };
    for on in [false, true, false] {
        let settings = rig.home.path().join(".config/lamplighter/settings.toml");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            // Who joins in the moment in which it begins anew finds nobody, and comes again.
            let joined = crate::socket::Remote::join(&socket()).ok().flatten();
            let answer = joined.and_then(|mut remote| {
                remote.ask(&crate::socket::Request::Snapshot).ok()?;
                remote.hear().ok()
            });
            if answer.is_some() {
                break;
            }
            assert!(Instant::now() < deadline, "nobody answers");
            std::thread::sleep(Duration::from_millis(50));
        }
        rig.bell.ring(Tick::Act(Act::Probe { on }, None));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !fs::read_to_string(&settings).unwrap_or_default().contains(&format!("probe = {on}"))
        {
            assert!(Instant::now() < deadline, "it is not set");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_link_that_nobody_waits_for_writes_nothing_and_asks_nobody() {
    let rig = Rig::start();
    rig.shell.until("the server is seen", |seen| !seen.lamps.is_empty());
    let link = "dev.lamplighter:/oauth/callback?code=1&state=x";
    rig.bell.ring(Tick::Link(Secret::new(link)));
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.shell.until("the page says so", |seen| {
        let notes = seen.views.last().map(|view| view.around.notes.concat());
        notes.is_some_and(|notes| notes.contains("no longer waiting"))
    });
    assert_eq!(files_in(rig.home.path()), [".claude"]);
    assert_eq!(files_in(&rig.home.path().join(".claude")), [".credentials.json"]);
}

#[test]
fn settings_that_the_system_does_not_give_stay_where_they_are() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/lamplighter");
    fs::create_dir_all(folder.join("settings.toml")).unwrap();
    let shell = Recorder::default();
    let (bell, ticks) = bell();
    let desk = Desk::new(Env::fixed([("HOME", home.path())]), shell.clone(), bell.clone()).unwrap();
    let thread = std::thread::spawn(move || desk.run(ticks).unwrap());
    bell.ring(Tick::Act(Act::Open, None));
    shell.until("it says so", |seen| {
        seen.views.last().is_some_and(|view| !view.around.notes.is_empty())
    });
    bell.ring(Tick::End);
    thread.join().unwrap();
    assert_eq!(files_in(&folder), ["settings.toml"]);
}

#[test]
fn who_cannot_leave_goes_on_keeping() {
    let rig = Rig::start();
    let keep = lamplighter_core::desk::Answer::Keep;
    rig.shell.until("it looks", |seen| !seen.lamps.is_empty());
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.bell.ring(Tick::Act(Act::Consent { answer: keep }, None));
    let keeps = |seen: &Seen| {
        let view = seen.views.last();
        view.is_some_and(|view| view.rows.iter().any(|row| row.next_renewal_at.is_some()))
    };
    rig.shell.until("it keeps", keeps);
    // A journal that nobody can read keeps everything where it is.
    let state = rig.home.path().join(".local/state/lamplighter");
    fs::create_dir_all(state.join("journal")).unwrap();
    let (answer, answered) = oneshot::channel();
    rig.bell.ring(Tick::Act(Act::RemoveLamplighter, Some(answer)));
    let why = answered.blocking_recv().unwrap().unwrap_err();
    assert!(why.starts_with("Nothing was removed: "), "{why}");
    assert!(!rig.shell.with(|seen| seen.quit));
    fs::remove_dir(state.join("journal")).unwrap();
    rig.shell.with(|seen| seen.views.clear());
    rig.bell.ring(Tick::PageOpened);
    rig.shell.until("it keeps again", keeps);
}

#[test]
fn while_it_leaves_the_window_and_the_menu_go_on_and_who_quits_stops_it() {
    use lamplighter_core::{
        ids::{RecordId, Target},
        journal::{Record, Stage},
        store::NewTokens,
    };

    let mut rig = Rig::start();
    rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
    // Tokens that were saved a moment ago are looked at for a minute before they are let go.
    let place = Place::find(Env::fixed([("HOME", rig.home.path())])).unwrap();
    place.paths.make().unwrap();
    let state = crate::state::State::open(&place.paths.state_file(), now()).unwrap().state;
    let entry = place.stores[0].look().unwrap().entries.swap_remove(0);
    let tokens = NewTokens {
        access: entry.pair.access.clone().unwrap(),
        refresh: entry.pair.refresh.clone(),
        expires_at: entry.pair.expires_at,
        scope: None,
    };
    let before = lamplighter_core::store::TokenPair {
        access: Some(Secret::new("at-before")),
        refresh: Some(Secret::new("rt-before")),
        expires_at: None,
    };
    let record = Record {
        id: RecordId::from("a moment ago"),
        at: now(),
        mark: lamplighter_core::ids::TokenMark::of(&state.mark_key(), &Secret::new("rt-before")),
        replaced: vec![(Target { store: place.stores[0].info().id, key: entry.key }, before)],
        client_id: "c".into(),
        stage: Stage::Saved { tokens, at: now(), looks: 0, restores: 0 },
        enrolment: None,
        written_over: None,
    };
    let journal = place.paths.journal_file();
    crate::journal::Journal::open(&journal, None, now()).0.keep(record).unwrap();

    rig.bell.ring(Tick::Act(Act::Open, None));
    let (answer, mut first) = oneshot::channel();
    rig.bell.ring(Tick::Act(Act::RemoveLamplighter, Some(answer)));
    rig.shell.until("it says what it does", |seen| {
        seen.views.last().is_some_and(|view| view.around.notes == [leaving::WORDS])
    });
    assert!(first.try_recv().is_err(), "whoever clicked hears how it ends");
    // A second click begins nothing.
    let (answer, answered) = oneshot::channel();
    rig.bell.ring(Tick::Act(Act::RemoveLamplighter, Some(answer)));
    assert_eq!(answered.blocking_recv().unwrap(), Err(leaving::WORDS.into()));
    rig.bell.ring(Tick::Act(Act::Quit, None));
    rig.shell.until("it quits", |seen| seen.quit);
    let started = Instant::now();
    rig.bell.ring(Tick::End);
    rig.thread.take().unwrap().join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(30), "it waits for the minute to pass");
    assert!(journal.exists(), "nothing was removed");
}

/// The page is made, takes its views, and is on the screen.
fn opened(rig: &Rig) {
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.bell.ring(Tick::PageOpened);
    rig.bell.ring(Tick::Act(Act::Ready, None));
}

fn notes_of(seen: &Seen) -> Vec<String> {
    seen.views.last().map(|view| view.around.notes.clone()).unwrap_or_default()
}

#[test]
fn an_error_from_while_the_window_was_closed_stays_until_it_was_seen() {
    let rig = Rig::start_with("consent = 'watch'");
    rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
    rig.bell.ring(Tick::Told(Told::Complaint("the command failed".into())));
    let grant = GrantId::from("claude-code/notes");
    // A menu can't show what comes of it.
    rig.bell.ring(Tick::Act(Act::CopyLink { grant: grant.clone() }, None));
    let both = ["the command failed", "The sign-in page's address is not known yet"];
    // Whoever comes by a row's line of the menu sees it, too.
    rig.bell.ring(Tick::Act(Act::Show { grant }, None));
    rig.shell.until("the page is filled", |seen| notes_of(seen) == both);
    opened(&rig);
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.bell.ring(Tick::Presence(Presence::Here));
    let filled = rig.shell.with(|seen| seen.views.len());
    rig.shell.until("more views came", |seen| seen.views.len() > filled);
    assert_eq!(rig.shell.with(|seen| notes_of(seen)), both, "opening it again hides nothing");
    rig.bell.ring(Tick::Act(Act::Probe { on: false }, None));
    rig.shell.until("what was seen goes with the next act", |seen| notes_of(seen).is_empty());
}

#[test]
fn what_kept_an_act_from_being_done_is_told_until_it_was_seen() {
    let rig = Rig::start_with("consent = 'watch'");
    rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
    let place = Place::find(Env::fixed([("HOME", rig.home.path())])).unwrap();
    place.paths.make().unwrap();
    let held = crate::lock::EngineLock::acquire(&place.paths, "another", Duration::ZERO).unwrap();
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.bell.ring(Tick::Act(Act::Renew { grant: "claude-code/notes".into() }, None));
    rig.shell.until("it is told", |seen| notes(seen).contains("another"));
    drop(held);
    opened(&rig);
    let filled = rig.shell.with(|seen| seen.views.len());
    // The next look says nothing of it.
    fs::write(store_file(rig.home.path()), "{").unwrap();
    rig.shell.until("the store is seen", |seen| {
        let mut later = seen.views.iter().skip(filled);
        later.any(|view| view.stores.iter().any(|store| store.fault.is_some()))
    });
    assert!(rig.shell.with(|seen| notes(seen).contains("another")));
}

#[test]
fn who_removes_a_home_that_is_set_apart_leaves_the_desktop_what_names_no_home() {
    for apart in [false, true] {
        let rig = Rig::start_as("", apart, None);
        rig.shell.with(|seen| seen.at_login = true);
        rig.bell.ring(Tick::Act(Act::RemoveLamplighter, None));
        rig.shell.until("it is removed", |seen| seen.quit);
        assert_eq!(rig.shell.with(|seen| seen.at_login), apart);
    }
}

#[test]
fn an_error_that_is_no_longer_true_goes_by_itself() {
    let rig = Rig::start_with("consent = 'watch'");
    rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
    let grant = GrantId::from("claude-code/notes");
    rig.bell.ring(Tick::Act(Act::Reconnect { grant: grant.clone() }, None));
    rig.bell.ring(Tick::Told(Told::Event(Box::new(Event::SignInFailed {
        grant: grant.clone(),
        code: "denied".into(),
        why: "the server refused it".into(),
    }))));
    opened(&rig);
    let words = "Not signed in to notes: the server refused it";
    rig.shell.until("it is said", |seen| notes_of(seen).iter().any(|note| note == words));
    // At a terminal, by somebody else.
    rig.bell.ring(signed_in(&grant));
    rig.shell.until("it has gone", |seen| !notes_of(seen).iter().any(|note| note == words));
}

#[test]
fn a_link_that_nobody_waits_for_opens_nothing_and_moves_no_focus() {
    let rig = Rig::start_with("consent = 'watch'");
    rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
    let link = |path: &str| Tick::Link(Secret::new(format!("dev.lamplighter:/{path}")));
    rig.bell.ring(link("oauth/callback?code=c&state=s"));
    rig.bell.ring(link("reconnect/claude-code/nobody"));
    rig.bell.ring(link("elsewhere"));
    let page = |good| Told::Page { title: "Signed in".into(), good, waited: false };
    rig.bell.ring(Tick::Told(page(false)));
    rig.bell.ring(Tick::Told(page(true)));
    rig.bell.ring(Tick::Act(Act::Notices { on: false }, None));
    let settings = rig.home.path().join(".config/lamplighter/settings.toml");
    let heard = || fs::read_to_string(&settings).unwrap().contains("notices = false");
    rig.shell.until("the last was done", |_| heard());
    assert!(!rig.shell.with(|seen| seen.page_open), "nothing opens the window");
    let grant = GrantId::from("claude-code/notes");
    rig.bell.ring(link("reconnect/claude-code/notes"));
    rig.shell.until("its row is brought forward", |seen| {
        seen.views.iter().any(|view| view.around.linked.as_ref() == Some(&grant))
    });
    assert!(rig.shell.with(|seen| seen.views.iter().all(|view| view.around.focus.is_none())));
}

#[test]
fn a_link_to_a_row_that_comes_before_any_row_is_known_waits_for_the_first_look() {
    for (name, opens) in [("notes", true), ("nobody", false)] {
        let link = format!("dev.lamplighter:/reconnect/claude-code/{name}");
        let link = Tick::Link(Secret::new(link));
        let rig = Rig::start_as("consent = 'watch'", false, Some(link));
        rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
        if opens {
            let grant = GrantId::from("claude-code/notes");
            rig.shell.until("its row is brought forward", |seen| {
                seen.views.iter().any(|view| view.around.linked.as_ref() == Some(&grant))
            });
        }
        assert_eq!(rig.shell.with(|seen| seen.page_open), opens, "{name}");
    }
}

#[test]
fn what_the_journal_holds_for_a_store_that_is_away_is_told_with_what_to_do() {
    let rig = Rig::start_with("consent = 'watch'");
    rig.shell.until("the server is seen", |seen| seen.menus.len() >= 2);
    rig.bell.ring(Tick::Act(Act::Open, None));
    let unfinished = lamplighter_core::snapshot::Unfinished {
        store: "claude-code@~/team".into(),
        client: "Claude Code".into(),
        place: "~/team".into(),
        sign_ins: 1,
        why: "~/team is not there".into(),
        advice: "bring it back".into(),
    };
    let (rows, stores, unfinished) = (vec![], vec![], vec![unfinished]);
    let snapshot = Snapshot { rows, stores, unfinished, exit: 12 };
    rig.bell.ring(Tick::Told(Told::Snapshot(Box::new(snapshot))));
    let words = "Claude Code in ~/team: the new tokens of one sign-in can't be saved (~/team is \
                 not there). To go on, bring it back.";
    rig.shell.until("the page says it", |seen| notes_of(seen) == [words]);
}

#[test]
fn links_come_here_after_a_yes_and_not_before() {
    let rig = Rig::start();
    rig.bell.ring(Tick::Act(Act::Open, None));
    rig.shell.until("it looks", |seen| !seen.views.is_empty());
    for answer in [lamplighter_core::desk::Answer::Watch, lamplighter_core::desk::Answer::Keep] {
        assert_eq!(rig.shell.with(|seen| seen.links_served), 0);
        rig.bell.ring(Tick::Act(Act::Consent { answer }, None));
        let wanted = match answer {
            lamplighter_core::desk::Answer::Watch => view::Consent::Watch,
            lamplighter_core::desk::Answer::Keep => view::Consent::Keep,
        };
        rig.shell.until("it is answered", |seen| {
            seen.views.last().is_some_and(|view| view.around.consent == wanted)
        });
    }
    assert_eq!(rig.shell.with(|seen| seen.links_served), 1);
    let again = Rig::start_with("consent = 'keep'");
    assert_eq!(
        again.shell.with(|seen| seen.links_served),
        1,
        "before the keeper asks who is served"
    );
}
