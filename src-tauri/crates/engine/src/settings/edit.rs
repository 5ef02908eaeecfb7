//! Changes single settings in the user's file; every other byte of it stays as it is.
//!
//! A file that does not exist begins as the documented one. It must not write what would not be read
//! back: the result is parsed before it takes the old one's place.

use std::{fs, io, path::Path};

use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::{Consent, Settings, SettingsFault};
use crate::{files, paths::Env};

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
    let fault =
        |what: String| SettingsFault { place: place.into(), at: None, what, readable: true };
    let text = match fs::read_to_string(place) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Settings::example().into(),
        Err(error) => return Err(fault(format!("can't be read: {error}"))),
    };
    let changed = changed(&text, change).map_err(&fault)?;
    Settings::parse(&changed, place, env)?;
    let unwritable = |error: io::Error| fault(format!("can't be written: {error}"));
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(unwritable)?;
    }
    files::replace(place, changed.as_bytes()).map_err(unwritable)
}

/// The documented file, put there if there is none, for a person to edit.
pub fn make(place: &Path) -> io::Result<()> {
    if place.exists() {
        return Ok(());
    }
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    files::replace(place, Settings::example().as_bytes())
}

fn changed(text: &str, change: &Change) -> Result<String, String> {
    let mut file: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| error.message().to_owned())?;
    match change {
        Change::Consent(Consent::Keep) => set(&mut file, "consent", "keep"),
        Change::Consent(Consent::Watch) => set(&mut file, "consent", "watch"),
        Change::Notices(on) => set(&mut file, "notices", *on),
        Change::Probe(on) => set(&mut file, "probe", *on),
        Change::AddFolder(folder) => {
            let folders = folders(&mut file)?;
            if !folders.iter().any(|it| it.as_str() == Some(folder)) {
                folders.push(folder.as_str());
            }
        }
        Change::RemoveFolder(folder) => {
            folders(&mut file)?.retain(|it| it.as_str() != Some(folder));
        }
    }
    Ok(file.to_string())
}

fn set(file: &mut DocumentMut, key: &str, to: impl Into<toml_edit::Value>) {
    file[key] = value(to);
}

/// The list of folders, made where there is none.
fn folders(file: &mut DocumentMut) -> Result<&mut Array, String> {
    let no_table = || String::from("stores is not a table");
    let stores = file.entry("stores").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let stores = stores.as_table_like_mut().ok_or_else(no_table)?;
    let client = stores.entry("claude-code").or_insert(Item::Table(Table::new()));
    let client = client.as_table_like_mut().ok_or_else(no_table)?;
    let list = client.entry("folders").or_insert(value(Array::new()));
    list.as_array_mut().ok_or_else(|| String::from("folders is not a list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_every_other_byte_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("settings.toml");
        let mine = "# mine\nprobe   = true # for now\n\n[network]\nproxy = \"none\"\n";
        fs::write(&place, mine).unwrap();
        let env = Env::fixed([("HOME", "/nowhere")]);
        change(&place, &env, &Change::Consent(Consent::Keep)).unwrap();
        change(&place, &env, &Change::Notices(false)).unwrap();
        change(&place, &env, &Change::AddFolder("/work/.claude".into())).unwrap();
        let text = fs::read_to_string(&place).unwrap();
        for line in mine.lines() {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        let read = Settings::read(&place, &env).unwrap();
        assert_eq!((read.consent, read.notices), (Some(Consent::Keep), false));
        assert_eq!(read.claude_code.folders, [Path::new("/work/.claude")]);
        change(&place, &env, &Change::RemoveFolder("/work/.claude".into())).unwrap();
        assert!(Settings::read(&place, &env).unwrap().claude_code.folders.is_empty());
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
    fn a_file_that_does_not_parse_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("settings.toml");
        fs::write(&place, "probe = [").unwrap();
        let env = Env::fixed([("HOME", "/nowhere")]);
        assert!(change(&place, &env, &Change::Probe(true)).is_err());
        assert_eq!(fs::read_to_string(&place).unwrap(), "probe = [");
        fs::write(&place, "folders = 1\n[stores]\nclaude-code = 7\n").unwrap();
        assert!(change(&place, &env, &Change::AddFolder("/a".into())).is_err());
    }
}
