//! Fills in what a JSON Schema asks for.
//!
//! It must never fetch a schema from anywhere: a reference is not followed. Where to read next:
//! `tour`, which fills in tools' arguments with it, and `person`, who fills in forms.

use rmcp::model::JsonObject;
use serde_json::{Value, json};

/// Every field that has a default with that, every other that is required with something of its
/// type; the rest stays out.
pub(super) fn filled(schema: &JsonObject) -> JsonObject {
    let required = schema.get("required").and_then(Value::as_array);
    let required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
    let fields = schema.get("properties").and_then(Value::as_object);
    let fields = fields.into_iter().flatten().filter_map(|(name, field)| {
        let value = match field.get("default") {
            Some(default) => default.clone(),
            None if required(name) => something(field),
            None => return None,
        };
        Some((name.clone(), value))
    });
    fields.collect()
}

/// Something of the field's type; a word where it has none.
fn something(field: &Value) -> Value {
    if let Some(first) = field["enum"].get(0) {
        return first.clone();
    }
    match field["type"].as_str() {
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => json!({}),
        Some("null") => Value::Null,
        Some(_) | None => json!("word"),
    }
}
