//! Edits JSON by splicing byte ranges, so that only our fields' bytes change.
//!
//! Numbers, escapes, key order, white space and unknown members stay as they stand, to the byte:
//! `serde_json`'s raw values tell where each value lies in the text. It must never re-print what it
//! did not make.

use std::{borrow::Cow, fmt, ops::Range};

use lamplighter_core::hex::hex;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The text is not JSON, or not an object where one is needed. Says where, never what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotJson {
    /// A syntax error.
    #[error("not valid JSON at line {line}, column {column}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// Valid, and of another shape.
    #[error("{what} is not an object")]
    Shape {
        /// Which part.
        what: &'static str,
    },
}

impl NotJson {
    /// `serde_json`'s own words may quote the text; its position cannot.
    pub(crate) fn of(error: &serde_json::Error) -> Self {
        Self::Syntax { line: error.line(), column: error.column() }
    }
}

/// One object within a text, with the place of each value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// Where the object lies, braces included.
    span: Range<usize>,
    /// Keys, unescaped, and where their values lie; in the text's order, doubles included.
    members: Vec<(String, Range<usize>)>,
}

/// Changes to one text, made all at once.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, String)>);

impl Object {
    /// The whole text as an object.
    pub(crate) fn whole(text: &str) -> Result<Self, NotJson> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| NotJson::of(&error))?;
        Self::within(text, span(text, raw.get())).ok_or(NotJson::Shape { what: "the file" })
    }

    /// The object that is this object's member; `None` if there is no such member, or it is
    /// something else.
    pub(crate) fn object(&self, text: &str, key: &str) -> Option<Self> {
        Self::within(text, self.place(key)?)
    }

    fn within(text: &str, span: Range<usize>) -> Option<Self> {
        let slice = text.get(span.clone())?;
        let Members(raw) = serde_json::from_str(slice).ok()?;
        let members = raw
            .into_iter()
            .map(|(key, value)| (key.into_owned(), crate::stores::splice::span(text, value.get())));
        Some(Self { span, members: members.collect() })
    }

    /// Keys with the text of their values, in order.
    pub(crate) fn members<'t>(
        &'t self,
        text: &'t str,
    ) -> impl Iterator<Item = (&'t str, &'t str)> + 't {
        self.members.iter().map(|(key, value)| (key.as_str(), &text[value.clone()]))
    }

    /// The text of a member's value. Of doubles the last counts, as JavaScript has it.
    pub(crate) fn value<'t>(&self, text: &'t str, key: &str) -> Option<&'t str> {
        self.place(key).map(|place| &text[place])
    }

    fn place(&self, key: &str) -> Option<Range<usize>> {
        self.members.iter().rev().find(|(k, _)| k == key).map(|(_, place)| place.clone())
    }

    /// Changes members: `Some` is a new value's text, whose bytes replace the old value's, or which
    /// is added at the end; `None` removes the member with its comma, doubles included. All that
    /// changes in one object goes in one call, so that the commas come out right.
    pub(crate) fn change<'k>(
        &self,
        text: &str,
        edits: &mut Edits,
        changes: impl IntoIterator<Item = (&'k str, Option<String>)>,
    ) {
        let mut added = Vec::new();
        let mut removed = Vec::new();
        for (key, json) in changes {
            match (json, self.place(key)) {
                (Some(json), Some(place)) => edits.0.push((place, json)),
                (Some(json), None) => added.push(format!("{}:{json}", quoted(key))),
                (None, _) => removed.push(key),
            }
        }
        let added = added.join(",");
        let goes = |key: &String| removed.contains(&key.as_str());
        let Some((_, last)) = self.members.last() else {
            let at = self.span.start + 1;
            return edits.0.push((at..at, added));
        };
        if self.members.iter().all(|(key, _)| goes(key)) {
            return edits.0.push((self.span.start + 1..self.span.end - 1, added));
        }
        self.leave_out(text, edits, goes);
        if !added.is_empty() {
            edits.0.push((last.end..last.end, format!(",{added}")));
        }
    }

    /// Removes the members that go, each with a comma; at least one stays.
    fn leave_out(&self, text: &str, edits: &mut Edits, goes: impl Fn(&String) -> bool) {
        let mut one_stays_before = false;
        for (index, (key, place)) in self.members.iter().enumerate() {
            let before =
                index.checked_sub(1).map_or(self.span.start + 1, |i| self.members[i].1.end);
            if !goes(key) {
                one_stays_before = true;
            } else if one_stays_before {
                // With the comma in front of it.
                edits.0.push((before..place.end, String::new()));
            } else {
                // With the comma behind it.
                let after = |from: usize| text[from..].find(',').map_or(from, |at| from + at + 1);
                let start = if index == 0 { before } else { after(before) };
                edits.0.push((start..after(place.end), String::new()));
            }
        }
    }
}

impl Edits {
    /// The text with all changes made.
    pub(crate) fn apply(mut self, text: &str) -> String {
        // Stable: several additions at one place keep their order.
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = String::with_capacity(text.len() + 256);
        let mut at = 0;
        for (range, new) in self.0 {
            out.push_str(&text[at..range.start.max(at)]);
            out.push_str(&new);
            at = range.end.max(at);
        }
        out.push_str(&text[at..]);
        out
    }
}

