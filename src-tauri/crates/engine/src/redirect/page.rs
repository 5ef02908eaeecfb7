//! What a browser tab shows at the end: one small page that needs nothing from anywhere.

use http::{HeaderName, header};

/// Nothing is loaded, nothing runs, nothing is kept, and nobody learns where it came from.
pub(super) const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:0;min-height:100vh;\
display:grid;place-items:center;background:Canvas;color:CanvasText}main{max-width:32rem;padding:2rem}\
h1{font-size:1.4rem;margin:0 0 1rem}p{margin:.5rem 0}";

/// A page in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What happened, in a few words.
    pub title: String,
    /// More of it, a line each.
    pub lines: Vec<String>,
    /// Whether it is what was hoped for.
    pub good: bool,
}

impl Page {
    /// Where the outcome takes longer than a tab is held.
    pub(super) fn still_at_work() -> Self {
        Self {
            title: "Lamplighter is still at work".into(),
            lines: vec!["It says how it went where you began. You can close this tab.".into()],
            good: true,
        }
    }

    /// As the browser gets it.
    pub(super) fn html(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(|line| escaped(line)).collect();
        let lines = lines.join("</p><p>");
        let title = escaped(&self.title);
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>{STYLE}</style></head><body><main><h1>{title}</h1><p>{lines}</p></main></body></html>"
        )
    }
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut safe, c| {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_name_cannot_become_markup() {
        let lines = vec!["<script>alert('x')</script> & \"more\"".into()];
        let html = Page { title: "<b>".into(), lines, good: true }.html();
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)") && !html.contains("<script"));
        assert!(html.contains("<h1>&lt;b&gt;</h1>"));
    }
}
