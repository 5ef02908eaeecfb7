//! Changes single settings in the user's file; every other byte of it stays as it is, its comments, its
//! mode and a link that leads to it included.
//!
//! A file that does not exist begins as the documented one. It must not write what would not be read
//! back: the result is parsed before it takes the old one's place. A file that can't be read is not
//! written.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

use super::{Consent, Settings, SettingsFault, absolute};
use crate::{deadline, files, home, paths::Env};

/// How many links may lead to the file.
const MOST_LINKS: usize = 40;

/// How often a change is made anew because somebody else changed the file meanwhile.
const TRIES: usize = 5;

/// How long the disks that folders lie on are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The least that each of them gets once others have used that up.
const LEAST: Duration = Duration::from_millis(50);

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// What the one question was answered with.
    Consent(Consent),
    /// Whether notices are shown.
    Notices(bool),
    /// Whether servers are asked unasked.
    Probe(bool),
    /// Look at one more config folder.
    AddFolder(String),
    /// Look at it no more.
    RemoveFolder(String),
}

/// Makes the change in the file at `place`, atomically.
pub fn change(place: &Path, env: &Env, change: &Change) -> Result<(), SettingsFault> {
    rewrite(place, env, |file| changed(file, env, change))
}

/// Rewrites the file at `place`, atomically; `Err`: why it stays as it is.
pub(super) fn rewrite(
    place: &Path,
    env: &Env,
    change: impl Fn(&mut DocumentMut) -> Result<(), String>,
) -> Result<(), SettingsFault> {
    let fault = |what: String| SettingsFault { place: place.into(), at: None, what };
    let mut read = Settings::text(place)?;
    // Two of ours take turns, so that neither writes what it read before the other wrote.
    let _turn = turn(place).map_err(|error| fault(format!("can't be written: {error}")))?;
    for _ in 0..TRIES {
        let text = read.unwrap_or_else(|| Settings::example().into());
        let before = Settings::parse(&text, place, env)?;
        let mut file: DocumentMut =
            text.parse().map_err(|_: toml_edit::TomlError| fault("this is not TOML".into()))?;
        change(&mut file).map_err(&fault)?;
        let changed = restored_line_ends(&text, file.to_string());
        if changed == text && place.exists() {
            return Ok(());
        }
        let after = Settings::parse(&changed, place, env)?;
        // What was in the way before keeps nothing else from being set, nor from being mended.
        if after.network != before.network && before.check_network(place, env).is_ok() {
            after.check_network(place, env)?;
        }
        // An editor takes no turns: what it saved meanwhile is changed, not replaced.
        read = Settings::text(place)?;
        if read.as_ref().is_none_or(|now| *now == text) {
            return write(place, &changed)
                .map_err(|error| fault(format!("can't be written: {error}")));
        }
    }
    Err(fault("another program goes on changing it".into()))
}

/// The turn to write the file, until dropped: a lock on its folder, which makes no file. Where there is
/// none to be had, nobody is kept from writing.
fn turn(place: &Path) -> io::Result<Option<fs::File>> {
    let real = followed(place)?;
    let Some(folder) = real.parent() else { return Ok(None) };
    fs::create_dir_all(folder)?;
    let Ok(open) = fs::File::open(folder) else { return Ok(None) };
    Ok(deadline::within(PATIENCE, move || open.lock().map(|()| open).ok()).flatten())
}

/// The documented file, put there if there is none, for a person to edit.
pub fn make(place: &Path) -> io::Result<()> {
    if place.exists() { Ok(()) } else { write(place, Settings::example()) }
}

/// Replaces the file that `place` leads to; an older one keeps its mode.
fn write(place: &Path, text: &str) -> io::Result<()> {
    let real = followed(place)?;
    if let Some(folder) = real.parent() {
        fs::create_dir_all(folder)?;
    }
    files::replace_in_users_folder(&real, text.as_bytes())
}

/// Where the links at `place` lead, whether or not there is a file yet.
fn followed(place: &Path) -> io::Result<PathBuf> {
    let mut real = place.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&real) {
            Ok(to) => real = real.parent().unwrap_or_else(|| Path::new("/")).join(to),
            Err(_) => return Ok(real),
        }
    }
    Err(io::Error::other("its links lead in a circle"))
}