/// A JSON string of ASCII alone: readers that meet it byte by byte cannot stumble.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(b'"') => out.push_str("\\\""),
            Ok(b'\\') => out.push_str("\\\\"),
            Ok(byte @ 0x20..=0x7e) => out.push(char::from(byte)),
            _ => {
                out.push_str("\\u");
                out.push_str(&hex(&unit.to_be_bytes()));
            }
        }
    }
    out.push('"');
    out
}

/// Where a part of `text` lies in it.
fn span(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + part.len()
}

/// An object's members as they stand.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &RawValue>()? {
                    members.push((Cow::Owned(member.0), member.1));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn edited(text: &str, edit: impl FnOnce(&Object, &mut Edits)) -> String {
        let object = Object::whole(text).unwrap();
        let mut edits = Edits::default();
        edit(&object, &mut edits);
        edits.apply(text)
    }

    #[test]
    fn a_value_is_replaced_and_nothing_else() {
        let text = "{ \"a\\u0062\" : 1e3 ,\n\t\"x\":12345678901234567890, \"y\":\"\\/\" }";
        assert_eq!(
            edited(text, |object, edits| object.change(text, edits, [("ab", Some("2".into()))])),
            "{ \"a\\u0062\" : 2 ,\n\t\"x\":12345678901234567890, \"y\":\"\\/\" }"
        );
    }

    #[test]
    fn a_new_member_comes_last() {
        let add = |text: &str| edited(text, |o, e| o.change(text, e, [("n", Some("1".into()))]));
        assert_eq!(add("{}"), r#"{"n":1}"#);
        assert_eq!(add("{ }"), r#"{"n":1 }"#);
        assert_eq!(add("{\"a\":1 }"), r#"{"a":1,"n":1 }"#);
    }

    #[test]
    fn a_member_is_removed_wherever_it_stands() {
        let without = |text: &str, key| edited(text, |o, e| o.change(text, e, [(key, None)]));
        assert_eq!(without(r#"{"a":1,"b":2,"c":3}"#, "a"), r#"{"b":2,"c":3}"#);
        assert_eq!(without(r#"{"a":1,"b":2,"c":3}"#, "b"), r#"{"a":1,"c":3}"#);
        assert_eq!(without(r#"{"a":1,"b":2,"c":3}"#, "c"), r#"{"a":1,"b":2}"#);
        assert_eq!(without(r#"{"a":1}"#, "a"), "{}");
        assert_eq!(without(r#"{"a":1,"a":2,"b":3,"a":4}"#, "a"), r#"{"b":3}"#);
        assert_eq!(without(r#"{"a":1}"#, "z"), r#"{"a":1}"#);
    }

    #[test]
    fn of_doubles_the_last_counts() {
        let text = r#"{"a":1,"a":2}"#;
        assert_eq!(Object::whole(text).unwrap().value(text, "a"), Some("2"));
        assert_eq!(
            edited(text, |o, e| o.change(text, e, [("a", Some("3".into()))])),
            r#"{"a":1,"a":3}"#
        );
    }

    #[test]
    fn what_is_not_an_object_is_said_without_its_content() {
        let fault = Object::whole("{\"secret\": tok_1}").unwrap_err();
        assert_eq!(fault.to_string(), "not valid JSON at line 1, column 13");
        assert_eq!(Object::whole("[1]").unwrap_err().to_string(), "the file is not an object");
    }

    #[test]
    fn texts_are_written_in_ascii() {
        assert_eq!(quoted("a\"\\\u{e9}\u{1F600}\n"), r#""a\"\\\u00e9\ud83d\ude00\u000a""#);
        assert_eq!(serde_json::from_str::<String>(&quoted("é😀\n\"")).unwrap(), "é😀\n\"");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-d\u{e9}\"]{0,2}", inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn splicing_means_the_same_as_editing_the_value(
            members in prop::collection::vec(("[a-d\u{e9}\"]{0,2}", value()), 0..6),
            sets in prop::collection::vec(("[a-d\u{e9}\"]{0,2}", value()), 0..3),
            gone in prop::collection::btree_set("[a-d\u{e9}\"]{0,2}", 0..4),
            pretty in any::<bool>(),
        ) {
            let mut whole: Map<String, Value> = members.into_iter().collect();
            let value = Value::Object(whole.clone());
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            let mut seen = gone.clone();
            let sets: Vec<_> = sets.into_iter().filter(|(key, _)| seen.insert(key.clone())).collect();
            let out = edited(&text, |object, edits| {
                let sets = sets.iter().map(|(key, value)| (key.as_str(), Some(value.to_string())));
                object.change(&text, edits, sets.chain(gone.iter().map(|key| (key.as_str(), None))));
            });
            whole.retain(|key, _| !gone.contains(key));
            for (key, value) in sets {
                whole.insert(key, value);
            }
            prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), Value::Object(whole));
        }
    }

    #[test]
    fn a_nested_object_is_edited_in_place() {
        let text = r#"{"mcpOAuth":{"k":{"accessToken":"a","d":{"x":1,"t":2}}},"z":[1.0]}"#;
        let whole = Object::whole(text).unwrap();
        let entry = whole.object(text, "mcpOAuth").unwrap().object(text, "k").unwrap();
        let mut edits = Edits::default();
        entry.change(text, &mut edits, [("accessToken", Some(quoted("b")))]);
        entry.object(text, "d").unwrap().change(text, &mut edits, [("t", None)]);
        let out = edits.apply(text);
        assert_eq!(out, r#"{"mcpOAuth":{"k":{"accessToken":"b","d":{"x":1}}},"z":[1.0]}"#);
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["z"], json!([1.0]));
    }
}
