//! The tray's entries with a Linux desktop: the one that hands our links to it, and the one that starts
//! it at login.
//!
//! Nothing is written before the person has said yes, and nothing for a program that runs from where it
//! was built. Each entry carries the mark of its home. It must not change another line of a list that is
//! shared.
//!
//! Read next: [`traces`](crate::traces), which takes all of it away; [`home`](crate::home);
//! <https://specifications.freedesktop.org/desktop-entry-spec/latest/exec-variables.html>.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    files,
    home::Home,
    paths::{Env, HOME_OVERRIDE, Paths},
    stores::atomic,
    traces::{HANDLER, HOME, SCHEME, TRAY, Traces},
};

const DEFAULTS: &str = "[Default Applications]";

/// Where the entries of a program lie.
#[derive(Debug, Clone)]
pub struct DesktopEntries {
    env: Env,
    home: Home,
    program: PathBuf,
    config: PathBuf,
    data: PathBuf,
}

impl DesktopEntries {
    /// The entries of this program. `None` without a home folder.
    pub fn of(env: &Env, program: &Path) -> Option<Self> {
        let base = |name: &str, usual: &str| {
            env.folder(name).or_else(|| env.home().map(|home| home.join(usual)))
        };
        Some(Self {
            env: env.clone(),
            home: Paths::find(env).ok()?.home,
            program: program.to_owned(),
            config: base("XDG_CONFIG_HOME", ".config")?,
            data: base("XDG_DATA_HOME", ".local/share")?,
        })
    }

    /// Makes this program the one that our links are handed to, unless the person has chosen another;
    /// whether it may be. A program may not that runs from where it was built, nor one whose home is set
    /// apart: links are the user's own home's.
    pub fn serve_links(&self) -> io::Result<bool> {
        if is_built_here(&self.program) || self.home.is_apart() {
            return Ok(false);
        }
        let folder = self.data.join("applications");
        let entry = format!(
            "[Desktop Entry]\nType=Application\nName=Lamplighter\n{HOME}{}\nExec={} %u\n\
             Terminal=false\nNoDisplay=true\nMimeType={SCHEME};\n",
            self.home.mark(),
            self.started()?
        );
        if write_if_new(&folder.join(HANDLER), &entry)? {
            self.refresh(&folder);
        }
        self.make_default().map(|()| true)
    }

    /// Whether the program starts with the desktop.
    pub fn starts_at_login(&self) -> bool {
        self.is_ours(&self.login())
    }

    /// Sets that. The desktop hands `argument` to the program then.
    pub fn start_at_login(&self, on: bool, argument: &str) -> io::Result<()> {
        // Where it was written before the folder of settings was asked for.
        let older =
            self.env.home().map(|home| home.join(".config/autostart").join(self.login_name()));
        if let Some(older) = older.filter(|older| *older != self.login())
            && self.is_ours(&older)
        {
            files::remove(&older)?;
        }
        if !on {
            return if self.starts_at_login() { files::remove(&self.login()) } else { Ok(()) };
        }
        let entry = format!(
            "[Desktop Entry]\nType=Application\nName=Lamplighter\nComment=Keeps MCP servers signed \
             in\n{HOME}{}\nExec={} {argument}\nTerminal=false\nStartupNotify=false\n",
            self.home.mark(),
            self.started()?
        );
        write_if_new(&self.login(), &entry).map(drop)
    }

    fn is_ours(&self, entry: &Path) -> bool {
        Traces::of(&self.env, &self.home).is_ours(entry, TRAY)
    }

    fn login(&self) -> PathBuf {
        self.config.join("autostart").join(self.login_name())
    }

    fn login_name(&self) -> String {
        format!("{}.desktop", self.home.name("Lamplighter", "-"))
    }

