//! One file: its text becomes documents, each with its values and its findings.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    conform::{conform, kind_of},
    diagnostic::{Code, suggestion},
    document::{
        AiDocument, ChannelDocument, IntegrationDocument, ManagerDocument, Metadata,
        SuppressionDocument, TaskDocument,
    },
    findings::Findings,
    ground::Ground,
    lower::Lowering,
    lower_resource::manager,
    node::{Meaning, Node, Span, Value},
    places::places,
    read::read,
    schema::DocumentKind,
    yaml::{self},
};
use crate::domain::{
    desired::DesiredAudience,
    id::{ResourceName, TaskId},
    place::{Place, Places},
    resource::Resource,
    task::{CONSENT_ANNOTATION, TaskSpec},
};

/// A document as far as it could be read.
pub(super) struct ReadDocument {
    pub(super) kind: DocumentKind,
    pub(super) name: String,
    pub(super) name_span: Span,
    /// What is left of it after the schema's judgement.
    pub(super) root: Node,
    pub(super) places: Places,
    pub(super) lowered: Lowered,
    /// A task's, if it could be read; also of a task with other mistakes.
    pub(super) audience: Option<DesiredAudience>,
    /// The incarnation that may be replaced.
    pub(super) consent: Option<TaskId>,
    pub(super) findings: Findings,
}

/// The values of a document; `None` where one of them was wrong or missing.
pub(super) enum Lowered {
    Task(Option<Box<TaskSpec>>),
    Resource(Option<Box<Resource>>),
}

/// The documents of a file.
pub(super) struct ReadFile {
    pub(super) file: Arc<str>,
    pub(super) documents: Vec<ReadDocument>,
    /// What belongs to no document that has a name.
    pub(super) findings: Findings,
    /// It holds a document of which not even the name is known.
    pub(super) unnamed: bool,
}

impl ReadDocument {
    pub(super) fn span(&self, path: &str) -> Span {
        self.root.at("spec").and_then(|spec| spec.at(path)).map_or(self.name_span, |node| node.span)
    }

    /// The texts of a list in `spec`, or of the one text that stands there.
    pub(super) fn texts(&self, path: &str) -> Vec<(&str, Span)> {
        let Some(node) = self.root.at("spec").and_then(|spec| spec.at(path)) else {
            return Vec::new();
        };
        match &node.value {
            Value::List(items) => {
                items.iter().filter_map(|item| Some((item.text()?, item.span))).collect()
            }
            _ => node.text().map(|text| (text, node.span)).into_iter().collect(),
        }
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.root.at("spec")?.at(path)?.text()
    }
}

pub(super) fn read_text(file: &Arc<str>, text: &str, ground: &Ground) -> ReadFile {
    let mut read = ReadFile {
        file: Arc::clone(file),
        documents: Vec::new(),
        findings: Findings::of(file),
        unnamed: false,
    };
    let yaml::Parsed { documents, stopped } = yaml::parse(text);
    if let Some(problem) = stopped {
        // The documents above the mistake are left out with it: an edit must count as a whole.
        read.findings.problem(problem);
        read.unnamed = true;
        return read;
    }
    for yaml::Document { root, problems } in documents {
        if matches!(&root.value, Value::Scalar(scalar) if scalar.meaning() == Meaning::Null) {
            continue;
        }
        let mut findings = Findings::of(file);
        for problem in problems {
            findings.problem(problem);
        }
        match read_document(root, ground, findings) {
            Ok(document) => read.documents.push(document),
            Err(mut findings) => {
                read.findings.list.append(&mut findings.list);
                read.unnamed = true;
            }
        }
    }
    read
}

