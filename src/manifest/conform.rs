//! Judges a document by its kind's schema, and takes out what does not conform.
//!
//! What stays can be read by its types without a further error, so that the mistakes in its values
//! are told together with those of its shape.

use jsonschema::{ValidationError, error::ValidationErrorKind, paths::LocationSegment};
use serde_json::Value as Json;

use super::{
    diagnostic::{Code, listed, nearest, suggestion},
    findings::Findings,
    node::{Meaning, Node, Span, Value},
    schema::{API_VERSION, DocumentKind, KindSchema, of},
};
use crate::domain::kind::ChannelKind;

/// Differences of one document that are told: a long list of wrong items is one mistake.
const DIFFERENCES_MAX: usize = 100;

/// The kind of a document; without one there is one error and nothing else to say about it.
pub(super) fn kind_of(root: &Node, findings: &mut Findings) -> Option<DocumentKind> {
    let Value::Map(_) = &root.value else {
        findings.error(Code::WrongType, root.span, "a document is a map of fields");
        return None;
    };
    let start = Span { end_line: root.span.line, end_column: root.span.column + 1, ..root.span };
    let mut word = |field: &str, example: &str| match root.get(field) {
        None => {
            let hint = format!("write `{field}: {example}`");
            findings.error_with(
                Code::MissingField,
                start,
                format!("`{field}` is missing"),
                Some(hint),
            );
            None
        }
        Some(node) => {
            let text = node.text();
            if text.is_none() {
                findings.error(Code::WrongType, node.span, format!("`{field}` must be a text"));
            }
            text.map(|text| (text, node.span))
        }
    };
    let (version, span) = word("apiVersion", API_VERSION)?;
    if version != API_VERSION {
        let message = format!("`{version}` is no version of the format that this program reads");
        let hint = Some(format!("write `apiVersion: {API_VERSION}`"));
        findings.error_with(Code::UnknownApiVersion, span, message, hint);
        return None;
    }
    let (kind, span) = word("kind", "Task")?;
    let known: Vec<&str> = DocumentKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let found = kind.parse::<DocumentKind>().ok();
    if found.is_none() {
        let message = format!("`{kind}` is no kind of document");
        findings.error_with(Code::UnknownKind, span, message, suggestion(kind, &known));
    }
    found
}

/// Tells every difference from the schema, and prunes the document to what conforms.
pub(super) fn conform(root: &mut Node, kind: DocumentKind, findings: &mut Findings) {
    let KindSchema { schema, validator } = of(kind);
    let json = root.to_json();
    let errors: Vec<ValidationError<'_>> =
        validator.iter_errors(&json).take(DIFFERENCES_MAX).collect();
    let judge = Judge { root, schema, kind };
    // An unknown key that resembles a missing one is one mistake, told at the key.
    let unknown: Vec<(Vec<String>, String)> = errors
        .iter()
        .filter_map(|error| match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => Some((error, unexpected)),
            _ => None,
        })
        .flat_map(|(error, keys)| keys.iter().map(|key| (path_of(error), key.clone())))
        .collect();
    let mut pruned = Vec::new();
    for error in &errors {
        judge.tell(error, &unknown, findings, &mut pruned);
    }
    // From the end, so that an index in a path is still right when it is used.
    pruned.sort_by_key(|path| path.iter().map(|part| format!("{part:0>8}")).collect::<Vec<_>>());
    pruned.dedup();
    for path in pruned.iter().rev() {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        root.remove(&parts);
    }
}

struct Judge<'a> {
    root: &'a Node,
    schema: &'a Json,
    kind: DocumentKind,
}

fn path_of(error: &ValidationError<'_>) -> Vec<String> {
    error
        .instance_path()
        .segments()
        .map(|segment| match segment {
            LocationSegment::Property(name) => name.to_string(),
            LocationSegment::Index(index) => index.to_string(),
        })
        .collect()
}

/// How a field is called in messages: its path below `spec`.
fn shown(path: &[String]) -> String {
    match path {
        [] => "the document".to_owned(),
        [first, rest @ ..] if first == "spec" && !rest.is_empty() => {
            format!("`{}`", rest.join("."))
        }
        _ => format!("`{}`", path.join(".")),
    }
}

