//! Single settings by their key, as `lamplighter settings` shows and sets them.
//!
//! A key is what stands in the file, with a dot between a table and what is in it: `network.proxy`. It must
//! not repeat a value in an error: a token may be in it.
//!
//! Read next: [`edit`], which writes the file.

use std::path::Path;

use toml::{Table, Value};
use toml_edit::TableLike;

use super::{Settings, SettingsFault, Wire, edit};
use crate::paths::Env;

/// What has no default.
const UNSET: [&str; 2] = ["client_metadata_url", "consent"];

/// Stands where something is not shown.
const HIDDEN: &str = "…";

/// The table whose keys are the user's own choice.
const PROFILES: &str = "profiles.";

/// Every setting that is in effect by the file at `place`, in the tables of the file.
pub fn in_effect(place: &Path, env: &Env) -> Result<Table, SettingsFault> {
    let text = Settings::text(place)?.unwrap_or_default();
    Settings::parse(&text, place, env)?;
    let fault = |what: &str| SettingsFault { place: place.into(), at: None, what: what.into() };
    let wire: Wire = toml::from_str(&text).map_err(|_| fault("this can't be understood"))?;
    Table::try_from(wire).map_err(|_| fault("this can't be shown"))
}

/// The same, without what a secret may stand in: the name and password of the proxy, and what the
/// user's command is given. Whoever wants those names their key.
pub fn without_secrets(mut settings: Table) -> Table {
    let network = settings.get_mut("network").and_then(Value::as_table_mut);
    if let Some(Value::String(proxy)) = network.and_then(|network| network.get_mut("proxy"))
        && let Some((secret, host)) = proxy.rsplit_once('@')
    {
        let scheme = secret.find("://").map_or("", |end| secret.split_at(end + 3).0);
        *proxy = format!("{scheme}{HIDDEN}@{host}");
    }
    if let Some(Value::Array(command)) = settings.get_mut("on_change") {
        command.iter_mut().skip(1).for_each(|argument| *argument = HIDDEN.into());
    }
    settings
}

/// All keys with their values, in the order of their names.
pub fn flat(settings: &Table) -> Vec<(String, &Value)> {
    let mut flat = Vec::new();
    for (key, value) in settings {
        if let Some(inner) = value.as_table() {
            let below = self::flat(inner).into_iter();
            flat.extend(below.map(|(name, value)| (format!("{key}.{name}"), value)));
        } else {
            flat.push((key.clone(), value));
        }
    }
    flat
}

/// Whether there is such a setting.
pub fn is_known(settings: &Table, key: &str) -> bool {
    UNSET.contains(&key)
        || key.starts_with(PROFILES)
        || flat(settings).iter().any(|(known, _)| known == key)
}

/// Sets one in the file at `place`, atomically. `values`: one as TOML or as a bare word; for a list, its
/// members or the whole list as TOML.
pub fn set(place: &Path, env: &Env, key: &str, values: &[String]) -> Result<(), SettingsFault> {
    let known = in_effect(place, env)?;
    let fault = |what: String| SettingsFault { place: place.into(), at: None, what };
    if !is_known(&known, key) {
        return Err(fault(
            "there is no such setting; `lamplighter settings get` lists them".into(),
        ));
    }
    let is_list = flat(&known).iter().any(|(name, value)| name == key && value.is_array());
    let value = match values {
        [one] if !is_list || read(one).is_array() => read(one),
        members if is_list => {
            toml_edit::Value::Array(members.iter().map(|member| read(member)).collect())
        }
        [] => return Err(fault(format!("{key} needs a value"))),
        _ => return Err(fault(format!("{key} takes one value"))),
    };
    let written = edit::rewrite(place, env, |file| {
        let mut path: Vec<&str> = key.split('.').collect();
        let last = path.pop().unwrap_or_default();
        let table =
            path.iter().try_fold(file.as_table_mut() as &mut dyn TableLike, |table, name| {
                table.entry(name).or_insert_with(edit::implicit_table).as_table_like_mut()
            });
        let table = table.ok_or_else(|| format!("what {key} is in is not a table"))?;
        edit::put(table, last, value.clone());
        Ok(())
    });
    // The file itself can be read, so what is told of a line is about the new value.
    written.map_err(|refused| match refused.at {
        Some(_) => fault(format!("{key}: {}", refused.what)),
        None => refused,
    })
}