fn read_document(
    mut root: Node,
    ground: &Ground,
    mut findings: Findings,
) -> Result<ReadDocument, Findings> {
    let Some(kind) = kind_of(&root, &mut findings) else { return Err(findings) };
    conform(&mut root, kind, &mut findings);
    let metadata: Option<Metadata> =
        root.get("metadata").and_then(|node| typed(node, &mut findings));
    let Some((name, node)) =
        metadata.and_then(|metadata| metadata.name).zip(root.at("metadata.name"))
    else {
        return Err(findings);
    };
    let name_span = node.span;
    if let Err(error) = name.parse::<ResourceName>() {
        findings.error(Code::BadValue, name_span, format!("`metadata.name`: {error}"));
        return Err(findings);
    }
    let consent = consent(&root, kind, &mut findings);
    let start = Place { column: 1, ..findings.place(root.span) };
    let (lowered, audience, places) = match root.get("spec") {
        Some(spec) => {
            let (lowered, audience) = lower(kind, spec, ground, &mut findings);
            (lowered, audience, places(start, spec))
        }
        None => (Lowered::Resource(None), None, Places::at(start)),
    };
    Ok(ReadDocument { kind, name, name_span, root, places, lowered, audience, consent, findings })
}

/// Annotations of ours begin with this; a mistaken one would be a consent that is never used.
const OUR_ANNOTATIONS: &str = "nuncio/";

/// The incarnation whose replacement the manifest consents to.
fn consent(root: &Node, kind: DocumentKind, findings: &mut Findings) -> Option<TaskId> {
    let annotations = root.at("metadata.annotations")?;
    let Value::Map(entries) = &annotations.value else { return None };
    let mut consent = None;
    for (key, node) in entries {
        if key.text != CONSENT_ANNOTATION {
            if key.text.starts_with(OUR_ANNOTATIONS) {
                let message = format!("no annotation is called `{}`", key.text);
                let hint = suggestion(&key.text, &[CONSENT_ANNOTATION]);
                findings.error_with(Code::UnknownField, key.span, message, hint);
            }
            continue;
        }
        if kind != DocumentKind::Task {
            let message = format!("`{CONSENT_ANNOTATION}` means something for a task only");
            findings.error(Code::ForbiddenField, key.span, message);
            continue;
        }
        match node.text().and_then(|text| text.parse::<Uuid>().ok()) {
            Some(id) => consent = Some(TaskId(id)),
            None => findings.error_with(
                Code::BadValue,
                node.span,
                format!("`{CONSENT_ANNOTATION}` names the id of the task that may be replaced"),
                Some("`nuncio status NAME` shows the id".to_owned()),
            ),
        }
    }
    consent
}

fn lower(
    kind: DocumentKind,
    spec: &Node,
    ground: &Ground,
    findings: &mut Findings,
) -> (Lowered, Option<DesiredAudience>) {
    let resource = |resource: Option<Resource>| (Lowered::Resource(resource.map(Box::new)), None);
    macro_rules! with {
        ($document:ty, $lower:ident) => {{
            let document = typed::<$document>(spec, findings);
            let mut lowering = Lowering { spec, ground, findings };
            resource(document.and_then(|document| lowering.$lower(&document)))
        }};
    }
    match kind {
        DocumentKind::Task => {
            let document = typed::<TaskDocument>(spec, findings);
            let mut lowering = Lowering { spec, ground, findings };
            let task = document.and_then(|document| lowering.task(&document));
            let audience = lowering.audience();
            (Lowered::Task(task.map(Box::new)), audience)
        }
        DocumentKind::Channel => with!(ChannelDocument, channel),
        DocumentKind::Ai => with!(AiDocument, ai),
        DocumentKind::Integration => with!(IntegrationDocument, integration),
        DocumentKind::SuppressionList => with!(SuppressionDocument, suppression),
        DocumentKind::Manager => resource(
            typed::<ManagerDocument>(spec, findings).and_then(|document| manager(&document)),
        ),
    }
}

/// What the schema let pass is what the types read. This tells the exception, if there is one; of a
/// document that was pruned in part only, enough was told.
fn typed<T: serde::de::DeserializeOwned>(node: &Node, findings: &mut Findings) -> Option<T> {
    match read(node) {
        Ok(value) => Some(value),
        Err(error) => {
            if !findings.has_errors() {
                let span = error.span.unwrap_or(node.span);
                findings.error(Code::WrongType, span, error.message);
            }
            None
        }
    }
}
