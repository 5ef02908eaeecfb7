//! Token answers as servers really send them: JSON or form, flat or nested, numbers as texts.
//!
//! Nothing here may put a value of the answer into an error or a log.

use alloc::{borrow::ToOwned, string::String};

use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::secret::Secret;

/// A token answer's members, wherever they stood; wiped from memory when dropped.
pub(super) struct Members(Map<String, Value>);

impl Drop for Members {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

/// Overwrites every text in it.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Members {
    /// Reads a JSON object, or a form-encoded body. `None` if it is neither.
    pub(super) fn read(body: &[u8], content_type: Option<&str>) -> Option<Self> {
        let text = core::str::from_utf8(body).ok()?.trim();
        if text.starts_with('{') {
            return match serde_json::from_str(text).ok()? {
                Value::Object(map) => Some(Self(map)),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_) => None,
            };
        }
        let says_form =
            content_type.is_some_and(|t| t.contains("application/x-www-form-urlencoded"));
        let looks_form = text.starts_with("access_token=") || text.starts_with("error=");
        (says_form || looks_form).then(|| {
            let pairs = url::form_urlencoded::parse(text.as_bytes());
            Self(pairs.map(|(k, v)| (k.into_owned(), Value::String(v.into_owned()))).collect())
        })
    }

    /// The members of the part that holds the tokens: Slack nests them under `authed_user` at a
    /// code exchange and sends them flat at a refresh.
    pub(super) fn tokens(&self) -> Self {
        let nested = self.0.get("authed_user").and_then(Value::as_object);
        match nested {
            Some(nested) if !self.0.contains_key("access_token") => Self(nested.clone()),
            _ => Self(self.0.clone()),
        }
    }

    /// The workspace that Slack names beside the tokens: its name, else its id.
    pub(super) fn team(&self) -> Option<String> {
        let team = Self(self.0.get("team")?.as_object()?.clone());
        team.text("name").or_else(|| team.text("id"))
    }

    /// `"ok": false`, Slack's way to say that a 200 is an error.
    pub(super) fn says_not_ok(&self) -> bool {
        self.0.get("ok") == Some(&Value::Bool(false))
    }

    /// A non-empty text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(ToOwned::to_owned)
    }

    /// A non-empty secret text.
    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name).map(Secret::new)
    }

    /// A positive number of seconds, whole or not, as a number or as a text; in milliseconds.
    pub(super) fn seconds(&self, name: &str) -> Option<u64> {
        let seconds = match self.0.get(name)? {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => text.trim().parse::<f64>().ok()?,
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        // A century is a mistake, not a life.
        (seconds > 0.0 && seconds < 3.2e9).then(|| truncated(seconds * 1_000.0))
    }

    /// A text, or a list of texts, as one text with spaces between.
    pub(super) fn words(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) => (!text.is_empty()).then(|| text.clone()),
            Value::Array(list) => {
                let words = list.iter().filter_map(Value::as_str);
                let joined = words.collect::<alloc::vec::Vec<_>>().join(" ");
                (!joined.is_empty()).then_some(joined)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the callers keep it between zero and what a moment can be"
)]
const fn truncated(number: f64) -> u64 {
    number as u64
}

/// The `exp` claim (RFC 7519 §4.1.4) of a token that happens to be a JWT, in milliseconds since 1970.
/// Not verified: it only tells when to plan.
pub(super) fn jwt_expiry(token: &Secret) -> Option<i64> {
    jwt_claims(token)?.seconds("exp").and_then(|ms| i64::try_from(ms).ok())
}

/// The claims of a token that happens to be a JWT. Not verified: nothing may depend on them.
pub(super) fn jwt_claims(token: &Secret) -> Option<Members> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    let mut parts = token.expose().split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    Members::read(&claims, None)
}

/// Members of a document that is nobody's secret, read with the same leniency. To be used with
/// `#[serde(default, deserialize_with = "…")]`; a member that stands twice is refused by serde.
pub(super) mod member {
    use alloc::{borrow::ToOwned, string::String, vec::Vec};

    use serde::{Deserialize, Deserializer};
    use serde_json::Value;

    /// A non-empty text; anything else counts as absent.
    pub(in crate::oauth) fn text<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::String(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        })
    }

    /// A text, or a number as one.
    pub(in crate::oauth) fn name<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::Number(number) => Some(alloc::format!("{number}")),
            Value::String(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        })
    }

    /// The texts of a list, or of one text with spaces between. `None`: there is no such member.
    pub(in crate::oauth) fn texts<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<String>>, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Array(list) => {
                Some(list.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect())
            }
            Value::String(text) => {
                Some(text.split(' ').filter(|t| !t.is_empty()).map(ToOwned::to_owned).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        })
    }

    /// `true`, also as a text.
    pub(in crate::oauth) fn flag<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<bool, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(value == Value::Bool(true) || value.as_str() == Some("true"))
    }

    /// A whole number that is not negative, also as a text.
    pub(in crate::oauth) fn number<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Number(number) => {
                number.as_u64().or_else(|| number.as_f64().and_then(super::whole))
            }
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        })
    }
}

/// The whole part of a number that a moment in seconds could be.
fn whole(number: f64) -> Option<u64> {
    (0.0..1e15).contains(&number).then(|| truncated(number))
}

/// The scopes in a text, however they are separated.
pub fn scopes(text: &str) -> alloc::vec::Vec<String> {
    let parts = text.split([' ', ',', '+']);
    parts.filter(|s| !s.is_empty()).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_answer_is_left_when_it_was_wiped() {
        let mut answer = serde_json::json!({
            "access_token": "hush", "authed_user": {"refresh_token": "hush"}, "list": ["hush", 7]
        });
        wipe(&mut answer);
        assert!(!answer.to_string().contains("hush"), "{answer}");
    }
}
