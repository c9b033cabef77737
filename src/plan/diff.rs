//! The algorithm: compares digests first, and fields only where they differ.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::{
        Blocked, Change, FieldChange, Held, PhaseStep, Plan, Refresh, Rejection, RejectionCode,
        Subject, Wishes,
    },
    recreate::{
        consequences, contacts, has_forbidden, reject_edit, reject_kind, reject_protected,
        reject_renamed,
    },
};
use crate::domain::{
    actual::{Actual, ActualTask, TaskDetails},
    contact::AudienceChange,
    desired::{Desired, DesiredTask},
    fields::{FieldValue, Fields},
    id::TaskName,
    phase::{Phase, RunState, Transition},
    place::Place,
    resource::{ResourceKey, ResourceKind},
};

/// What leads from the actual state to the desired one.
///
/// `audiences` tells how the audience of a task differs, for every task whose audience digest does.
pub fn plan(
    desired: &Desired,
    actual: &Actual,
    audiences: &BTreeMap<TaskName, AudienceChange>,
    wishes: &Wishes,
) -> Plan {
    let mut pass = Pass {
        desired,
        actual,
        audiences,
        wishes,
        plan: Plan::default(),
        ending: Vec::new(),
        staying: BTreeSet::new(),
        renamed: BTreeSet::new(),
    };
    pass.write_resources();
    for (name, task) in &desired.tasks {
        pass.task(name, task);
    }
    for (name, task) in &actual.tasks {
        if !desired.tasks.contains_key(name) {
            pass.task_without_manifest(name, task);
        }
    }
    pass.delete_resources();
    let Pass { mut plan, ending, .. } = pass;
    plan.changes.extend(ending);
    plan
}

struct Pass<'p> {
    desired: &'p Desired,
    actual: &'p Actual,
    audiences: &'p BTreeMap<TaskName, AudienceChange>,
    wishes: &'p Wishes,
    plan: Plan,
    /// Recreations and deletions: they stand at the end.
    ending: Vec<Change>,
    /// Tasks that go on as they were applied, with what they refer to.
    staying: BTreeSet<TaskName>,
    /// Tasks that another manifest describes under a new name.
    renamed: BTreeSet<TaskName>,
}

