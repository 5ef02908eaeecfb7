//! A settings file that is broken and mended while the desktop keeps.

use std::net::TcpListener;

use super::*;

const KEEP: &str = "consent = 'keep'\nkeyring = 'off'\n";
const WATCH: &str = "consent = 'watch'\nkeyring = 'off'\n";

/// A desktop that keeps, and the sign-in of its server, which waits for a server that never answers.
fn signing_in() -> (Rig, PathBuf, TcpListener) {
    let (rig, file) = desk_with(KEEP);
    rig.shell.until("it keeps", |_| is_kept(&rig));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let store = fs::read_to_string(store_file(rig.home.path())).unwrap();
    let store = store.replace("http://127.0.0.1:9", &address);
    fs::write(store_file(rig.home.path()), store).unwrap();
    let grant = GrantId::from("claude-code/notes");
    rig.bell.ring(Tick::Act(Act::Reconnect { grant }, None));
    rig.shell.until("the sign-in waits", is_signing_in);
    (rig, file, silent)
}

/// At once: a file that is half written would be other settings.
fn set(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

fn is_signing_in(seen: &Seen) -> bool {
    format!("{:?}", seen.menus.last()).contains("CancelSignIn")
}

#[test]
fn what_was_set_while_a_sign_in_waited_counts_whatever_the_file_came_to_afterwards() {
    let (rig, file, silent) = signing_in();
    set(&file, WATCH);
    rig.shell.until("it is seen", |seen| {
        seen.views.last().is_some_and(|view| !view.around.settings.keep)
    });
    set(&file, "consent = [\n");
    rig.shell.until("the page says it", |seen| notes(seen).contains("line 1"));
    assert!(rig.shell.with(|seen| is_signing_in(seen)) && is_kept(&rig));
    let grant = GrantId::from("claude-code/notes");
    rig.bell.ring(Tick::Act(Act::CancelSignIn { grant }, None));
    // What is in the air ends now.
    drop(silent);
    rig.shell.until("it only looks", |seen| !is_signing_in(seen) && !is_kept(&rig));
    set(&file, WATCH);
    rig.shell.until("the file is mended", |seen| !notes(seen).contains("line 1"));
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        assert!(!is_kept(&rig), "it renews against the person's word");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_notice_about_the_settings_is_one_and_goes_when_they_are_mended() {
    let (rig, file) = desk_with(KEEP);
    rig.shell.until("it keeps", |_| is_kept(&rig));
    for (text, line) in [("consent = [\n", "line 1"), ("\nconsent = [\n", "line 2")] {
        set(&file, text);
        rig.shell.until("it is told", |seen| {
            seen.notices.last().is_some_and(|notice| notice.body.contains(line))
        });
    }
    let numbers = |seen: &mut Seen| seen.notices.iter().map(|notice| notice.number).collect();
    let shown: Vec<u32> = rig.shell.with(numbers);
    assert_eq!(rig.shell.with(|seen| seen.withdrawn.clone()), shown[..1], "the older one");
    set(&file, KEEP);
    rig.shell.until("the newer one goes too", |seen| seen.withdrawn == shown);
}

#[test]
fn no_notice_about_the_settings_comes_where_none_is_wanted() {
    let (rig, file) = desk_with(&format!("{KEEP}notices = false\n"));
    rig.shell.until("it keeps", |_| is_kept(&rig));
    set(&file, "consent = [\n");
    rig.shell.until("the page says it", |seen| notes(seen).contains("line 1"));
    assert_eq!(rig.shell.with(|seen| seen.notices.len()), 0);
}
