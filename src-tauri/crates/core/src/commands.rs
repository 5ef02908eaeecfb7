//! Commands of the client program that a person is shown for one server, by the client's own name for it.
//!
//! They are copied and pasted, so a name must not be able to add a word, a line or a second command. What
//! can't be typed plainly is not put into one: then a person is led to where all servers are listed.

use alloc::{format, string::String};

/// The longest name that anybody types.
const LONGEST: usize = 64;

/// What an open session of Claude Code is told after a repair: `/mcp reconnect my server`. It takes
/// all that follows for the name; `all` means something else to it.
pub fn in_session(name: &str) -> String {
    if is_typable(name) && name != "all" {
        format!("/mcp reconnect {name}")
    } else {
        String::from("/mcp")
    }
}

/// How a person signs in by the client itself: `claude mcp login 'my server'` in a shell.
pub fn sign_in(name: &str) -> String {
    if is_typable(name) {
        format!("`claude mcp login {}`", quoted(name))
    } else {
        String::from("/mcp in Claude Code")
    }
}

/// One word for a POSIX shell, whatever is in it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/%@+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('~') {
        return word.into();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Whether a name means in a command what it means in the client's configuration. A name that was made
/// harmless first, or cut, never does.
fn is_typable(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || " -_.:@+/~%".contains(c);
    !name.is_empty()
        && name.chars().count() <= LONGEST
        && name.chars().all(plain)
        && !name.starts_with(['-', ' '])
        && !name.ends_with(' ')
        && !name.contains("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{LONGEST_NAME, harmless};

    #[test]
    fn a_command_has_the_clients_own_name_in_it() {
        assert_eq!(in_session("slack"), "/mcp reconnect slack");
        assert_eq!(in_session("my server"), "/mcp reconnect my server");
        assert_eq!(in_session("slack~998a"), "/mcp reconnect slack~998a");
        assert_eq!(in_session("plugin:slack:slack"), "/mcp reconnect plugin:slack:slack");
        assert_eq!(sign_in("slack"), "`claude mcp login slack`");
        assert_eq!(sign_in("my server"), "`claude mcp login 'my server'`");
        assert_eq!(sign_in("~"), "`claude mcp login '~'`");
    }

    #[test]
    fn a_name_cannot_add_a_word_a_line_or_a_second_command() {
        let long = "x".repeat(200);
        for name in [
            "",
            "a; rm -rf ~",
            "a`id`",
            "$(id)",
            "a'b",
            "a\"b",
            "a\nb",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "-x",
            "a  b",
            " a",
            "a ",
            "a|b",
            "a&b",
            "a\\b",
            &long,
        ] {
            for name in [String::from(name), harmless(name, LONGEST_NAME)] {
                assert_eq!(in_session(&name), "/mcp", "{name:?}");
                assert_eq!(sign_in(&name), "/mcp in Claude Code", "{name:?}");
            }
        }
        assert_eq!(in_session("all"), "/mcp", "that would reconnect every server");
    }

    #[test]
    fn a_quoted_word_is_one_word() {
        assert_eq!(quoted("https://x.example/mcp?a=b&c"), "'https://x.example/mcp?a=b&c'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("plain-word"), "plain-word");
    }
}
