//! Whether a Claude Code is at work that would wipe what it meets renewed, told from the programs
//! that run.
//!
//! Below 2.1.190 on macOS a session reads its store through a cache of 30 seconds. Where a renewal
//! ends the older access token at once, it presents the spent refresh token, is refused, and empties
//! the entry (measured with 2.1.119; 2.1.330 recovers).

use lamplighter_core::store::Wiper;

use super::version;

/// The first version that looks again before it empties an entry.
const FIRST_THAT_LOOKS_AGAIN: (u64, u64, u64) = (2, 1, 190);

/// The client that would, if one runs. `programs`: the paths of all that run, `None` where that
/// cannot be told; `installed`: the version for those whose path does not tell. A version that cannot
/// be told is taken to be an old one: waiting costs little, and a sign-in that is lost does not
/// come back.
pub(super) fn wiper(programs: Option<&[String]>, installed: Option<&str>) -> Option<Wiper> {
    let mut versions: Vec<Option<String>> = match programs {
        Some(programs) => programs
            .iter()
            .filter(|program| is_claude_code(program))
            .map(|program| version::within(program).or_else(|| installed.map(Into::into)))
            .collect(),
        None => vec![installed.map(Into::into)],
    };
    versions.retain(|version| {
        version.as_deref().and_then(version::parse).is_none_or(|it| it < FIRST_THAT_LOOKS_AGAIN)
    });
    // One whose version is known says more.
    versions.sort_by_key(Option::is_none);
    versions.into_iter().next().map(|version| Wiper { version })
}

/// `claude` by name, or the native installer's program, which is named after its version. The desktop
/// app is `Claude`, and has no such store.
fn is_claude_code(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    name == "claude" || (version::parse(name).is_some() && program.contains("/claude/versions/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The version of the one that was found, or a question mark.
    fn told(programs: &[&str], installed: Option<&str>) -> Option<String> {
        let programs: Vec<String> = programs.iter().map(|p| (*p).to_owned()).collect();
        let found = wiper(Some(&programs), installed)?;
        Some(found.version.unwrap_or_else(|| "?".into()))
    }

    #[test]
    fn an_old_one_that_runs_is_found_whatever_is_installed_by_now() {
        let old = "/Users/ana/.local/share/claude/versions/2.1.119";
        assert_eq!(told(&["/sbin/launchd", old], Some("2.1.330")), Some("2.1.119".into()));
        assert_eq!(told(&["claude"], Some("2.1.189")), Some("2.1.189".into()));
        assert_eq!(told(&["claude", old], None), Some("2.1.119".into()));
    }

    #[test]
    fn new_ones_other_programs_and_the_desktop_app_are_none() {
        let app = "/Applications/Claude.app/Contents/MacOS/Claude";
        let new = "/Users/ana/.local/share/claude/versions/2.1.190";
        assert_eq!(told(&[app, new, "/usr/bin/claudette"], Some("2.1.119")), None);
        assert_eq!(told(&["claude"], Some("2.1.330")), None);
        assert_eq!(told(&[], Some("2.1.119")), None);
    }

    #[test]
    fn what_cannot_be_told_is_taken_to_be_old() {
        assert_eq!(told(&["claude"], None), Some("?".into()));
        assert!(wiper(None, Some("2.1.119")).is_some());
        assert!(wiper(None, Some("2.1.330")).is_none());
    }
}