impl Pass<'_> {
    fn write_resources(&mut self) {
        for (key, resource) in &self.desired.resources {
            let place = resource.places.document.clone();
            let Some(actual) = self.actual.resources.get(key) else {
                let fields = resource.fields.clone();
                self.plan.changes.push(Change::CreateResource { key: key.clone(), place, fields });
                continue;
            };
            if actual.digest == resource.digest {
                self.plan.n_unchanged += 1;
                continue;
            }
            let before = actual.fields.clone().unwrap_or_default();
            let kinds = (before.get("kind"), resource.fields.get("kind"));
            if let (ResourceKind::Channel, (Some(old), Some(new))) = (key.kind, kinds)
                && old != new
            {
                self.plan.rejections.push(reject_kind(key, old, new, &resource.places));
                continue;
            }
            self.plan.changes.push(Change::UpdateResource {
                key: key.clone(),
                from: actual.generation,
                place,
                fields: compare(&before, &resource.fields),
            });
        }
    }

    fn task(&mut self, name: &TaskName, task: &DesiredTask) {
        if let Some(missing) = self.unreadable_reference(task) {
            self.staying.insert(name.clone());
            self.plan.held.push(Held {
                subject: Subject::Task(name.clone()),
                file: task.places.document.file.to_string(),
                message: format!("it waits for {missing}, whose manifest is invalid"),
            });
            return;
        }
        match self.actual.tasks.get(name) {
            None if let Some((old, details)) = self.old_name_of(task) => {
                let rejection = reject_renamed(name, old, details, &task.places);
                self.renamed.insert(old.clone());
                self.plan.rejections.push(rejection);
            }
            None => self.plan.changes.push(Change::CreateTask {
                name: name.clone(),
                place: task.places.document.clone(),
                fields: task.fields.clone(),
                audience: self.audiences.get(name).cloned(),
                phase: first_phase(task.spec.state),
            }),
            Some(actual) => self.known_task(name, task, actual),
        }
    }

    /// A task that is there without a manifest, has written to people, and has the same audience.
    fn old_name_of(&self, task: &DesiredTask) -> Option<(&TaskName, &TaskDetails)> {
        let audience = task.audience.as_ref()?.digest;
        self.actual.tasks.iter().find_map(|(old, actual)| {
            let details = actual.details.as_ref().filter(|details| details.written > 0)?;
            let is_same = actual.audience == Some(audience)
                && details.fields.get("type") == task.fields.get("type");
            let is_gone = !self.desired.tasks.contains_key(old)
                && !self.desired.unreadable.tasks.contains_key(old);
            (is_same && is_gone).then_some((old, details))
        })
    }

    fn known_task(&mut self, name: &TaskName, task: &DesiredTask, actual: &ActualTask) {
        let details = actual.details.clone().unwrap_or_default();
        let fields = if actual.digest == task.digest {
            Vec::new()
        } else {
            compare(&details.fields, &task.fields)
        };
        let wished = self.wishes.recreate.contains(name);
        if has_forbidden(&fields) && !wished {
            self.staying.insert(name.clone());
            let rejection = reject_edit(name, actual, &details, fields, &task.places);
            self.plan.rejections.push(rejection);
            return;
        }
        let transition = task.spec.state.map(|state| actual.phase.towards(state));
        if wished && needs_recreation(task, actual) {
            self.recreate(name, task, actual, &details, fields);
            return;
        }
        let phase = match transition {
            Some(Transition::To(to)) => Some(PhaseStep { from: actual.phase, to }),
            Some(Transition::Refused(why)) => {
                self.staying.insert(name.clone());
                self.plan.rejections.push(refused_state(name, task, actual, &details, why));
                return;
            }
            Some(Transition::Already) | None => None,
        };
        let audience = self.audiences.get(name).filter(|change| !is_same(change)).cloned();
        if fields.is_empty() && audience.is_none() && phase.is_none() {
            self.plan.n_unchanged += 1;
            let moved = actual.file != self.desired.origin(&task.places.document).file
                || actual.state_place != self.desired.state_origin(task)
                || actual.audience != task.audience.as_ref().map(|audience| audience.digest);
            if moved {
                let (id, from) = (actual.id, actual.generation);
                self.plan.refreshes.push(Refresh { name: name.clone(), id, from });
            }
            return;
        }
        self.plan.changes.push(Change::UpdateTask {
            name: name.clone(),
            id: actual.id,
            from: actual.generation,
            place: task.places.document.clone(),
            fields,
            audience,
            phase,
        });
    }

    fn recreate(
        &mut self,
        name: &TaskName,
        task: &DesiredTask,
        actual: &ActualTask,
        details: &TaskDetails,
        fields: Vec<FieldChange>,
    ) {
        let place = task.places.document.clone();
        if let Some(rejection) = reject_protected(name, details, "recreated", place.clone()) {
            self.staying.insert(name.clone());
            self.plan.rejections.push(rejection);
            return;
        }
        self.ending.push(Change::RecreateTask {
            name: name.clone(),
            id: actual.id,
            from: actual.generation,
            from_phase: actual.phase,
            place,
            fields,
            audience: self.audiences.get(name).cloned(),
            phase: first_phase(task.spec.state),
            consequences: consequences(details),
        });
    }

    fn task_without_manifest(&mut self, name: &TaskName, task: &ActualTask) {
        let subject = Subject::Task(name.clone());
        let unreadable = &self.desired.unreadable;
        let shown = self.desired.shown(&task.file);
        if let (Some(invalid), Some(details)) = (unreadable.tasks.get(name), &task.details) {
            let mut changes = compare(&details.fields, &invalid.immutable);
            // What could not be read is not known to have changed.
            changes.retain(|change| change.after.is_some());
            if has_forbidden(&changes) {
                self.staying.insert(name.clone());
                let rejection = reject_edit(name, task, details, changes, &invalid.places);
                self.plan.rejections.push(rejection);
                return;
            }
        }
        if unreadable.tasks.contains_key(name) || unreadable.files.contains(shown.as_str()) {
            self.staying.insert(name.clone());
            self.plan.held.push(Held {
                subject,
                file: shown,
                message: "its manifest is invalid; it goes on as it was applied".to_owned(),
            });
            return;
        }
        let details = task.details.clone().unwrap_or_default();
        let place = Place { file: shown.as_str().into(), line: 1, column: 1 };
        if let Some(rejection) = reject_protected(name, &details, "deleted", place) {
            self.staying.insert(name.clone());
            self.plan.rejections.push(rejection);
            return;
        }
        if self.renamed.contains(name) {
            self.staying.insert(name.clone());
            self.plan.blocked.push(Blocked {
                subject,
                file: shown,
                message: "its manifest is gone, and another task looks like it under a new name"
                    .to_owned(),
                consequences: None,
                remedies: Vec::new(),
            });
            return;
        }
        if task.phase == Phase::Completed || self.wishes.stop_first {
            self.ending.push(Change::DeleteTask {
                name: name.clone(),
                id: task.id,
                from: task.generation,
                from_phase: task.phase,
                consequences: consequences(&details),
            });
            return;
        }
        self.staying.insert(name.clone());
        self.plan.blocked.push(Blocked {
            subject,
            file: shown,
            message: format!(
                "its manifest is gone, and only a completed task can be deleted: it is {}",
                task.phase.shown()
            ),
            consequences: Some(consequences(&details)),
            remedies: vec![
                "nuncio apply --stop-first".to_owned(),
                "or bring the manifest back with `state: completed`, apply it, and delete it then"
                    .to_owned(),
            ],
        });
    }

    fn delete_resources(&mut self) {
        let used = self.used_by_staying();
        for (key, resource) in &self.actual.resources {
            if self.desired.resources.contains_key(key) {
                continue;
            }
            let subject = Subject::Resource(key.clone());
            let unreadable = &self.desired.unreadable;
            let shown = self.desired.shown(&resource.file);
            if unreadable.resources.contains(key) || unreadable.files.contains(shown.as_str()) {
                let message = "its manifest is invalid; it goes on as it was applied";
                let (file, message) = (shown, message.to_owned());
                self.plan.held.push(Held { subject, file, message });
            } else if let Some(task) = used.get(key) {
                self.plan.blocked.push(Blocked {
                    subject,
                    file: shown,
                    message: format!("its manifest is gone, and task `{task}` still uses it"),
                    consequences: None,
                    remedies: vec![format!("end or change task `{task}` first")],
                });
            } else if let Some(task) = self.protected_by(key) {
                self.plan.blocked.push(Blocked {
                    subject,
                    file: shown,
                    message: format!(
                        "its manifest is gone, and task `{task}` would write to the people on it"
                    ),
                    consequences: None,
                    remedies: vec![
                        "to let them be written to, apply it with `entries: []` first".to_owned(),
                    ],
                });
            } else {
                let (key, from) = (key.clone(), resource.generation);
                self.ending.push(Change::DeleteResource { key, from });
            }
        }
    }

    /// A task that goes on and is covered by a suppression list with people on it. A file that vanished
    /// must not be what lets them be written to.
    fn protected_by(&self, key: &ResourceKey) -> Option<&TaskName> {
        if key.kind != ResourceKind::SuppressionList {
            return None;
        }
        let fields = self.actual.resources.get(key)?.fields.as_ref();
        let list = |path: &str| match fields.and_then(|fields| fields.get(path)) {
            Some(FieldValue::List(items)) => Some(items),
            _ => None,
        };
        if list("entries").is_some_and(Vec::is_empty) {
            return None;
        }
        let ends: BTreeSet<&TaskName> = self
            .ending
            .iter()
            .filter_map(|change| match change {
                Change::DeleteTask { name, .. } => Some(name),
                _ => None,
            })
            .collect();
        let covers = |name: &TaskName| list("tasks").is_none_or(|t| t.contains(&name.to_string()));
        let living = self.actual.tasks.iter().filter(|(_, task)| task.phase != Phase::Completed);
        let to_come = self.desired.tasks.keys();
        living
            .map(|(name, _)| name)
            .chain(to_come)
            .find(|name| covers(name) && !ends.contains(name))
    }

    /// What the tasks that go on as they were applied refer to.
    fn used_by_staying(&self) -> BTreeMap<ResourceKey, TaskName> {
        let mut used = BTreeMap::new();
        for name in &self.staying {
            let details = self.actual.tasks.get(name).and_then(|task| task.details.as_ref());
            let Some(details) = details else { continue };
            for (path, kind) in REFERENCES {
                let names = match details.fields.get(path) {
                    Some(FieldValue::List(names)) => names.clone(),
                    Some(value) => vec![value.to_string()],
                    None => Vec::new(),
                };
                for resource in names {
                    used.insert(ResourceKey { kind: *kind, name: resource }, name.clone());
                }
            }
        }
        used
    }

    /// A reference that no manifest defines because the one that does cannot be read, and that was
    /// never applied either.
    fn unreadable_reference(&self, task: &DesiredTask) -> Option<ResourceKey> {
        let spec = &task.spec;
        let mut references: Vec<ResourceKey> =
            spec.channels.iter().map(ResourceKey::channel).collect();
        references.extend(spec.managers.iter().map(|m| ResourceKey::new(ResourceKind::Manager, m)));
        references.push(ResourceKey::new(ResourceKind::Ai, &spec.ai));
        references.extend(
            spec.integration.iter().map(|i| ResourceKey::new(ResourceKind::Integration, i)),
        );
        references.into_iter().find(|key| {
            !self.desired.resources.contains_key(key) && !self.actual.resources.contains_key(key)
        })
    }
}

