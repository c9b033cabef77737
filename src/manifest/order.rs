//! The usual order of the keys of a manifest: the one that its documentation shows.

use super::schema::DocumentKind;
use crate::domain::kind::KINDS;

/// Where a key stands among its neighbours below `parent`, such as `spec.outgoing`. Keys without a
/// place of their own, such as labels, stay in the order in which they were written.
pub(super) fn rank(kind: DocumentKind, parent: &str, key: &str) -> usize {
    let place = |mut keys: Box<dyn Iterator<Item = &str> + '_>| {
        keys.position(|known| known == key).unwrap_or(usize::MAX)
    };
    match (kind, parent) {
        (DocumentKind::Channel, "spec") => {
            let settings = KINDS.iter().flat_map(|facts| facts.settings);
            let settings = settings.map(|setting| setting.name);
            let first = ["kind", "dailyLimit", "endpoint"].into_iter();
            place(Box::new(first.chain(settings).chain(["credentials"])))
        }
        (DocumentKind::Channel, "spec.credentials") => {
            let credentials = KINDS.iter().flat_map(|facts| facts.credentials);
            place(Box::new(credentials.map(|credential| credential.name)))
        }
        _ => place(Box::new(keys(kind, parent).iter().copied())),
    }
}

fn keys(kind: DocumentKind, parent: &str) -> &'static [&'static str] {
    match (kind, parent) {
        (_, "") => &["apiVersion", "kind", "metadata", "spec"],
        (_, "metadata") => &["name", "labels", "annotations"],
        (DocumentKind::Task, "spec") => &[
            "title",
            "type",
            "format",
            "channels",
            "managers",
            "ai",
            "integration",
            "spendingLimitPerDialogue",
            "state",
            "protect",
            "outgoing",
        ],
        (DocumentKind::Task, "spec.protect") => &["reason"],
        (DocumentKind::Task, "spec.outgoing") => &[
            "workingHours",
            "timezone",
            "dailyLimitPerChannel",
            "pauseBetweenDialogues",
            "opening",
            "targetAudience",
        ],
        (DocumentKind::Task, "spec.outgoing.opening") => &["text", "template", "writtenBy"],
        (DocumentKind::Task, "spec.outgoing.opening.template") => {
            &["name", "language", "variables"]
        }
        (DocumentKind::Manager, "spec") => &["fullName", "role", "language", "persona"],
        (DocumentKind::Ai, "spec") => &[
            "endpoint",
            "model",
            "apiKey",
            "instructions",
            "temperature",
            "maxOutputTokens",
            "maxTokensField",
            "prices",
            "fallback",
            "disclosure",
            "handover",
            "reminders",
        ],
        (DocumentKind::Ai, "spec.prices") => {
            &["inputPerMillionTokens", "cachedInputPerMillionTokens", "outputPerMillionTokens"]
        }
        (DocumentKind::Ai, "spec.reminders") => &["after", "text"],
        (DocumentKind::Integration, "spec") => &["kind", "url", "chatId", "credentials", "events"],
        (DocumentKind::SuppressionList, "spec") => &["entries", "file", "tasks"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::manifest::schema::manifest_schema;

    fn assert_placed(kind: DocumentKind, parent: &str, schema: &Value) {
        let below = schema.get("items").unwrap_or(schema);
        let properties = below.get("properties").and_then(Value::as_object);
        for (key, schema) in properties.into_iter().flatten() {
            let inside = if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") };
            let is_source = ["env", "file"].contains(&key.as_str()) && below["x-secret"] == true;
            let is_audience = parent == "spec.outgoing.targetAudience";
            if !is_source && !is_audience {
                assert_ne!(rank(kind, parent, key), usize::MAX, "{kind}: {inside}");
            }
            assert_placed(kind, &inside, schema);
        }
    }

    #[test]
    fn every_key_of_the_schema_has_its_place() {
        let schema = manifest_schema();
        for kind in DocumentKind::ALL {
            assert_placed(*kind, "", &schema["definitions"][kind.as_str()]);
        }
    }
}
