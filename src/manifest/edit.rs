//! Changes single fields of a manifest's text; everything else stays byte for byte.

use std::sync::Arc;

use super::{
    diagnostic::{Code, Severity},
    emit::{parts_of, value_at},
    format::means_same,
    load::read_stored,
    node::Node,
    order::rank,
    reading::Lowered,
    schema::DocumentKind,
    splice::{Spot, remove, set},
    tree::{comments, tree},
    yaml,
};
use crate::domain::fields::{FieldValue, Fields};

/// A default may follow another field: what a first round changed by the way, a second one sets.
const ROUNDS_MAX: usize = 3;

/// Why a text is left as it is. Each is a case for a person with an editor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("the text defines no {kind} named `{name}`, or defines it twice")]
    NotFound { kind: DocumentKind, name: String },
    #[error("{0}")]
    Invalid(String),
    #[error("`{path}` is shared by an anchor, an alias or a merge key")]
    Shared { path: String },
    #[error("a comment stands inside of `{path}`, and would be lost")]
    Commented { path: String },
    #[error("`{path}` cannot be changed without changing something else")]
    NotKept { path: String },
}

/// Sets, adds or removes fields of one document, by their paths below `spec`. Removed (`None`) is the
/// key: its default counts then. The result is read again, and means what was there, with the changes.
pub fn set_fields(
    text: &str,
    kind: DocumentKind,
    name: &str,
    changes: &[(String, Option<FieldValue>)],
) -> Result<String, EditError> {
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let before = Reading::of(body, kind, name)?;
    let mut wanted: Vec<(String, Option<FieldValue>)> = changes
        .iter()
        .filter(|(path, value)| value.is_none() || before.fields.get(path) != value.as_ref())
        .cloned()
        .collect();
    for _ in 0..ROUNDS_MAX {
        let edited = apply(body, kind, name, &wanted)?;
        let after = Reading::of(&edited, kind, name)?;
        if let Some(error) = after.errors.iter().find(|error| !before.errors.contains(error)) {
            return Err(EditError::Invalid(error.clone()));
        }
        let mut moved = before.moved(&after, &wanted)?;
        if moved.is_empty() {
            before.check_rest(&after, &wanted)?;
            return Ok(mark.to_owned() + &edited);
        }
        wanted.append(&mut moved);
    }
    let path = wanted.pop().map_or_else(String::new, |(path, _)| path);
    Err(EditError::NotKept { path })
}

/// Adds before it removes, so that a map is not taken away in between, and in the usual order.
fn apply(
    text: &str,
    kind: DocumentKind,
    name: &str,
    changes: &[(String, Option<FieldValue>)],
) -> Result<String, EditError> {
    let mut ordered: Vec<&(String, Option<FieldValue>)> = changes.iter().collect();
    ordered.sort_by_key(|(path, value)| {
        let parts = parts_of(path);
        let ranks: Vec<usize> = (0..parts.len())
            .map(|depth| {
                let parent = [&["spec"], &parts[..depth]].concat().join(".");
                rank(kind, &parent, parts[depth])
            })
            .collect();
        (value.is_none(), ranks)
    });
    let mut text = text.to_owned();
    for (path, value) in ordered {
        let parts = parts_of(path);
        let spot = Spot::find(&text, kind, name, path)?;
        text = match value {
            Some(value) => set(&spot, &parts, &value_at(kind, path, value))?,
            None => remove(&spot, &parts)?,
        };
    }
    Ok(text)
}

/// A text as it is meant.
pub(super) struct Reading {
    pub(super) fields: Fields,
    errors: Vec<String>,
    roots: Vec<Node>,
    /// Which of the roots is the document.
    index: usize,
    comments: usize,
}

