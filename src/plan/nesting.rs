//! Values of a specification as JSON: maps in maps, as the manifest has them.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::domain::{
    address::Address,
    contact::AudienceChange,
    fields::{FieldValue, Fields},
};

/// Longer lists are shown as a count and a few examples.
const ITEMS_MAX: usize = 50;
const EXAMPLES_MAX: usize = 3;

pub(super) fn value(value: &FieldValue) -> Value {
    match value {
        FieldValue::Text(text) => Value::String(text.clone()),
        FieldValue::Number(text) => number(text),
        FieldValue::List(items) if items.len() > ITEMS_MAX => {
            let examples: Vec<Value> =
                items.iter().take(EXAMPLES_MAX).map(|item| item.as_str().into()).collect();
            serde_json::json!({ "count": items.len(), "examples": examples })
        }
        FieldValue::List(items) => items.iter().map(String::as_str).collect(),
    }
}

/// Six decimals of a reasonable amount survive a double unharmed; what would not stays text.
fn number(text: &str) -> Value {
    if let Ok(whole) = text.parse::<i64>() {
        return whole.into();
    }
    let parsed = text.parse::<f64>().ok().and_then(Number::from_f64);
    parsed.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// As the manifest has it: maps in maps.
pub(super) fn nested(fields: &Fields) -> Map<String, Value> {
    let mut map = Map::new();
    for (path, field) in fields.iter() {
        put(&mut map, path, value(field));
    }
    map.into_iter().map(|(key, value)| (key, with_lists(value))).collect()
}

pub(super) fn put(map: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(map.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let inner = map.entry(first).or_insert_with(|| Map::new().into());
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Maps whose keys count from 0 are lists.
fn with_lists(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let numbered: Option<BTreeMap<usize, Value>> =
        map.iter().map(|(key, value)| Some((key.parse().ok()?, value.clone()))).collect();
    match numbered {
        Some(numbered) if !map.is_empty() => numbered.into_values().map(with_lists).collect(),
        _ => map.into_iter().map(|(key, value)| (key, with_lists(value))).collect(),
    }
}

pub(super) fn audience_value(audience: &AudienceChange) -> Value {
    let AudienceChange { total, added, removed, altered, duplicates, written_before, .. } =
        audience;
    let examples = |all: &[Address]| all.iter().map(|one| Value::from(one.as_str())).collect();
    let (added_examples, removed_examples): (Value, Value) =
        (examples(&audience.added_examples), examples(&audience.removed_examples));
    serde_json::json!({
        "total": total, "added": added, "removed": removed, "altered": altered,
        "duplicates": duplicates, "written_before": written_before, "added_examples": added_examples,
        "removed_examples": removed_examples,
    })
}

/// Addresses are people's.
pub(super) fn sensitive(of: &Map<String, Value>) -> Map<String, Value> {
    let mut marks = Map::new();
    if of.contains_key("entries") {
        marks.insert("entries".to_owned(), true.into());
    }
    if of.get("outgoing").is_some_and(|outgoing| outgoing.get("targetAudience").is_some()) {
        put(&mut marks, "outgoing.targetAudience.added_examples", true.into());
        put(&mut marks, "outgoing.targetAudience.removed_examples", true.into());
    }
    marks
}
