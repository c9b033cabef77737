//! Writes manifests: from the fields that are stored back to YAML.

use std::time::Duration;

use super::{
    lower_resource::{AI_ENDPOINT, OUTPUT_TOKENS},
    schema::{API_VERSION, DocumentKind},
    values::{FLOW_MAX, Map, Value, flow_list, write_map},
};
use crate::domain::{
    fields::{FieldValue, Fields},
    id::TaskName,
    kind::{ChannelKind, SettingShape},
    resource::{DialogueEvent, ResourceKey, ResourceKind},
};

/// What a manifest says of a task's audience: it is not among the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmittedAudience {
    /// A file, relative to the manifest.
    File(String),
    /// The addresses themselves.
    Lines(Vec<String>),
}

/// The manifest of a task. One with `outgoing` needs an audience to be valid.
pub fn emit_task(name: &TaskName, fields: &Fields, audience: Option<&EmittedAudience>) -> String {
    let mut spec = Map::default();
    for (path, value) in fields.iter() {
        if !is_default(DocumentKind::Task, fields, path, value) {
            spec.insert(&parts_of(path), value_at(DocumentKind::Task, path, value));
        }
    }
    let path = ["outgoing", "targetAudience"];
    match audience {
        None => {}
        Some(EmittedAudience::File(file)) => {
            spec.insert(&[path[0], path[1], "file"], Value::Text(file.clone()));
        }
        Some(EmittedAudience::Lines(lines)) => {
            let one_line = flow_list(lines);
            let is_block = one_line.len() > FLOW_MAX
                && lines.iter().all(|line| line.trim() == line && !line.contains(['\n', '\r']));
            let value = if is_block {
                Value::Text(lines.join("\n") + "\n")
            } else {
                Value::List(lines.clone())
            };
            spec.insert(&path, value);
        }
    }
    document(DocumentKind::Task, name.as_str(), spec)
}

/// The manifest of a channel, a manager, an AI, an integration or a suppression list.
pub fn emit_resource(key: &ResourceKey, fields: &Fields) -> String {
    let kind = document_kind(key.kind);
    document(kind, &key.name, resource_spec(kind, fields))
}

/// The manifest of a suppression list whose entries stand in a file.
pub fn emit_suppression_list(key: &ResourceKey, fields: &Fields, file: &str) -> String {
    let kind = document_kind(key.kind);
    let mut spec = resource_spec(kind, fields);
    spec.remove("entries");
    spec.insert(&["file"], Value::Text(file.to_owned()));
    document(kind, &key.name, spec)
}

fn resource_spec(kind: DocumentKind, fields: &Fields) -> Map {
    let mut spec = Map::default();
    for (path, value) in fields.iter() {
        if !is_default(kind, fields, path, value) {
            spec.insert(&parts_of(path), value_at(kind, path, value));
        }
    }
    spec
}

fn document_kind(kind: ResourceKind) -> DocumentKind {
    match kind {
        ResourceKind::Channel => DocumentKind::Channel,
        ResourceKind::Manager => DocumentKind::Manager,
        ResourceKind::Ai => DocumentKind::Ai,
        ResourceKind::Integration => DocumentKind::Integration,
        ResourceKind::SuppressionList => DocumentKind::SuppressionList,
    }
}

/// The keys that lead to a field. The names of credentials are free, and may contain dots.
pub(super) fn parts_of(path: &str) -> Vec<&str> {
    match path.split_once('.') {
        Some((first @ "credentials", name)) => vec![first, name],
        _ => path.split('.').collect(),
    }
}

/// What is written in a field's place.
pub(super) fn value_at(kind: DocumentKind, path: &str, value: &FieldValue) -> Value {
    let is_secret = match (kind, path) {
        (DocumentKind::Channel | DocumentKind::Integration, path) => {
            path.starts_with("credentials.") || (kind, path) == (DocumentKind::Integration, "url")
        }
        (DocumentKind::Ai, path) => path == "apiKey",
        _ => false,
    };
    let is_duration = match kind {
        DocumentKind::Task => path == "outgoing.pauseBetweenDialogues",
        DocumentKind::Ai => {
            path.starts_with("reminders.") && path.split('.').next_back() == Some("after")
        }
        _ => false,
    };
    match value {
        FieldValue::Text(text) if is_secret && let Ok(reference) = text.parse() => {
            Value::Secret(reference)
        }
        FieldValue::Text(text) if is_duration => Value::Text(in_hours(text)),
        FieldValue::Text(text) => Value::Text(text.clone()),
        FieldValue::Number(text) => Value::Number(text.clone()),
        FieldValue::List(items) => Value::List(items.clone()),
    }
}

/// A stored duration in the units that a manifest takes: days and what is below a second are not
/// among them.
fn in_hours(text: &str) -> String {
    let Ok(duration) = humantime::parse_duration(text) else { return text.to_owned() };
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let fraction = format!(".{nanos:09}");
    let rest = Duration::from_secs(seconds % 60);
    let mut parts = Vec::new();
    for (count, unit) in [(seconds / 3600, "h"), (seconds % 3600 / 60, "m")] {
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
    }
    if !rest.is_zero() || nanos > 0 || parts.is_empty() {
        let fraction = fraction.trim_end_matches(['0', '.']);
        parts.push(format!("{}{fraction}s", rest.as_secs()));
    }
    parts.join(" ")
}

/// Whether a manifest that leaves the field out means the same.
fn is_default(kind: DocumentKind, fields: &Fields, path: &str, value: &FieldValue) -> bool {
    let shown = value.to_string();
    let empty_list = *value == FieldValue::List(Vec::new());
    match (kind, path) {
        (DocumentKind::Task, "outgoing.timezone") => shown == "UTC",
        (DocumentKind::Task, "outgoing.opening.template.variables") => empty_list,
        (DocumentKind::Channel, "kind") => false,
        (DocumentKind::Channel, _) => {
            let kind: Option<ChannelKind> =
                fields.get("kind").and_then(|kind| kind.to_string().parse().ok());
            let Some(facts) = kind.map(ChannelKind::facts) else { return false };
            match path {
                "dailyLimit" => {
                    facts.daily_limit.is_some_and(|limit| limit.default.to_string() == shown)
                }
                "endpoint" => facts.endpoint == Some(&shown),
                name => facts.settings.iter().any(|setting| {
                    let default = match setting.shape {
                        SettingShape::Text { default } => default,
                        SettingShape::Word(words) => words.first().copied(),
                        SettingShape::Digits | SettingShape::Texts | SettingShape::Limit(_) => None,
                    };
                    setting.name == name && default == Some(&shown)
                }),
            }
        }
        (DocumentKind::Ai, "endpoint") => shown == AI_ENDPOINT,
        (DocumentKind::Ai, "maxOutputTokens") => shown == OUTPUT_TOKENS.to_string(),
        (DocumentKind::Ai, "prices.cachedInputPerMillionTokens") => {
            fields.get("prices.inputPerMillionTokens") == Some(value)
        }
        (DocumentKind::Integration, "events") => {
            let all = DialogueEvent::ALL.iter().map(ToString::to_string).collect();
            *value == FieldValue::List(all)
        }
        (DocumentKind::SuppressionList, "tasks") => *value == FieldValue::Text("all".to_owned()),
        _ => false,
    }
}

fn document(kind: DocumentKind, name: &str, mut spec: Map) -> String {
    spec.sort(kind, "spec");
    let head =
        format!("apiVersion: {API_VERSION}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:");
    head + &write_map(&spec, 2) + "\n"
}