impl Reading {
    pub(super) fn of(text: &str, kind: DocumentKind, name: &str) -> Result<Self, EditError> {
        let read = read_stored(&Arc::from("manifest"), text);
        if let (true, Some(found)) = (read.documents.is_empty(), read.findings.list.first()) {
            return Err(EditError::Invalid(found.message.clone()));
        }
        let mut found = read.documents.into_iter().filter(|d| d.kind == kind && d.name == name);
        let (Some(document), None) = (found.next(), found.next()) else {
            return Err(EditError::NotFound { kind, name: name.to_owned() });
        };
        let errors: Vec<String> = document
            .findings
            .list
            .iter()
            // The files are elsewhere.
            .filter(|found| found.severity == Severity::Error && found.code != Code::AudienceFile)
            .map(|found| found.message.clone())
            .collect();
        let fields = match document.lowered {
            Lowered::Task(Some(spec)) => spec.fields(),
            Lowered::Resource(Some(resource)) => resource.fields(),
            Lowered::Task(None) | Lowered::Resource(None) => {
                let what = errors.into_iter().next();
                return Err(EditError::Invalid(what.unwrap_or_else(|| "it is invalid".to_owned())));
            }
        };
        let roots: Vec<Node> = yaml::parse(text).documents.into_iter().map(|d| d.root).collect();
        let is_it = |root: &Node| {
            root.at("kind").and_then(Node::text) == Some(kind.as_str())
                && root.at("metadata.name").and_then(Node::text) == Some(name)
        };
        let index = roots.iter().position(is_it).unwrap_or(0);
        let comments = tree(text).map_or(0, |tree| comments(&tree).len());
        Ok(Self { fields, errors, roots, index, comments })
    }

    /// Fields that changed without being asked to, with the values that they had.
    fn moved(
        &self,
        after: &Self,
        wanted: &[(String, Option<FieldValue>)],
    ) -> Result<Vec<(String, Option<FieldValue>)>, EditError> {
        let mut moved = Vec::new();
        for (path, value) in self.fields.iter() {
            let is_wanted = wanted.iter().any(|(wanted, _)| wanted == path);
            if !is_wanted && after.fields.get(path) != Some(value) {
                moved.push((path.to_owned(), Some(value.clone())));
            }
        }
        for (path, value) in after.fields.iter() {
            let change = wanted.iter().find(|(wanted, _)| wanted == path);
            let is_new = self.fields.get(path).is_none() && change.is_none();
            let is_wrong = matches!(change, Some((_, Some(wanted))) if wanted != value);
            if is_new || is_wrong {
                return Err(EditError::NotKept { path: path.to_owned() });
            }
        }
        match wanted
            .iter()
            .find(|(path, value)| value.is_some() && after.fields.get(path).is_none())
        {
            Some((path, _)) => Err(EditError::NotKept { path: path.clone() }),
            None => Ok(moved),
        }
    }

    /// Checks what is not among the fields: other documents, what tasks say besides, the comments.
    fn check_rest(
        &self,
        after: &Self,
        wanted: &[(String, Option<FieldValue>)],
    ) -> Result<(), EditError> {
        let rest = |reading: &Self| {
            let mut roots = reading.roots.clone();
            let root = &mut roots[reading.index];
            let mut kept = Vec::new();
            for path in ["spec.outgoing.targetAudience", "spec.file", "metadata"] {
                kept.extend(root.at(path).cloned());
            }
            root.remove(&["spec"]);
            roots.extend(kept);
            roots
        };
        // What is removed takes the comment behind it away: a key, or an item of a list.
        let lines =
            |(path, value): &(String, Option<FieldValue>)| match (value, self.fields.get(path)) {
                (None, _) => 1,
                (Some(_), Some(FieldValue::List(items))) => items.len(),
                _ => 0,
            };
        let removed: usize = wanted.iter().map(lines).sum();
        let is_kept = self.index == after.index
            && means_same(&rest(self), &rest(after))
            && (after.comments..=after.comments + removed).contains(&self.comments);
        let path = || wanted.first().map_or_else(String::new, |(path, _)| path.clone());
        if is_kept { Ok(()) } else { Err(EditError::NotKept { path: path() }) }
    }
}
