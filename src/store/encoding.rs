//! Domain values as columns, and back.

use serde_json::{Map, Value, json};

use super::error::StoreError;
use crate::domain::{
    fields::{Digest, FieldValue, Fields},
    task::Opening,
};

/// Numbers are kept as `{"number": "0.50"}`: their exact text matters, and JSON's would not keep it.
pub(super) fn fields_to_json(fields: &Fields) -> Value {
    let entry = |(path, value): (&str, &FieldValue)| {
        let value = match value {
            FieldValue::Text(text) => json!(text),
            FieldValue::Number(text) => json!({ "number": text }),
            FieldValue::List(items) => json!(items),
        };
        (path.to_owned(), value)
    };
    Value::Object(fields.iter().map(entry).collect::<Map<_, _>>())
}

pub(super) fn fields_from_json(value: &Value) -> Result<Fields, StoreError> {
    let unreadable = || StoreError::Unreadable("the fields of a specification".to_owned());
    let mut fields = Fields::default();
    for (path, value) in value.as_object().ok_or_else(unreadable)? {
        let value = match value {
            Value::String(text) => FieldValue::Text(text.clone()),
            Value::Object(number) => match number.get("number") {
                Some(Value::String(text)) => FieldValue::Number(text.clone()),
                _ => return Err(unreadable()),
            },
            Value::Array(items) => FieldValue::List(
                items
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned).ok_or_else(unreadable))
                    .collect::<Result<_, _>>()?,
            ),
            _ => return Err(unreadable()),
        };
        fields.insert(path.clone(), value);
    }
    Ok(fields)
}

/// The fields as they act. What cannot be read is none: a hand in the database left it, and it is shown
/// and put back like any other drift.
pub(super) fn live_from_json(value: &Value) -> Fields {
    fields_from_json(value).unwrap_or_default()
}

pub(super) fn digest_from_bytes(bytes: &[u8]) -> Result<Digest, StoreError> {
    let whole = bytes.try_into().map_err(|_| StoreError::Unreadable("a digest".to_owned()))?;
    Ok(Digest(whole))
}

pub(super) fn opening_to_json(opening: &Opening) -> Value {
    match opening {
        Opening::Text(text) => json!({ "text": text }),
        Opening::Template { name, language, variables } => {
            json!({ "template": { "name": name, "language": language, "variables": variables } })
        }
        Opening::WrittenByAi => json!({ "writtenBy": "ai" }),
    }
}

pub(super) fn opening_from_json(value: &Value) -> Option<Opening> {
    if let Some(text) = value.get("text") {
        return Some(Opening::Text(text.as_str()?.to_owned()));
    }
    if let Some(template) = value.get("template") {
        let variables = template.get("variables")?.as_array()?;
        return Some(Opening::Template {
            name: template.get("name")?.as_str()?.to_owned(),
            language: template.get("language")?.as_str()?.to_owned(),
            variables: variables
                .iter()
                .map(|v| v.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
        });
    }
    value.get("writtenBy").map(|_| Opening::WrittenByAi)
}

/// A contact's values of the audience's other columns.
pub(super) fn variables_from_json<C: FromIterator<(String, String)>>(value: Option<Value>) -> C {
    let Some(Value::Object(map)) = value else { return C::from_iter([]) };
    map.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

/// A name or word of our own that the database gives back.
pub(super) fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Unreadable(format!("`{text}`")))
}

/// A count, which SQL has as a signed number.
pub(super) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
