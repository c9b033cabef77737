//! The JSON schemas of the manifests, for editors and for the loader itself.

use std::sync::LazyLock;

use jsonschema::Validator;
use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value, json};

use super::document::{
    AiDocument, ChannelDocument, IntegrationDocument, ManagerDocument, Metadata,
    SuppressionDocument, TaskDocument,
};
use super::editors::tighten;
use crate::domain::{
    kind::{Format, KINDS, KindFacts, MessengerType, SettingFacts, SettingShape, UNLIMITED},
    resource::IntegrationKind,
    word::words,
};

pub const API_VERSION: &str = "nuncio/v1";

words! {
    /// The kinds of document.
    DocumentKind {
        Task = "Task", Channel = "Channel", Manager = "Manager", Ai = "Ai",
        Integration = "Integration", SuppressionList = "SuppressionList",
    }
}

/// A document kind's schema, compiled once for reading.
pub(super) struct KindSchema {
    pub(super) schema: Value,
    pub(super) validator: Validator,
}

static SCHEMAS: LazyLock<Vec<KindSchema>> = LazyLock::new(|| {
    DocumentKind::ALL
        .iter()
        .map(|kind| {
            let schema = without_patterns(document_schema(*kind));
            let validator = jsonschema::draft7::new(&schema).expect("our own schemas are valid");
            KindSchema { schema, validator }
        })
        .collect()
});

pub(super) fn of(kind: DocumentKind) -> &'static KindSchema {
    let index = DocumentKind::ALL.iter().position(|known| *known == kind);
    &SCHEMAS[index.expect("`ALL` holds every kind")]
}

/// The schema of all kinds, as it is committed for editors.
pub fn manifest_schema() -> Value {
    let branches: Vec<Value> = DocumentKind::ALL
        .iter()
        .map(|kind| {
            json!({
                "if": {"properties": {"kind": {"const": kind.as_str()}}, "required": ["kind"]},
                "then": {"$ref": format!("#/definitions/{kind}")},
            })
        })
        .collect();
    let definition = |kind: &DocumentKind| {
        let mut schema = document_schema(*kind);
        tighten(*kind, &mut schema);
        (kind.to_string(), schema)
    };
    let definitions: Map<String, Value> = DocumentKind::ALL.iter().map(definition).collect();
    let kinds: Vec<&str> = DocumentKind::ALL.iter().map(|kind| kind.as_str()).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "nuncio manifest",
        "description": "One document of a tasks folder.",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"enum": [API_VERSION], "description": "The version of the format."},
            "kind": {"enum": kinds, "description": "What the document describes."},
        },
        "allOf": branches,
        "definitions": definitions,
    })
}

fn document_schema(kind: DocumentKind) -> Value {
    let mut spec = match kind {
        DocumentKind::Task => generated::<TaskDocument>(),
        DocumentKind::Channel => generated::<ChannelDocument>(),
        DocumentKind::Manager => generated::<ManagerDocument>(),
        DocumentKind::Ai => generated::<AiDocument>(),
        DocumentKind::Integration => generated::<IntegrationDocument>(),
        DocumentKind::SuppressionList => generated::<SuppressionDocument>(),
    };
    match kind {
        DocumentKind::Task => spec["allOf"] = task_rules(),
        DocumentKind::Channel => complete_channel(&mut spec),
        DocumentKind::SuppressionList => {
            spec["allOf"] = json!([
                {"if": {"required": ["entries"]}, "then": {"properties": {"file": false}},
                 "else": {"required": ["file"]}},
            ]);
        }
        DocumentKind::Integration => spec["allOf"] = integration_rules(),
        DocumentKind::Manager | DocumentKind::Ai => {}
    }
    json!({
        "description": spec["description"].clone(),
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind.as_str()},
            "metadata": generated::<Metadata>(),
            "spec": spec,
        },
        "additionalProperties": false,
    })
}

/// Everything inline: the place of an error in the schema then leads to its neighbours without
/// following references.
fn generated<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft07();
    settings.meta_schema = None;
    settings.inline_subschemas = true;
    settings.transforms.push(Box::new(RecursiveTransform(strip_null)));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema.to_value()
}

/// An optional field is left out, never null; `anyOf` with null would also move every error inside
/// it up to the field as a whole.
fn strip_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(options)) = schema.get_mut("enum") {
        options.retain(|option| !option.is_null());
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::Array(branches)) = schema.get_mut("anyOf") {
        branches.retain(|branch| branch != &json!({"type": "null"}));
        if let [only] = branches.as_slice()
            && let Value::Object(only) = only.clone()
        {
            schema.remove("anyOf");
            for (key, value) in only {
                // The field's own words before those of its type.
                if schema.get(&key).is_none() {
                    schema.insert(key, value);
                }
            }
        }
    }
}