/// As TOML; what is none is a text.
fn read(value: &str) -> toml_edit::Value {
    value.parse().unwrap_or_else(|_| value.into())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    struct File {
        _folder: tempfile::TempDir,
        place: PathBuf,
        env: Env,
    }

    impl File {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join("settings.toml");
            if !text.is_empty() {
                fs::write(&place, text).unwrap();
            }
            let env = Env::fixed([("HOME", folder.path()), ("USERPROFILE", folder.path())]);
            Self { _folder: folder, place, env }
        }

        fn set(&self, key: &str, values: &[&str]) -> Result<(), String> {
            let values: Vec<String> = values.iter().map(|&value| value.into()).collect();
            set(&self.place, &self.env, key, &values).map_err(|fault| fault.to_string())
        }

        fn get(&self, key: &str) -> Option<String> {
            let settings = in_effect(&self.place, &self.env).unwrap();
            let found = flat(&settings).into_iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.to_string())
        }

        fn text(&self) -> String {
            fs::read_to_string(&self.place).unwrap_or_default()
        }
    }

    #[test]
    fn every_setting_of_the_documented_file_can_be_had_and_set_by_its_key() {
        let file = File::new("");
        let known = in_effect(&file.place, &file.env).unwrap();
        let mut table = String::new();
        let mut seen = 0;
        for line in Settings::example().lines() {
            if let Some(name) = line.trim_start_matches('#').strip_prefix('[') {
                table = format!("{}.", name.trim_end_matches(']'));
            } else if let Some((name, value)) = line.trim_start_matches('#').split_once(" = ")
                && line.starts_with('#')
                && !line.starts_with("# ")
            {
                let key = format!("{table}{name}");
                assert!(is_known(&known, &key), "{key}");
                seen += 1;
                // Only certificates that are there are taken.
                if key == "network.extra_ca" {
                    assert!(file.set(&key, &[value]).unwrap_err().contains("corp.pem"));
                    continue;
                }
                file.set(&key, &[value]).unwrap();
                assert_eq!(file.get(&key).unwrap().replace('\'', "\""), value, "{key}");
            }
        }
        let all = flat(&known).len() + UNSET.len();
        assert!(seen > 10 && seen == all + 1, "{seen} of {all} and one of a profile");
    }

    #[test]
    fn a_bare_word_is_a_text_and_a_list_takes_its_members() {
        let file = File::new("# mine\nprobe = true # by day\n");
        file.set("keyring", &["off"]).unwrap();
        file.set("probe", &["false"]).unwrap();
        file.set("network.allow_http", &["nas.lan", "10.0.0.2"]).unwrap();
        file.set("stores.claude-code.folders", &["~/team/.claude"]).unwrap();
        file.set("network.proxy", &["http://proxy.corp:3128"]).unwrap();
        file.set("profiles.mine.hosts", &["[\"mcp.corp\"]"]).unwrap();
        let text = file.text();
        assert!(text.starts_with("# mine\nprobe = false # by day\nkeyring = \"off\"\n"), "{text}");
        for line in [
            "allow_http = [\"nas.lan\", \"10.0.0.2\"]",
            "folders = [\"~/team/.claude\"]",
            "[profiles.mine]\nhosts = [\"mcp.corp\"]",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn a_whole_list_shows_no_secret_and_the_key_itself_does() {
        let file = File::new("");
        for (proxy, shown) in [
            ("http://me:hush@proxy.corp:3128", "http://…@proxy.corp:3128"),
            ("http://hu@sh@proxy.corp", "http://…@proxy.corp"),
            ("http://proxy.corp:3128", "http://proxy.corp:3128"),
            ("none", "none"),
        ] {
            file.set("network.proxy", &[proxy]).unwrap();
            let list = without_secrets(in_effect(&file.place, &file.env).unwrap());
            assert_eq!(list["network"]["proxy"].as_str(), Some(shown));
            assert_eq!(
                file.get("network.proxy").unwrap().replace('\'', "\""),
                format!("\"{proxy}\"")
            );
        }
        file.set("on_change", &["notify", "--token", "hush"]).unwrap();
        let list = without_secrets(in_effect(&file.place, &file.env).unwrap());
        assert_eq!(list["on_change"], Value::from(vec!["notify", HIDDEN, HIDDEN]));
    }

    #[test]
    fn what_no_keeper_could_go_out_with_is_refused() {
        let file = File::new("probe = true\n");
        for (key, value) in
            [("network.extra_ca", "/no/such/corp.pem"), ("network.proxy", "hush://:not a url")]
        {
            let fault = file.set(key, &[value]).unwrap_err();
            assert!(fault.contains("[network]") && !fault.contains("hush"), "{key}: {fault}");
            assert_eq!(file.text(), "probe = true\n", "{key}");
        }
        // What was in the way before keeps no other setting from being changed.
        let broken = File::new("[network]\nextra_ca = [\"/no/such/corp.pem\"]\n");
        broken.set("probe", &["false"]).unwrap();
        broken.set("network.proxy", &["none"]).unwrap();
        broken.set("network.extra_ca", &["[]"]).unwrap();
    }

    #[test]
    fn what_would_not_be_read_back_is_refused_and_not_repeated() {
        let file = File::new("probe = true\n");
        for (key, values) in [
            ("prob", &["hush"][..]),
            ("network", &["hush"]),
            ("", &["hush"]),
            ("network.proxi", &["hush"]),
            ("probe", &["hush"]),
            ("probe", &["true", "hush"]),
            ("probe", &[]),
            ("consent", &["hush"]),
            ("keyring_wait_seconds", &["0"]),
            ("network.allow_http", &["http://hush"]),
            ("stores.claude-code.folders", &["hush"]),
            ("profiles.slack.access_life_seconds", &["hush"]),
            ("profiles.slack.hush", &["1"]),
        ] {
            let fault = file.set(key, values).unwrap_err();
            assert!(!fault.contains("hush"), "{key}: {fault}");
            assert_eq!(file.text(), "probe = true\n", "{key}");
        }
        let broken = File::new("probe = [");
        broken.set("probe", &["true"]).unwrap_err();
        assert_eq!(broken.text(), "probe = [");
    }
}
