//! Sentences that only a desktop says, and links as it may be handed them.

use lamplighter_core::{commands, ids::GrantId, secret::Secret, text};
use url::Url;

/// `Signed in to Notion as ada, 12 tools. You can close the browser tab. Open Claude Code sessions:`
pub(super) fn signed_in(
    title: &str,
    tools: Option<u32>,
    refused: bool,
    account: Option<&str>,
    other_account: bool,
) -> String {
    let account = account.map(|account| format!(" as {account}")).unwrap_or_default();
    let tools = tools.map(|tools| format!(", {tools} tools")).unwrap_or_default();
    let other = if other_account { " This is another account than before." } else { "" };
    if refused {
        return format!("Signed in to {title}{account}, but it refuses the new token.{other}");
    }
    format!(
        "Signed in to {title}{account}{tools}. You can close the browser tab.{other} \
         Open Claude Code sessions:"
    )
}

/// `Signed in to Notion, 12 tools`
pub(super) fn signed_in_briefly(title: &str, tools: Option<u32>) -> String {
    match tools {
        Some(1) => format!("Signed in to {title}, 1 tool"),
        Some(tools) => format!("Signed in to {title}, {tools} tools"),
        None => format!("Signed in to {title}"),
    }
}

/// `Not signed in to Notion`
pub(super) fn not_signed_in(title: &str) -> String {
    format!("Not signed in to {title}")
}

/// What open sessions need, for a place that has no button to copy it.
pub(super) fn for_open_sessions(server: &str) -> String {
    format!("In Claude Code sessions that are open: {}", commands::in_session(server))
}

/// What a link of our scheme can be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// A callback, with its query.
    Callback(Secret),
    /// A row to show.
    Row(GrantId),
}

/// Reads a link; both forms of the scheme with one slash and with two are known to arrive.
pub(super) fn link(text: &str) -> Option<Link> {
    let url = Url::parse(text.trim()).ok()?;
    if url.scheme() != "dev.lamplighter" {
        return None;
    }
    let path = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
    let path = path.trim_start_matches('/');
    if path == "oauth/callback" {
        return url.query().map(|query| Link::Callback(Secret::new(query)));
    }
    let id = path.strip_prefix("reconnect/")?;
    let id = text::identifier_in_link(id);
    let plain = !id.is_empty() && id.len() <= 300 && !id.chars().any(char::is_control);
    plain.then(|| Link::Row(GrantId(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_callbacks_and_rows_are_understood() {
        for text in [
            "dev.lamplighter:/oauth/callback?code=c&state=s",
            "dev.lamplighter://oauth/callback?code=c&state=s",
            "DEV.LAMPLIGHTER:/oauth/callback?code=c&state=s",
        ] {
            assert_eq!(link(text), Some(Link::Callback(Secret::new("code=c&state=s"))), "{text}");
        }
        let row = Some(Link::Row("claude-code/my server".into()));
        assert_eq!(link("dev.lamplighter:/reconnect/claude-code/my%20server"), row);
        let row = Some(Link::Row("claude-code/Büro".into()));
        assert_eq!(link("dev.lamplighter:/reconnect/claude-code/B%C3%BCro"), row);
        for text in [
            "",
            "https://as.example/oauth/callback?code=c",
            "dev.lamplighter:/oauth/callback",
            "dev.lamplighter:/reconnect/",
            "dev.lamplighter:/other?code=c",
            "--help",
        ] {
            assert_eq!(link(text), None, "{text}");
        }
    }

    #[test]
    fn a_link_with_an_identifier_names_that_row_and_no_other() {
        for id in [
            "claude-code/slack%7E998a",
            "claude-code/slack~998a",
            "claude-code/team%2Fslack",
            "claude-code/100%25",
            "claude-code/%20slack%20",
            "claude-code/a%0Ab",
            "claude-code/my server",
            "claude-code@~/.claude work/a+b",
        ] {
            let row = Some(Link::Row(id.into()));
            assert_eq!(link(&format!("dev.lamplighter:/reconnect/{id}")), row, "{id}");
        }
    }
}
