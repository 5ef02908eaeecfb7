//! `${VAR}` and `${VAR:-default}`, as the program expands them.
//!
//! A desktop program does not have the variables of the user's shell: what is not known here is left
//! as it stands and said, so that nobody builds a key on it.

use crate::paths::Env;

/// Variables that the program blanks (observed with 2.1.330), so that a server never sees them.
const BLANKED: [&str; 3] = ["ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "NPM_TOKEN"];

/// Expands with one environment.
pub(super) struct Expander<'a>(pub &'a Env);

/// A text after expansion.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub text: String,
    /// Whether every variable in it was known.
    pub known: bool,
    /// Whether it names no variable, so that it holds nothing of the environment.
    pub is_as_written: bool,
}

impl Expander<'_> {
    pub(super) fn text(&self, text: &str) -> Expanded {
        let mut out =
            Expanded { text: String::with_capacity(text.len()), known: true, is_as_written: true };
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            out.text.push_str(&rest[..start]);
            let inner = &rest[start + 2..];
            let Some(end) = inner.find('}') else {
                out.text.push_str(&rest[start..]);
                return out;
            };
            self.variable(&inner[..end], &mut out);
            rest = &inner[end + 1..];
        }
        out.text.push_str(rest);
        out
    }

    fn variable(&self, inner: &str, out: &mut Expanded) {
        let (name, default) = inner.split_once(":-").map_or((inner, None), |(n, d)| (n, Some(d)));
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            out.text.extend(["${", inner, "}"]);
            return;
        }
        out.is_as_written = false;
        if BLANKED.contains(&name) {
            return;
        }
        match (self.0.raw(name).and_then(|value| value.into_string().ok()), default) {
            (Some(value), _) => out.text.push_str(&value),
            (None, Some(default)) => {
                // The shell that starts the program may know the variable all the same.
                out.known = false;
                out.text.push_str(default);
            }
            (None, None) => {
                out.known = false;
                out.text.extend(["${", inner, "}"]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_are_put_in_and_unknown_ones_are_said() {
        let env = Env::fixed([("HOST", "mcp.example"), ("NPM_TOKEN", "secret")]);
        let expand = |text: &str| Expander(&env).text(text);
        let known = |text: &str| Expanded { text: text.into(), known: true, is_as_written: false };
        assert_eq!(expand("https://${HOST}/mcp"), known("https://mcp.example/mcp"));
        assert_eq!(expand("x${NPM_TOKEN}y"), known("xy"));
        let none = Expanded { is_as_written: true, ..known("${not a name}${") };
        assert_eq!(expand("${not a name}${"), none);
        let unknown = expand("${NOT_SET_HERE:-a}${NOT_SET_HERE}");
        assert_eq!(unknown, Expanded { known: false, ..known("a${NOT_SET_HERE}") });
    }
}
