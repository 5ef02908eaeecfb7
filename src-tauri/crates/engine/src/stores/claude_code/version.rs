//! Which Claude Code is installed, told from its files: nothing is run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    paths::Env,
    regular_file::{self, LARGEST},
};

/// From this version on every write of the store takes a lock; before it, parallel sessions lose
/// sign-ins by themselves (measured: 4 of 6 in five rounds with 2.1.119, none with 2.1.220).
const FIRST_WITH_WRITE_LOCK: (u64, u64, u64) = (2, 1, 140);

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

/// The version that `claude` on the path is, or the newest that its installer left.
pub(super) fn installed(env: &Env, home: &Path) -> Option<String> {
    let path = env.get("PATH").unwrap_or_default();
    // A relative folder is another one wherever this process runs, a repository perhaps.
    let on_path = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let on_path = on_path.map(|folder| folder.join("claude"));
    let usual = [home.join(".local/bin/claude"), home.join(".claude/local/claude")];
    on_path
        .chain(usual)
        .filter_map(|place| fs::canonicalize(place).ok())
        .find_map(|p| of_file(&p).or_else(|| within(p.to_str()?)))
}

fn of_file(program: &Path) -> Option<String> {
    // The native installer names the program after its version.
    let named = program.file_name()?.to_str()?;
    if parse(named).is_some() {
        return Some(named.into());
    }
    let folders: Vec<PathBuf> = program.ancestors().skip(1).take(6).map(Path::to_owned).collect();
    folders.iter().find_map(|folder| {
        let text = regular_file::read(&folder.join("package.json"), LARGEST).ok()?;
        let package: Package = serde_json::from_slice(&text).ok()?;
        let ours = package.name.starts_with("@anthropic-ai/claude-code");
        (ours && parse(&package.version).is_some()).then_some(package.version)
    })
}

/// The version that a program's path names, as other installers have it:
/// `…/claude-code/2.1.330/claude`, `…/claude/versions/2.1.330`,
/// `…/anthropic.claude-code-2.1.330-darwin-arm64/…`.
pub(super) fn within(program: &str) -> Option<String> {
    let parts: Vec<&str> = program.split('/').collect();
    let of_folder = parts.windows(2).filter(|pair| matches!(pair[0], "claude-code" | "versions"));
    let of_folder = of_folder.map(|pair| pair[1]);
    let of_extension = parts.iter().filter_map(|part| {
        part.strip_prefix("anthropic.claude-code-").and_then(|rest| rest.split('-').next())
    });
    of_folder.chain(of_extension).find(|part| parse(part).is_some()).map(Into::into)
}

/// What a person should know about this version.
pub(super) fn advice(version: &str) -> Option<String> {
    (parse(version)? < FIRST_WITH_WRITE_LOCK).then(|| {
        format!(
            "version {version} can lose sign-ins by itself when several sessions run at once; \
             `claude update` mends that"
        )
    })
}

pub(super) fn parse(version: &str) -> Option<(u64, u64, u64)> {
    let mut parts = version.split('.').map(str::parse);
    let version = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_told_from_a_package_or_from_the_programs_name() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("node_modules/@anthropic-ai/claude-code");
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::write(
            folder.join("package.json"),
            r#"{"name":"@anthropic-ai/claude-code","version":"2.1.119"}"#,
        )
        .unwrap();
        fs::write(folder.join("bin/claude"), "").unwrap();
        assert_eq!(of_file(&folder.join("bin/claude")).as_deref(), Some("2.1.119"));
        assert_eq!(of_file(Path::new("/x/versions/2.1.330")).as_deref(), Some("2.1.330"));
        assert_eq!(of_file(&home.path().join("claude")), None);
    }

    #[test]
    fn other_installers_name_it_in_the_path() {
        for (path, version) in [
            ("/opt/homebrew/Caskroom/claude-code/2.1.330/claude", Some("2.1.330")),
            ("/h/.local/share/claude/versions/2.1.119", Some("2.1.119")),
            ("/h/x/anthropic.claude-code-2.1.220-darwin-arm64/resources/claude", Some("2.1.220")),
            ("/opt/homebrew/Cellar/node/22.1.0/bin/claude", None),
            ("claude", None),
        ] {
            assert_eq!(within(path).as_deref(), version, "{path}");
        }
    }

    #[test]
    fn only_versions_without_the_lock_get_advice() {
        assert!(advice("2.1.119").is_some());
        assert!(advice("2.1.140").is_none());
        assert!(advice("new").is_none());
    }
}