impl Judge<'_> {
    fn tell(
        &self,
        error: &ValidationError<'_>,
        unknown: &[(Vec<String>, String)],
        findings: &mut Findings,
        pruned: &mut Vec<Vec<String>>,
    ) {
        let path = path_of(error);
        let node = self.root.at(&path.join(".")).unwrap_or(self.root);
        let name = shown(&path);
        let text = node.text().unwrap_or_default();
        // An empty map or block has no first line of its own worth marking; its key has.
        let around = self.key_span(&path).unwrap_or(node.span);
        let mut bad = |code, message: String, hint| {
            findings.error_with(code, node.span, message, hint);
            pruned.push(path.clone());
        };
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = self.neighbours(error);
                for key in unexpected {
                    let span = node.entry(key).map_or(around, |(key, _)| key.span);
                    let message = format!("`{key}` is no field of {name}");
                    findings.error_with(Code::UnknownField, span, message, suggestion(key, &known));
                    pruned.push(path.iter().chain([key]).cloned().collect());
                }
            }
            ValidationErrorKind::Required { property } => {
                let property = property.as_str().unwrap_or_default();
                let mistyped = unknown
                    .iter()
                    .any(|(at, key)| *at == path && nearest(key, [property]).is_some());
                if !mistyped {
                    let message = match path.as_slice() {
                        [] => format!("`{property}` is missing"),
                        _ => format!("`{property}` is missing in {name}"),
                    };
                    let about = self.about(&path, property);
                    let hint = about.map(|about| match self.needed_within(&path, property) {
                        Some(needed) => format!("{about} {needed}"),
                        None => about,
                    });
                    findings.error_with(Code::MissingField, around, message, hint);
                }
            }
            ValidationErrorKind::FalseSchema => {
                findings.error_with(Code::ForbiddenField, around, self.forbidden(&path), None);
                pruned.push(path);
            }
            ValidationErrorKind::Type { .. } => self.wrong_type(error, node, &path, &mut bad),
            ValidationErrorKind::Enum { options } => {
                let known: Vec<&str> =
                    options.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
                let hint = nearest(text, known.iter().copied())
                    .map(|word| format!("did you mean `{word}`?"));
                bad(
                    Code::BadValue,
                    format!("{name}: `{text}` is none of {}", listed(&known)),
                    hint,
                );
            }
            ValidationErrorKind::Constant { .. }
                if path.last().is_some_and(|last| last == "format") =>
            {
                let messenger = self.root.at("spec.type").and_then(Node::text).unwrap_or_default();
                let message = format!("{name}: tasks of type `{messenger}` cannot write first");
                bad(Code::BadValue, message, Some("write `format: incoming`".to_owned()));
            }
            ValidationErrorKind::Minimum { limit } => {
                bad(Code::BadValue, format!("{name}: `{text}` is less than {limit}"), None);
            }
            ValidationErrorKind::Maximum { limit } => {
                bad(Code::BadValue, format!("{name}: `{text}` is more than {limit}"), None);
            }
            ValidationErrorKind::MinLength { .. } | ValidationErrorKind::MinItems { .. } => {
                bad(Code::BadValue, format!("{name} is empty"), None);
            }
            ValidationErrorKind::MinProperties { .. }
            | ValidationErrorKind::MaxProperties { .. } => {
                let message =
                    format!("{name} takes exactly one of {}", listed(self.fields_at(&path)));
                findings.error_with(Code::BadValue, around, message, None);
                pruned.push(path);
            }
            other => {
                bad(Code::BadValue, format!("{name}: does not fit (`{}`)", other.keyword()), None);
            }
        }
    }

    fn wrong_type(
        &self,
        error: &ValidationError<'_>,
        node: &Node,
        path: &[String],
        bad: &mut impl FnMut(Code, String, Option<String>),
    ) {
        let name = shown(path);
        let schema = self.schema_at(path);
        if schema.is_some_and(|schema| schema.get("x-secret").is_some()) {
            let message = format!("{name} must refer to a secret, not hold it");
            let hint =
                "write `{env: NAME}` or `{file: PATH}`; if this was a real secret, change it";
            return bad(Code::LiteralSecret, message, Some(hint.to_owned()));
        }
        if node.is_null() {
            return bad(Code::WrongType, format!("{name} has no value"), None);
        }
        let types = error
            .schema_path()
            .as_str()
            .strip_prefix('/')
            .and_then(|_| self.schema.pointer(error.schema_path().as_str()));
        let wanted: Vec<&str> = match types {
            Some(Json::String(one)) => vec![word_for(one)],
            Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).map(word_for).collect(),
            _ => vec!["something else"],
        };
        let hint = match &node.value {
            Value::Scalar(scalar)
                if wanted.contains(&"a text") && !matches!(scalar.meaning(), Meaning::Text(_)) =>
            {
                Some(format!("put it in quotes: \"{}\"", scalar.text))
            }
            Value::Scalar(_) if wanted.contains(&"a list") => {
                Some("write `[…]`, or `- …` on a line each".to_owned())
            }
            _ => None,
        };
        bad(Code::WrongType, format!("{name} must be {}", wanted.join(" or ")), hint);
    }

    fn forbidden(&self, path: &[String]) -> String {
        let name = shown(path);
        let kind = self.root.at("spec.kind").and_then(Node::text).unwrap_or_default();
        match (self.kind, path.last().map(String::as_str)) {
            (DocumentKind::Task, _) => {
                format!("{name} is forbidden: a task with format `incoming` only answers")
            }
            (DocumentKind::SuppressionList, _) => format!("{name} is forbidden beside `entries`"),
            (DocumentKind::Integration, _) => {
                format!("{name} is forbidden: only `telegram-notification` goes to a chat")
            }
            (_, Some("dailyLimit")) => {
                format!("{name} is forbidden: a channel of kind `{kind}` opens no dialogues")
            }
            _ => {
                let own: Vec<&str> = kind
                    .parse::<ChannelKind>()
                    .map(|kind| kind.facts().settings.iter().map(|setting| setting.name).collect())
                    .unwrap_or_default();
                let own = if own.is_empty() {
                    "it has none".to_owned()
                } else {
                    format!("it has {}", listed(own))
                };
                format!("{name} is no setting of kind `{kind}`: {own}")
            }
        }
    }

    /// The span of the key that leads to a path.
    fn key_span(&self, path: &[String]) -> Option<Span> {
        let Some((last, parents)) = path.split_last() else {
            let span = self.root.span;
            return Some(Span { end_line: span.line, end_column: span.column + 1, ..span });
        };
        let parent = self.root.at(&parents.join("."))?;
        parent.entry(last).map(|(key, _)| key.span)
    }

    /// The schema of the field at a path.
    fn schema_at(&self, path: &[String]) -> Option<&Json> {
        path.iter().try_fold(self.schema, |schema, part| {
            schema
                .get("properties")
                .and_then(|properties| properties.get(part))
                .or_else(|| schema.get("items").filter(|_| part.parse::<usize>().is_ok()))
                .or_else(|| schema.get("additionalProperties"))
        })
    }

    fn fields_at(&self, path: &[String]) -> Vec<&str> {
        field_names(self.schema_at(path))
    }

    /// The fields that are known where an unknown one was found.
    fn neighbours(&self, error: &ValidationError<'_>) -> Vec<&str> {
        let pointer = error.schema_path().as_str();
        let parent = pointer.rfind('/').map_or("", |slash| &pointer[..slash]);
        field_names(self.schema.pointer(parent))
    }

    /// What a field that is missing must hold for the kind that is written beside it.
    fn needed_within(&self, path: &[String], property: &str) -> Option<String> {
        let kind = self.root.at(&path.join("."))?.get("kind")?.text()?;
        let rules = self.schema_at(path)?.get("allOf")?.as_array()?;
        let is_of_kind =
            |rule: &&Json| rule.pointer("/if/properties/kind/const").is_some_and(|of| of == kind);
        let rule = rules.iter().find(is_of_kind)?;
        let needed = rule.pointer(&format!("/then/properties/{property}/required"))?.as_array()?;
        let fields: Vec<String> = needed
            .iter()
            .filter_map(Json::as_str)
            .map(|name| format!("{name}: {{env: NAME}}"))
            .collect();
        Some(format!("Of kind `{kind}`: `{property}: {{{}}}`", fields.join(", ")))
    }

    fn about(&self, path: &[String], property: &str) -> Option<String> {
        let schema = self.schema_at(path)?.get("properties")?.get(property)?;
        let about = schema.get("description").and_then(Json::as_str);
        let example = schema.get("examples").and_then(|examples| examples.get(0));
        match (about, example) {
            (Some(about), Some(example)) => {
                Some(format!("{about} For example: `{property}: {example}`"))
            }
            (Some(about), None) => Some(about.to_owned()),
            _ => None,
        }
    }
}

fn field_names(schema: Option<&Json>) -> Vec<&str> {
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Json::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn word_for(json_type: &str) -> &'static str {
    match json_type {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "array" => "a list",
        "object" => "a map of fields",
        "boolean" => "`true` or `false`",
        _ => "something else",
    }
}
