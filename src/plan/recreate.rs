//! Edits that a task or a channel does not survive, and the way to them with consent.

use super::{
    change::{FieldChange, Rejection, RejectionCode, Wishes},
    gone::Twice,
    three_way::besides,
};
use crate::domain::{
    actual::{ActualTask, TaskDetails},
    fields::FieldValue,
    id::{TaskId, TaskName},
    phase::Phase,
    place::Places,
    resource::ResourceKey,
    subject::Subject,
    task::{CONSENT_ANNOTATION, IMMUTABLE_FIELDS},
};

/// Whether one of the changes is such that only a recreated task can have it.
pub(super) fn has_forbidden(changes: &[FieldChange]) -> bool {
    changes.iter().any(|change| IMMUTABLE_FIELDS.contains(&change.path.as_str()))
}

/// Refuses an edit of what a task keeps for its whole life, and shows the recreate plan.
pub(super) fn reject_edit(
    name: &TaskName,
    task: &ActualTask,
    details: &TaskDetails,
    changes: Vec<FieldChange>,
    consent: (&Wishes, Option<TaskId>),
    places: &Places,
) -> Rejection {
    let is_forbidden = |change: &FieldChange| IMMUTABLE_FIELDS.contains(&change.path.as_str());
    let (fields, waiting): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_forbidden);
    let paths: Vec<String> = fields.iter().map(|change| format!("`{}`", change.path)).collect();
    let verb = if paths.len() == 1 { "is" } else { "are" };
    let place = places.of(fields.first().map_or("", |change| &change.path)).clone();
    Rejection {
        code: RejectionCode::ForbiddenEdit,
        subject: Subject::Task(name.clone()),
        message: format!(
            "{} {verb} fixed when a task is created{}",
            paths.join(" and "),
            besides(&details.fields, details.drifted.as_ref())
                .map(|drift| format!("; besides, {drift}"))
                .unwrap_or_default()
        ),
        steps: steps(task, details, &place.file),
        place,
        fields,
        waiting,
        consequences: Some(details.people),
        remedies: consent_remedies(name, task, consent),
    }
}

/// Both ways to consent beside what was: on the command line, and in git as a line to paste.
pub(super) fn consent_remedies(
    name: &TaskName,
    task: &ActualTask,
    (wishes, consent): (&Wishes, Option<TaskId>),
) -> Vec<String> {
    let id = task.id;
    let stale = consent.filter(|consent| *consent != id).map(|consent| {
        format!("its annotation consents to replace {consent}, and this is another incarnation")
    });
    let ways = [
        wishes.command_to_recreate(name),
        format!(
            "or in the manifest: metadata: {{name: {name}, annotations: \
             {{{CONSENT_ANNOTATION}: \"{id}\"}}}}"
        ),
    ];
    stale.into_iter().chain(ways).collect()
}

fn steps(task: &ActualTask, details: &TaskDetails, file: &str) -> Vec<String> {
    let mut steps = Vec::new();
    if task.phase != Phase::Completed {
        steps.push(format!("stop: {} → completed", task.phase.shown()));
    }
    steps.push(match details.people.remaining {
        0 => "delete the old task".to_owned(),
        1 => "delete: 1 contact that was not reached yet leaves the old task".to_owned(),
        n => format!("delete: {n} contacts that were not reached yet leave the old task"),
    });
    steps.push(format!("create: from {file}, with a new id"));
    steps
}

pub(super) fn contacts(count: u64) -> String {
    if count == 1 { "1 contact".to_owned() } else { format!("{count} contacts") }
}

/// Refuses a task that is an old one under a new name: the record of who was written to belongs to the
/// old name, and everybody would be written to again.
pub(super) fn reject_renamed(
    name: &TaskName,
    old: &TaskName,
    twice: Twice,
    places: &Places,
) -> Rejection {
    let would = match twice {
        Twice::Written(n) => {
            format!("{} of the same audience would be written to again", contacts(n))
        }
        Twice::Shared(n) => {
            format!("{} of the same audience would be written to by both", contacts(n))
        }
    };
    Rejection {
        code: RejectionCode::RenamedTask,
        subject: Subject::Task(name.clone()),
        place: places.document.clone(),
        message: format!("it is task `{old}` under a new name: {would}"),
        fields: Vec::new(),
        waiting: Vec::new(),
        steps: Vec::new(),
        consequences: None,
        remedies: vec![
            format!("keep the name `{old}`; `title` is free"),
            format!(
                "or end the old task, and write to them again: nuncio stop {old}, then nuncio delete {old}"
            ),
        ],
    }
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
        waiting: Vec::new(),
        steps: Vec::new(),
        consequences: Some(details.people),
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
        waiting: Vec::new(),
        steps: Vec::new(),
        consequences: None,
        remedies: vec!["give the new channel a name of its own".to_owned()],
    }
}