    /// What starts the program, at the beginning of an `Exec` line. A percent sign is only understood
    /// behind the first word (`GLib` 2.74 looks for that one as it stands).
    fn started(&self) -> io::Result<String> {
        let program = word(self.program.as_os_str())?;
        let apart = self.home.is_apart().then(|| self.env.get(HOME_OVERRIDE)).flatten();
        let Some(apart) = apart else {
            return Ok(if program.contains('%') { format!("env {program}") } else { program });
        };
        let mut home = OsString::from(format!("{HOME_OVERRIDE}="));
        home.push(apart);
        Ok(format!("env {} {program}", word(&home)?))
    }

    /// Names the entry in the person's list of what opens what, where that names nobody.
    fn make_default(&self) -> io::Result<()> {
        let list = self.config.join("mimeapps.list");
        let text = match fs::read_to_string(&list) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.config)?;
                return files::replace(&list, format!("{DEFAULTS}\n{}\n", line()).as_bytes());
            }
            Err(error) => return Err(error),
        };
        let Some(text) = with_default(&text) else { return Ok(()) };
        let mode = fs::metadata(&list)?.permissions();
        let replaced = atomic::prepare(&list, text.as_bytes()).and_then(atomic::Ready::commit);
        replaced.map_err(io::Error::other)?;
        fs::set_permissions(&list, mode)
    }

    /// Lets the desktop take note of the entry, where it keeps a list of them. Nobody waits for it.
    fn refresh(&self, folder: &Path) {
        let mut update = Command::new("update-desktop-database");
        self.env.dress(&mut update);
        update.arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match update.spawn() {
            Ok(mut child) => drop(std::thread::spawn(move || child.wait())),
            Err(error) => tracing::info!(%error, "the desktop's list of programs is as it was"),
        }
    }
}

/// Whether the program lies in a folder that cargo builds into: it may be gone tomorrow.
fn is_built_here(program: &Path) -> bool {
    let made_by_cargo = |folder: &Path| {
        let tag = fs::read_to_string(folder.join("CACHEDIR.TAG"));
        tag.is_ok_and(|tag| tag.contains("created by cargo"))
    };
    program.ancestors().skip(1).any(made_by_cargo)
}

/// Writes an entry whose text differs; whether it did.
fn write_if_new(place: &Path, entry: &str) -> io::Result<bool> {
    if fs::read_to_string(place).is_ok_and(|text| text == entry) {
        return Ok(false);
    }
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    files::replace(place, entry.as_bytes()).map(|()| true)
}

/// One word of an `Exec` line. Where it needs no quotes it has none: `xdg-open` takes quotes for a part
/// of a program's name where no desktop environment is known (xdg-utils 1.1.3).
fn word(text: &OsStr) -> io::Result<String> {
    let odd = || io::Error::new(io::ErrorKind::InvalidInput, "its path can't stand in an entry");
    let text = text.to_str().filter(|text| !text.chars().any(char::is_control)).ok_or_else(odd)?;
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+,:@=".contains(c)) {
        return Ok(text.to_owned());
    }
    let mut word = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '`' | '$' | '\\' => word.push('\\'),
            '%' => word.push('%'),
            _ => {}
        }
        word.push(letter);
    }
    word.push('"');
    // The file's own rule for texts comes on top.
    Ok(word.replace('\\', "\\\\"))
}

fn line() -> String {
    format!("{SCHEME}={HANDLER}")
}

