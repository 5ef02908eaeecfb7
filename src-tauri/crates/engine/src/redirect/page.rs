//! The page that ends a sign-in in the browser: words, and nothing that runs or is fetched.

use http::{
    HeaderMap, HeaderName, Response,
    header::{self, HeaderValue},
};

/// What the person sees after coming back from a consent page. Plain text; what it holds is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The outcome in a few words.
    pub title: String,
    /// What follows from it, a paragraph each.
    pub lines: Vec<String>,
    /// Whether it went well.
    pub good: bool,
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c1b19;--quiet:#5c5850;--paper:#fbfaf7;--good:#1e6b3a;--bad:#9a2c1f}\
@media(prefers-color-scheme:dark){:root{--ink:#ece9e2;--quiet:#b0aaa0;--paper:#1b1a18;--good:#7fce9b;--bad:#f0a094}}\
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--paper);color:var(--ink);\
font:1.0625rem/1.5 system-ui,sans-serif}\
main{max-width:34rem;padding:2rem;overflow-wrap:anywhere}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}\
.good h1{color:var(--good)}.bad h1{color:var(--bad)}\
p{margin:0 0 .75rem}.close{color:var(--quiet)}";

impl Page {
    /// The browser has waited long enough; the sign-in goes on without it.
    pub(super) fn still_at_work() -> Self {
        Self {
            title: "Lamplighter is still at work".into(),
            lines: vec!["The sign-in isn't finished yet. Lamplighter shows how it ends.".into()],
            good: true,
        }
    }

    /// The callback belongs to nothing that is going on.
    pub(super) fn nobody_waits() -> Self {
        let line = "Nothing was changed. If you still want to sign in, start again in Lamplighter.";
        Self {
            title: "No sign-in is waiting for this page".into(),
            lines: vec![line.into()],
            good: false,
        }
    }

    pub(super) fn response(&self) -> Response<String> {
        let mut response = Response::new(self.html());
        let headers = response.headers_mut();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, html);
        guard(headers);
        response
    }

    fn html(&self) -> String {
        let title = escaped(&self.title);
        let lines = self.lines.iter().map(|line| format!("<p>{}</p>\n", escaped(line)));
        let lines: String = lines.collect();
        let class = if self.good { "good" } else { "bad" };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title} · Lamplighter</title>\n<style>{STYLE}</style>\n</head>\n\
             <body>\n<main class=\"{class}\">\n<h1>{title}</h1>\n{lines}\
             <p class=\"close\">You can close this tab.</p>\n</main>\n</body>\n</html>\n"
        )
    }
}

/// The URL holds a code: it is neither kept nor told to anybody, and no page may frame this one.
pub(super) fn guard(headers: &mut HeaderMap) {
    const CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                       form-action 'none'; frame-ancestors 'none'";
    let guards: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in guards {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_words_are_they_stay_words() {
        let nasty = "<script>alert('a')</script>&\"";
        let page = Page { title: nasty.into(), lines: vec![nasty.into()], good: false };
        let html = page.html();
        assert!(!html.contains("<script"), "{html}");
        let shown = "&lt;script&gt;alert(&#39;a&#39;)&lt;/script&gt;&amp;&quot;";
        assert_eq!(html.matches(shown).count(), 3, "{html}");
    }

    #[test]
    fn a_page_brings_nothing_along_and_says_that_its_tab_can_be_closed() {
        for page in [Page::still_at_work(), Page::nobody_waits()] {
            let html = page.html();
            for foreign in ["src=", "href=", "url(", "@import", "<script", "http:", "https:"] {
                assert!(!html.contains(foreign), "{foreign}");
            }
            assert!(html.contains("You can close this tab."));
            assert!(html.contains("prefers-color-scheme:dark"));
        }
    }
}