/// The fields of a task that name resources.
const REFERENCES: &[(&str, ResourceKind)] = &[
    ("channels", ResourceKind::Channel),
    ("managers", ResourceKind::Manager),
    ("ai", ResourceKind::Ai),
    ("integration", ResourceKind::Integration),
];

/// Whether the task can become what is desired only by being recreated. Consent to it is used only
/// then: it is no wish to lose a task.
pub fn needs_recreation(task: &DesiredTask, actual: &ActualTask) -> bool {
    let transition = task.spec.state.map(|state| actual.phase.towards(state));
    let forbidden = actual.digest != task.digest
        && actual
            .details
            .as_ref()
            .is_some_and(|details| has_forbidden(&compare(&details.fields, &task.fields)));
    forbidden
        || matches!(transition, Some(Transition::Refused(_)))
        || actual.phase == Phase::Completed
}

fn first_phase(state: Option<RunState>) -> Phase {
    match state {
        Some(RunState::Running) => Phase::InProgress,
        Some(RunState::Completed) => Phase::Completed,
        Some(RunState::Paused) | None => Phase::Awaiting,
    }
}

fn is_same(change: &AudienceChange) -> bool {
    change.added == 0 && change.removed == 0 && change.altered == 0
}

fn compare(before: &Fields, after: &Fields) -> Vec<FieldChange> {
    let paths: BTreeSet<&str> = before.iter().chain(after.iter()).map(|(path, _)| path).collect();
    paths
        .into_iter()
        .filter(|path| before.get(path) != after.get(path))
        .map(|path| FieldChange {
            path: path.to_owned(),
            before: before.get(path).cloned(),
            after: after.get(path).cloned(),
        })
        .collect()
}

fn refused_state(
    name: &TaskName,
    task: &DesiredTask,
    actual: &ActualTask,
    details: &TaskDetails,
    why: &str,
) -> Rejection {
    Rejection {
        code: RejectionCode::RunState,
        subject: Subject::Task(name.clone()),
        place: task.places.of("state").clone(),
        message: format!(
            "the manifest says `state: {}`, but the task is {}: {why}",
            task.spec.state.map_or("", RunState::as_str),
            actual.phase.shown()
        ),
        fields: Vec::new(),
        waiting: Vec::new(),
        steps: vec![format!(
            "recreate: {} are offered to the new task, {} are not written to again",
            contacts(details.remaining),
            contacts(details.written)
        )],
        consequences: None,
        remedies: vec![format!("nuncio apply --recreate {name}")],
    }
}