/// The list with our line, every other byte as it was. `None` where the list names somebody already.
fn with_default(text: &str) -> Option<String> {
    let mut section = "";
    let mut after = None;
    let mut end = 0;
    for one in text.split_inclusive('\n') {
        end += one.len();
        let words = one.trim();
        if words.starts_with('[') {
            section = words;
        } else if section == DEFAULTS
            && words.split_once('=').is_some_and(|(key, who)| {
                key.trim() == SCHEME && who.split(';').any(|name| !name.trim().is_empty())
            })
        {
            return None;
        }
        if section == DEFAULTS && after.is_none() {
            after = Some(end);
        }
    }
    let mut all = text.to_owned();
    match after {
        Some(place) if text[..place].ends_with('\n') => {
            all.insert_str(place, &format!("{}\n", line()));
        }
        Some(place) => all.insert_str(place, &format!("\n{}\n", line())),
        None => {
            if !all.is_empty() && !all.ends_with('\n') {
                all.push('\n');
            }
            all.extend([DEFAULTS, "\n", &line(), "\n"]);
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(home: &Path, program: &Path) -> DesktopEntries {
        let (config, data) = (home.join("its config"), home.join("its data"));
        let all = [("HOME", home.to_owned()), ("XDG_CONFIG_HOME", config), ("XDG_DATA_HOME", data)];
        DesktopEntries::of(&Env::fixed(all), program).unwrap()
    }

    #[test]
    fn a_word_of_an_entry_is_what_a_desktop_reads_back() {
        for (path, written) in [
            ("/usr/bin/lamplighter-tray", "/usr/bin/lamplighter-tray"),
            ("/opt/my lamps/tray", "\"/opt/my lamps/tray\""),
            ("/opt/100%/tray", "\"/opt/100%%/tray\""),
            ("/o/a$b`c\"d\\e/tray", r#""/o/a\\$b\\`c\\"d\\\\e/tray""#),
            ("/opt/lämp/tray", "\"/opt/lämp/tray\""),
        ] {
            assert_eq!(word(path.as_ref()).unwrap(), written, "{path}");
        }
        assert!(word("/opt/a\nExec=evil/tray".as_ref()).is_err());
        let home = tempfile::tempdir().unwrap();
        let started = entries(home.path(), Path::new("/opt/100%/tray")).started();
        assert_eq!(started.unwrap(), "env \"/opt/100%%/tray\"");
    }

    #[test]
    fn a_home_that_is_set_apart_starts_at_login_by_itself_and_takes_no_links() {
        let home = tempfile::tempdir().unwrap();
        let apart = home.path().join("try it");
        let all = Env::fixed([("HOME", home.path()), (HOME_OVERRIDE, apart.as_path())]);
        let all = DesktopEntries::of(&all, Path::new("/opt/lamplighter-tray")).unwrap();
        assert!(!all.serve_links().unwrap());
        all.start_at_login(true, "--hidden").unwrap();
        let text = fs::read_to_string(all.login()).unwrap();
        let started = format!(
            "\nExec=env \"LAMPLIGHTER_HOME={}\" /opt/lamplighter-tray --hidden\n",
            apart.display()
        );
        assert!(text.contains(&started), "{text}");
        assert!(text.contains(&format!("\n{HOME}{}\n", all.home.mark())), "{text}");
        let usual = entries(home.path(), Path::new("/opt/lamplighter-tray"));
        assert_ne!(usual.login_name(), all.login_name(), "the user's own has another");
    }

    #[test]
    fn links_are_served_from_where_the_person_keeps_settings_and_nowhere_else() {
        let home = tempfile::tempdir().unwrap();
        let all = entries(home.path(), Path::new("/opt/my lamps/lamplighter-tray"));
        assert!(all.serve_links().unwrap());
        let handler = home.path().join("its data/applications").join(HANDLER);
        let text = fs::read_to_string(handler).unwrap();
        assert!(text.contains("\nExec=\"/opt/my lamps/lamplighter-tray\" %u\n"), "{text}");
        let list = fs::read_to_string(home.path().join("its config/mimeapps.list")).unwrap();
        assert_eq!(list, format!("[Default Applications]\n{SCHEME}={HANDLER}\n"));
        assert!(all.serve_links().unwrap(), "once more changes nothing");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_program_that_runs_from_where_it_was_built_writes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let built = home.path().join("out");
        fs::create_dir_all(built.join("debug")).unwrap();
        let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# created by cargo.\n";
        fs::write(built.join("CACHEDIR.TAG"), tag).unwrap();
        let all = entries(home.path(), &built.join("debug/lamplighter-tray"));
        assert!(!all.serve_links().unwrap());
        assert!(!home.path().join("its data").exists() && !home.path().join("its config").exists());
    }

    #[test]
    fn a_list_gets_one_line_where_it_names_nobody_and_keeps_every_other_byte() {
        let others = "# mine\r\n[Added Associations]\nx=y.desktop;\n\n[Default Applications]\ntext/html=b.desktop\n\n[Removed Associations]\n";
        let ours = format!("{SCHEME}={HANDLER}\n");
        let got = with_default(others).unwrap();
        assert_eq!(got.replace(&ours, ""), others);
        assert!(got.contains(&format!("[Default Applications]\n{ours}text/html")), "{got}");
        assert_eq!(with_default(&got), None);
        for (text, want) in [
            ("", format!("[Default Applications]\n{ours}")),
            ("[A]\nb=c", format!("[A]\nb=c\n[Default Applications]\n{ours}")),
            ("[Default Applications]", format!("[Default Applications]\n{ours}")),
        ] {
            assert_eq!(with_default(text).unwrap(), want);
        }
        let chosen = format!("[Default Applications]\n{SCHEME}=of-the-person.desktop;\n");
        assert_eq!(with_default(&chosen), None, "what the person chose stays");
        let elsewhere = format!("[Removed Associations]\n{SCHEME}={HANDLER};\n");
        assert!(with_default(&elsewhere).is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_list_that_is_a_link_stays_one_and_keeps_its_mode() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let home = tempfile::tempdir().unwrap();
        let real = home.path().join("dotfiles.list");
        fs::write(&real, "[Default Applications]\n").unwrap();
        fs::set_permissions(&real, PermissionsExt::from_mode(0o644)).unwrap();
        fs::create_dir(home.path().join("its config")).unwrap();
        let list = home.path().join("its config/mimeapps.list");
        symlink(&real, &list).unwrap();
        entries(home.path(), Path::new("/usr/bin/lamplighter-tray")).serve_links().unwrap();
        assert!(fs::symlink_metadata(&list).unwrap().is_symlink());
        assert!(fs::read_to_string(&real).unwrap().contains(HANDLER));
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn the_start_at_login_is_written_where_settings_are_and_an_older_one_goes() {
        let home = tempfile::tempdir().unwrap();
        let older = home.path().join(".config/autostart/Lamplighter.desktop");
        fs::create_dir_all(older.parent().unwrap()).unwrap();
        fs::write(&older, "[Desktop Entry]\nExec=/old/lamplighter-tray --hidden").unwrap();
        let all = entries(home.path(), Path::new("/opt/my lamps/lamplighter-tray"));
        assert!(!all.starts_at_login());
        all.start_at_login(true, "--hidden").unwrap();
        assert!(all.starts_at_login() && !older.exists());
        let login = home.path().join("its config/autostart/Lamplighter.desktop");
        let text = fs::read_to_string(login).unwrap();
        assert!(text.contains("\nExec=\"/opt/my lamps/lamplighter-tray\" --hidden\n"), "{text}");
        all.start_at_login(false, "--hidden").unwrap();
        assert!(!all.starts_at_login());
    }

    #[test]
    fn an_entry_that_another_home_marked_is_neither_counted_nor_removed() {
        let home = tempfile::tempdir().unwrap();
        let all = entries(home.path(), Path::new("/usr/bin/lamplighter-tray"));
        let older = home.path().join(".config/autostart/Lamplighter.desktop");
        let login = home.path().join("its config/autostart/Lamplighter.desktop");
        let others = format!("[Desktop Entry]\n{HOME}/another\nExec=/usr/bin/lamplighter-tray");
        for file in [&older, &login] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, &others).unwrap();
        }
        assert!(!all.starts_at_login());
        all.start_at_login(false, "--hidden").unwrap();
        for file in [&older, &login] {
            assert_eq!(fs::read_to_string(file).unwrap(), others, "{}", file.display());
        }
    }
}