fn changed(file: &mut DocumentMut, env: &Env, change: &Change) -> Result<(), String> {
    match change {
        Change::Consent(Consent::Keep) => put(file.as_table_mut(), "consent", "keep"),
        Change::Consent(Consent::Watch) => put(file.as_table_mut(), "consent", "watch"),
        Change::Notices(on) => put(file.as_table_mut(), "notices", *on),
        Change::Probe(on) => put(file.as_table_mut(), "probe", *on),
        Change::AddFolder(folder) => {
            let no_folder = || format!("there is no folder {folder}");
            let path = absolute(folder, env).ok_or_else(no_folder)?;
            let asked = path.clone();
            match deadline::within(PATIENCE, move || asked.is_dir()) {
                Some(true) => {}
                Some(false) => return Err(no_folder()),
                None => return Err(format!("{folder} does not answer")),
            }
            let folders = folders(file)?;
            if positions(folders, &path, env).is_empty() {
                folders.push(folder.as_str());
            }
        }
        Change::RemoveFolder(folder) => {
            let path = absolute(folder, env).unwrap_or_else(|| folder.into());
            let folders = folders(file)?;
            let there = positions(folders, &path, env);
            if there.is_empty() {
                return Err(format!("{folder} is not in the list of folders"));
            }
            for index in there.into_iter().rev() {
                remove(folders, index);
            }
        }
    }
    Ok(())
}

/// The editor writes line feeds alone; a file that ends its lines otherwise goes on doing so.
fn restored_line_ends(before: &str, after: String) -> String {
    let dos = before.contains("\r\n") && !before.replace("\r\n", "").contains('\n');
    if dos { after.replace("\r\n", "\n").replace('\n', "\r\n") } else { after }
}

/// Sets a value and leaves what stands around the old one, a comment behind it included.
pub(super) fn put(table: &mut dyn TableLike, key: &str, to: impl Into<toml_edit::Value>) {
    let mut new = to.into();
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        *new.decor_mut() = old.decor().clone();
        *old = new;
    } else {
        table.insert(key, Item::Value(new));
    }
}

/// A table that is written only as part of the names of those within it.
pub(super) fn implicit_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

/// Where in the list this folder stands, however it is written. One that does not answer is known by its
/// text alone.
fn positions(folders: &Array, path: &Path, env: &Env) -> Vec<usize> {
    let until = Instant::now() + PATIENCE;
    let is_it = |written: &str| {
        let Some(written) = absolute(written, env) else { return false };
        if written == path {
            return true;
        }
        let left = until.saturating_duration_since(Instant::now()).max(LEAST);
        let path = path.to_owned();
        deadline::within(left, move || home::is_same(&written, &path)).unwrap_or(false)
    };
    let written = folders.iter().enumerate();
    written.filter(|(_, it)| it.as_str().is_some_and(is_it)).map(|(index, _)| index).collect()
}

/// Takes one out of the list. Comments before it stay: they may be about another.
fn remove(folders: &mut Array, index: usize) {
    let text = |text: Option<&toml_edit::RawString>| {
        text.and_then(toml_edit::RawString::as_str).unwrap_or_default().to_owned()
    };
    let removed = folders.remove(index);
    let before = text(removed.decor().prefix()) + &text(removed.decor().suffix());
    if !before.contains('#') {
        return;
    }
    if let Some(next) = folders.get_mut(index) {
        let own = text(next.decor().prefix());
        next.decor_mut().set_prefix(before + &own);
    } else {
        let own = text(Some(folders.trailing()));
        folders.set_trailing(before + &own);
    }
}

