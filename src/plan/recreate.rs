//! Edits that a task or a channel does not survive, and the way to them with consent.

use super::change::{Consequences, FieldChange, Rejection, RejectionCode, Subject};
use crate::domain::{
    actual::{ActualTask, TaskDetails},
    fields::FieldValue,
    id::TaskName,
    phase::Phase,
    place::Places,
    resource::ResourceKey,
    task::IMMUTABLE_FIELDS,
};

/// The changes that only a recreated task can have.
pub(super) fn forbidden(fields: &[FieldChange]) -> Vec<FieldChange> {
    let forbidden = |change: &&FieldChange| IMMUTABLE_FIELDS.contains(&change.path.as_str());
    fields.iter().filter(forbidden).cloned().collect()
}

pub(super) fn consequences(details: &TaskDetails) -> Consequences {
    Consequences { remaining: details.remaining, written: details.written }
}

/// Refuses an edit of what a task keeps for its whole life, and shows the recreate plan.
pub(super) fn reject_edit(
    name: &TaskName,
    task: &ActualTask,
    details: &TaskDetails,
    fields: Vec<FieldChange>,
    places: &Places,
) -> Rejection {
    let paths: Vec<String> = fields.iter().map(|change| format!("`{}`", change.path)).collect();
    let verb = if paths.len() == 1 { "is" } else { "are" };
    let place = places.of(fields.first().map_or("", |change| &change.path)).clone();
    Rejection {
        code: RejectionCode::ForbiddenEdit,
        subject: Subject::Task(name.clone()),
        message: format!("{} {verb} fixed when a task is created", paths.join(" and ")),
        steps: steps(task, details, &place.file),
        place,
        fields,
        consequences: Some(consequences(details)),
        remedies: vec![format!("nuncio apply --recreate {name}")],
    }
}

fn steps(task: &ActualTask, details: &TaskDetails, file: &str) -> Vec<String> {
    let mut steps = Vec::new();
    if task.phase != Phase::Completed {
        steps.push(format!("stop: {} → completed", task.phase.shown()));
    }
    steps.push(format!(
        "delete: {} that {} not reached yet leave the old task",
        contacts(details.remaining),
        if details.remaining == 1 { "was" } else { "were" }
    ));
    steps.push(format!("create: from {file}, with a new id"));
    steps
}

pub(super) fn contacts(count: u64) -> String {
    if count == 1 { "1 contact".to_owned() } else { format!("{count} contacts") }
}

/// Refuses to end a task that its manifest protects. The protection is the applied one: deleting the
/// file does not delete it.
pub(super) fn reject_protected(
    name: &TaskName,
    details: &TaskDetails,
    what: &str,
    place: crate::domain::place::Place,
) -> Option<Rejection> {
    let reason = details.fields.get("protect.reason")?;
    Some(Rejection {
        code: RejectionCode::Protected,
        subject: Subject::Task(name.clone()),
        place,
        message: format!("it is protected against being {what}: {reason}"),
        fields: Vec::new(),
        steps: Vec::new(),
        consequences: Some(consequences(details)),
        remedies: vec!["remove `protect` from the manifest and apply that first".to_owned()],
    })
}

/// Refuses another kind for a channel: its tasks, counts and dialogues belong to the old one.
pub(super) fn reject_kind(
    key: &ResourceKey,
    before: &FieldValue,
    after: &FieldValue,
    places: &Places,
) -> Rejection {
    Rejection {
        code: RejectionCode::ForbiddenEdit,
        subject: Subject::Resource(key.clone()),
        place: places.of("kind").clone(),
        message: "`kind` is fixed when a channel is created".to_owned(),
        fields: vec![FieldChange {
            path: "kind".to_owned(),
            before: Some(before.clone()),
            after: Some(after.clone()),
        }],
        steps: Vec::new(),
        consequences: None,
        remedies: vec!["give the new channel a name of its own".to_owned()],
    }
}
