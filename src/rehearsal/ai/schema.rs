//! What is demanded of a tool's schema, and arguments that fit it.

use serde_json::{Map, Value};

/// Whether a schema may be `strict`: every object is closed and demands all that it has.
pub(super) fn is_strict(schema: &Value) -> bool {
    let kids = |name: &str| schema.get(name).and_then(Value::as_object);
    if let Some(properties) = kids("properties") {
        let required: Vec<_> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let all = properties.keys().all(|name| required.contains(&name.as_str()));
        let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
        if !all || !closed || !properties.values().all(is_strict) {
            return false;
        }
    }
    schema.get("items").is_none_or(is_strict)
}

/// Arguments for a schema: what is known by its name, else whatever its type allows.
pub(super) fn fill(schema: &Value, known: &dyn Fn(&str) -> Option<String>) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object);
    let one = |(name, schema): (&String, &Value)| (name.clone(), value(schema, known(name)));
    Value::Object(properties.into_iter().flatten().map(one).collect())
}

fn value(schema: &Value, known: Option<String>) -> Value {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let known = known.map(Value::String).filter(|known| words.contains(known));
        return known.or_else(|| words.first().cloned()).unwrap_or_default();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => known.unwrap_or_default().into(),
        Some("integer" | "number") => 1.into(),
        Some("boolean") => true.into(),
        Some("array") => Value::Array(Vec::new()),
        Some("object") => fill(schema, &|_| None),
        _ => Value::Object(Map::new()),
    }
}