/// The list of folders, made where there is none.
fn folders(file: &mut DocumentMut) -> Result<&mut Array, String> {
    let no_table = || String::from("stores is not a table");
    let stores = file.entry("stores").or_insert_with(implicit_table);
    let stores = stores.as_table_like_mut().ok_or_else(no_table)?;
    let client = stores.entry("claude-code").or_insert(Item::Table(Table::new()));
    let client = client.as_table_like_mut().ok_or_else(no_table)?;
    let list = client.entry("folders").or_insert(value(Array::new()));
    list.as_array_mut().ok_or_else(|| String::from("folders is not a list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a file of settings, and folders to add.
    struct Rig {
        folder: tempfile::TempDir,
        place: PathBuf,
        env: Env,
    }

    impl Rig {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["team", "other"] {
                fs::create_dir_all(folder.path().join(name).join(".claude")).unwrap();
            }
            let place = folder.path().join("settings.toml");
            if !text.is_empty() {
                fs::write(&place, text).unwrap();
            }
            let env = Env::fixed([("HOME", folder.path()), ("USERPROFILE", folder.path())]);
            Self { folder, place, env }
        }

        fn change(&self, wish: &Change) -> Result<(), SettingsFault> {
            change(&self.place, &self.env, wish)
        }

        fn below(&self, name: &str) -> String {
            self.folder.path().join(name).display().to_string()
        }

        fn text(&self) -> String {
            fs::read_to_string(&self.place).unwrap()
        }

        fn read(&self) -> Settings {
            Settings::read(&self.place, &self.env).unwrap()
        }
    }

    #[test]
    fn a_change_leaves_every_other_byte_as_it_is() {
        let mine = "# mine\nprobe   = true # for now\n\n[network]\nproxy = \"none\"\n";
        let rig = Rig::new(mine);
        rig.change(&Change::Consent(Consent::Keep)).unwrap();
        rig.change(&Change::Notices(false)).unwrap();
        rig.change(&Change::AddFolder(rig.below("team/.claude"))).unwrap();
        let text = rig.text();
        for line in mine.lines() {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        let read = rig.read();
        assert_eq!((read.consent, read.notices), (Some(Consent::Keep), false));
        assert_eq!(read.claude_code.folders, [Path::new(&rig.below("team/.claude"))]);
        rig.change(&Change::RemoveFolder(rig.below("team/.claude"))).unwrap();
        assert!(rig.read().claude_code.folders.is_empty());
    }

    #[test]
    fn a_comment_behind_what_is_set_stays() {
        let rig = Rig::new("notices = true # in the daytime\nprobe=true\n# end\n");
        rig.change(&Change::Notices(false)).unwrap();
        rig.change(&Change::Probe(false)).unwrap();
        assert_eq!(rig.text(), "notices = false # in the daytime\nprobe=false\n# end\n");
        let rig = Rig::new("notices = true # mine\r\n\r\n[network]\r\nproxy = \"none\"\r\n");
        rig.change(&Change::Notices(false)).unwrap();
        rig.change(&Change::Consent(Consent::Watch)).unwrap();
        let expected = "notices = false # mine\r\nconsent = \"watch\"\r\n\r\n[network]\r\n\
                        proxy = \"none\"\r\n";
        assert_eq!(rig.text(), expected);
    }

    #[test]
    fn a_folder_is_added_once_however_it_is_written_and_removed_when_asked() {
        let rig = Rig::new("");
        let whole = rig.below("team/.claude");
        for written in ["~/team/.claude", &whole, &format!("{whole}/"), "~/team/../team/.claude"] {
            rig.change(&Change::AddFolder(written.into())).unwrap();
        }
        assert_eq!(rig.read().claude_code.folders, [Path::new(&whole)]);
        // The page shows it whole, the file has it as it was written.
        rig.change(&Change::RemoveFolder(whole.clone())).unwrap();
        assert!(rig.read().claude_code.folders.is_empty());
        let fault = rig.change(&Change::RemoveFolder(whole)).unwrap_err();
        assert!(fault.to_string().contains("not in the list"), "{fault}");
    }

    #[test]
    fn a_folder_that_does_not_exist_is_refused_and_one_that_is_gone_can_be_removed() {
        let rig = Rig::new("notices = true\n");
        fs::write(rig.folder.path().join("file"), "").unwrap();
        for folder in [rig.below("no/.claude"), rig.below("file"), ".claude".into()] {
            let fault = rig.change(&Change::AddFolder(folder)).unwrap_err();
            assert!(fault.to_string().contains("there is no folder"), "{fault}");
        }
        assert_eq!(rig.text(), "notices = true\n");
        rig.change(&Change::AddFolder(rig.below("team/.claude"))).unwrap();
        fs::remove_dir_all(rig.folder.path().join("team")).unwrap();
        rig.change(&Change::RemoveFolder(rig.below("team/.claude"))).unwrap();
        assert!(rig.read().claude_code.folders.is_empty());
    }

    #[test]
    fn a_folder_goes_and_every_comment_stays() {
        let rig = Rig::new(
            "[stores.claude-code]\nfolders = [\n    # at work\n    \"~/team/.claude\", # on weekdays\n\
             \n    # at home\n    \"~/other/.claude\", # else\n    # no more\n]\n",
        );
        rig.change(&Change::RemoveFolder("~/other/.claude".into())).unwrap();
        rig.change(&Change::RemoveFolder("~/team/.claude".into())).unwrap();
        assert!(rig.read().claude_code.folders.is_empty());
        for comment in ["# at work", "# on weekdays", "# at home", "# else", "# no more"] {
            assert!(rig.text().contains(comment), "{comment} is not in {}", rig.text());
        }
    }

    #[test]
    fn a_new_file_is_the_documented_one() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("lamplighter/settings.toml");
        let env = Env::fixed([("HOME", "/nowhere")]);
        change(&place, &env, &Change::Consent(Consent::Watch)).unwrap();
        let text = fs::read_to_string(&place).unwrap();
        assert!(text.contains("# How long the keyring may take"), "{text}");
        assert_eq!(Settings::read(&place, &env).unwrap().consent, Some(Consent::Watch));
    }

    #[test]
    fn no_change_is_lost_where_several_are_made_at_once() {
        let mut rig = Rig::new("");
        // There is no folder for the file yet.
        rig.place = rig.folder.path().join("lamplighter/settings.toml");
        let folders: Vec<String> = (0..8).map(|number| rig.below(&format!("f{number}"))).collect();
        for folder in &folders {
            fs::create_dir(folder).unwrap();
        }
        std::thread::scope(|scope| {
            for folder in &folders {
                scope.spawn(|| rig.change(&Change::AddFolder(folder.clone())).unwrap());
            }
            scope.spawn(|| rig.change(&Change::Notices(false)).unwrap());
            scope.spawn(|| rig.change(&Change::Probe(false)).unwrap());
        });
        let read = rig.read();
        assert_eq!((read.notices, read.probe), (false, false));
        assert_eq!(read.claude_code.folders.len(), folders.len());
    }

    #[test]
    fn what_an_editor_saved_meanwhile_is_changed_and_not_replaced() {
        let rig = Rig::new("notices = true\n");
        let saved = std::cell::Cell::new(false);
        rewrite(&rig.place, &rig.env, |file| {
            if !saved.replace(true) {
                fs::write(&rig.place, "notices = true\nprobe = false # by hand\n").unwrap();
            }
            put(file.as_table_mut(), "notices", false);
            Ok(())
        })
        .unwrap();
        assert_eq!(rig.text(), "notices = false\nprobe = false # by hand\n");
        // One that never rests is told of, and has the last word.
        let times = std::cell::Cell::new(0);
        let fault = rewrite(&rig.place, &rig.env, |file| {
            times.set(times.get() + 1);
            fs::write(&rig.place, format!("probe = false # {}\n", times.get())).unwrap();
            put(file.as_table_mut(), "notices", true);
            Ok(())
        });
        assert!(fault.unwrap_err().what.contains("another program"));
        assert_eq!(rig.text(), format!("probe = false # {}\n", times.get()));
    }

    #[test]
    #[cfg(unix)]
    fn a_link_and_a_mode_stay() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
        let rig = Rig::new("");
        let dotfiles = rig.folder.path().join("dotfiles");
        fs::create_dir(&dotfiles).unwrap();
        let real = dotfiles.join("lamp.toml");
        fs::write(&real, "notices = true\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("dotfiles/lamp.toml", &rig.place).unwrap();
        rig.change(&Change::Notices(false)).unwrap();
        assert!(fs::symlink_metadata(&rig.place).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "notices = false\n");
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(&dotfiles).unwrap().count(), 1);
        // One that leads to nothing, now, may lead to a disk that is not there: nothing is made in its
        // place but by a person who asks for the file.
        fs::remove_file(&real).unwrap();
        rig.change(&Change::Notices(true)).unwrap_err();
        assert!(!real.exists());
        make(&rig.place).unwrap();
        assert!(fs::symlink_metadata(&rig.place).unwrap().is_symlink() && real.exists());
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn no_file_beside_the_settings_is_touched_whatever_it_is_called() {
        let rig = Rig::new("notices = true\n");
        let beside = ["settings.toml.new", "settings.toml~", "settings.toml.tmp"];
        for name in beside {
            fs::write(rig.folder.path().join(name), "a draft").unwrap();
        }
        rig.change(&Change::Notices(false)).unwrap();
        for name in beside {
            assert_eq!(fs::read_to_string(rig.folder.path().join(name)).unwrap(), "a draft");
        }
        assert_eq!(rig.text(), "notices = false\n");
    }

    #[test]
    fn a_file_that_does_not_parse_is_not_written() {
        for text in ["probe = [", "folders = 1\n[stores]\nclaude-code = 7\n"] {
            let rig = Rig::new(text);
            rig.change(&Change::Probe(true)).unwrap_err();
            rig.change(&Change::AddFolder(rig.below("team/.claude"))).unwrap_err();
            assert_eq!(rig.text(), text);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_that_does_not_answer_holds_up_no_change_of_the_list() {
        let name =
            "settings::edit::tests::a_folder_that_does_not_answer_holds_up_no_change_of_the_list";
        let Some(dead) = crate::testing::with_a_dead_folder(name) else { return };
        let dead = dead.display().to_string();
        let rig = Rig::new(&format!("[stores.claude-code]\nfolders = [\"{dead}\"]\n"));
        let fault = rig.change(&Change::AddFolder(format!("{dead}/.claude"))).unwrap_err();
        assert!(fault.to_string().contains("does not answer"), "{fault}");
        rig.change(&Change::AddFolder(rig.below("team/.claude"))).unwrap();
        rig.change(&Change::RemoveFolder(dead)).unwrap();
        assert_eq!(rig.read().claude_code.folders, [Path::new(&rig.below("team/.claude"))]);
    }
}