fn task_rules() -> Value {
    let incoming = Format::Incoming.as_str();
    let outgoing = Format::IncomingAndOutgoing.as_str();
    let answering: Vec<&str> = MessengerType::ALL
        .iter()
        .filter(|messenger| !messenger.kinds().any(|facts| facts.kind.can_open()))
        .map(|messenger| messenger.as_str())
        .collect();
    json!([
        {
            "if": {"properties": {"format": {"const": incoming}}, "required": ["format"]},
            "then": {"properties": {"outgoing": false}},
        },
        {
            "if": {"properties": {"format": {"const": outgoing}}, "required": ["format"]},
            "then": {"required": ["outgoing"]},
        },
        {
            "if": {"properties": {"type": {"enum": answering}}, "required": ["type"]},
            "then": {"properties": {"format": {"const": incoming}}},
        },
    ])
}

fn integration_rules() -> Value {
    let rule = |kind: &IntegrationKind| {
        let credentials: &[&str] = match kind {
            // Without it a receiver cannot tell our reports from anybody's.
            IntegrationKind::Webhook => &["secret"],
            // Its address is its credential.
            IntegrationKind::Bitrix24 => &[],
            IntegrationKind::Amocrm | IntegrationKind::TelegramNotification => &["token"],
        };
        let mut required = Vec::new();
        if !credentials.is_empty() {
            required.push("credentials");
        }
        let mut properties = json!({"credentials": {"required": credentials}});
        if *kind == IntegrationKind::TelegramNotification {
            required.push("chatId");
        } else {
            required.push("url");
            properties["chatId"] = json!(false);
        }
        json!({
            "if": {"properties": {"kind": {"const": kind.as_str()}}, "required": ["kind"]},
            "then": {"required": required, "properties": properties},
        })
    };
    IntegrationKind::ALL.iter().map(rule).collect()
}

/// Adds the settings of all kinds, and which of them belong to which kind.
fn complete_channel(spec: &mut Value) {
    for facts in KINDS {
        for setting in facts.settings {
            spec["properties"][setting.name] = setting_schema(setting);
        }
    }
    spec["additionalProperties"] = json!(false);
    spec["allOf"] = KINDS
        .iter()
        .map(|facts| {
            json!({
                "if": {"properties": {"kind": {"const": facts.kind.as_str()}}, "required": ["kind"]},
                "then": kind_rules(facts),
            })
        })
        .collect();
}

fn kind_rules(facts: &KindFacts) -> Value {
    let mut properties = Map::new();
    for setting in KINDS.iter().flat_map(|other| other.settings) {
        if facts.settings.iter().all(|own| own.name != setting.name) {
            properties.insert(setting.name.to_owned(), json!(false));
        }
    }
    if facts.daily_limit.is_none() {
        properties.insert("dailyLimit".to_owned(), json!(false));
    }
    let credentials: Map<String, Value> = facts
        .credentials
        .iter()
        .map(|credential| (credential.name.to_owned(), json!(true)))
        .collect();
    let required: Vec<&str> = facts
        .credentials
        .iter()
        .filter(|credential| credential.required)
        .map(|credential| credential.name)
        .collect();
    let mut required_fields: Vec<&str> =
        facts.settings.iter().filter(|setting| setting.required).map(|s| s.name).collect();
    if !required.is_empty() {
        required_fields.push("credentials");
    }
    properties.insert(
        "credentials".to_owned(),
        json!({"properties": credentials, "additionalProperties": false, "required": required}),
    );
    json!({"properties": properties, "required": required_fields})
}

fn setting_schema(setting: &SettingFacts) -> Value {
    let SettingFacts { shape, about, .. } = setting;
    match shape {
        SettingShape::Text { default: None } => json!({"type": "string", "description": about}),
        SettingShape::Text { default: Some(default) } => {
            json!({"type": "string", "description": about, "default": default})
        }
        SettingShape::Digits => json!({"type": ["string", "integer"], "description": about}),
        SettingShape::Word(words) => {
            json!({"type": "string", "enum": words, "description": about, "default": words[0]})
        }
        SettingShape::Limit(limits) => {
            let mut examples: Vec<Value> = limits.iter().map(|limit| json!(limit)).collect();
            examples.push(json!(UNLIMITED));
            json!({"type": ["string", "integer"], "description": about, "examples": examples})
        }
        SettingShape::Texts => {
            json!({"type": "array", "items": {"type": "string"}, "description": about})
        }
    }
}

/// What has a pattern is judged by the domain's types, whose words are better; so is a bare number
/// in its place, such as a duration without its unit.
fn without_patterns(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            if fields.remove("pattern").is_some() {
                fields.insert("type".to_owned(), json!(["string", "number"]));
            }
            for field in fields.values_mut() {
                *field = without_patterns(field.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_patterns(item.take());
            }
        }
        _ => {}
    }
    schema
}
