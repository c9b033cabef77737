//! Where the fields of a document stand.

use std::sync::Arc;

use super::node::{Node, Span, Value};
use crate::domain::place::{Place, Places};

/// The places of a document's fields by their paths below `spec`.
pub(super) fn places(document: Place, spec: &Node) -> Places {
    let mut places = Places::at(document);
    collect("", spec, &mut places);
    places
}

fn collect(prefix: &str, node: &Node, places: &mut Places) {
    let file = Arc::clone(&places.document.file);
    let mut put = |path: String, key: Span, value: &Node| {
        // A value that begins on a later line than its key is easier found by the key.
        let span = if value.span.line == key.line { value.span } else { key };
        let place = Place { file: Arc::clone(&file), line: span.line, column: span.column };
        places.fields.insert(path.clone(), place);
        collect(&path, value, places);
    };
    let join =
        |part: &str| if prefix.is_empty() { part.to_owned() } else { format!("{prefix}.{part}") };
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                put(join(&key.text), key.span, value);
            }
        }
        Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Map(_))) => {
            for (index, item) in items.iter().enumerate() {
                put(join(&index.to_string()), item.span, item);
            }
        }
        Value::List(_) | Value::Scalar(_) => {}
    }
}
