//! Resources in a plan: they are written before the tasks that refer to them, and deleted after.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::{Blocked, Change, Held, Refresh},
    diff::{Pass, held_by_rollback},
    gone::moved_perhaps,
    recreate::reject_kind,
    three_way::{besides, compare, three_way},
};
use crate::domain::{
    desired::DesiredTask,
    fields::FieldValue,
    id::TaskName,
    phase::Phase,
    resource::{ResourceKey, ResourceKind},
    subject::Subject,
};

/// The fields of a task that name resources.
const REFERENCES: &[(&str, ResourceKind)] = &[
    ("channels", ResourceKind::Channel),
    ("managers", ResourceKind::Manager),
    ("ai", ResourceKind::Ai),
    ("integration", ResourceKind::Integration),
];

/// What a task refers to.
pub(super) fn references(task: &DesiredTask) -> Vec<ResourceKey> {
    let spec = &task.spec;
    let of = |kind| move |name| ResourceKey::new(kind, name);
    let mut references: Vec<ResourceKey> = spec.channels.iter().map(ResourceKey::channel).collect();
    references.extend(spec.managers.iter().map(of(ResourceKind::Manager)));
    references.push(ResourceKey::new(ResourceKind::Ai, &spec.ai));
    references.extend(spec.integration.iter().map(of(ResourceKind::Integration)));
    references
}

impl Pass<'_> {
    pub(super) fn write_resources(&mut self) {
        for (key, resource) in &self.desired.resources {
            let place = resource.places.document.clone();
            let Some(actual) = self.actual.resources.get(key) else {
                let fields = resource.fields.clone();
                self.plan.changes.push(Change::CreateResource { key: key.clone(), place, fields });
                continue;
            };
            if let Some(hold) = actual.hold.as_ref().filter(|hold| hold.digest == resource.digest) {
                let details = actual.details.as_ref();
                let drift = details.and_then(|d| besides(&d.fields, d.drifted.as_ref()));
                let subject = Subject::Resource(key.clone());
                let mut held = held_by_rollback(subject, hold, drift, &place);
                held.fields =
                    details.map_or_else(Vec::new, |d| compare(d.live(), &resource.fields));
                self.plan.held.push(held);
                continue;
            }
            if actual.digest == resource.digest && !actual.drifted && actual.hold.is_none() {
                self.plan.n_unchanged += 1;
                continue;
            }
            let details = actual.details.clone().unwrap_or_default();
            let kinds = (details.fields.get("kind"), resource.fields.get("kind"));
            if let (ResourceKind::Channel, (Some(old), Some(new))) = (key.kind, kinds)
                && old != new
            {
                self.plan.rejections.push(reject_kind(key, old, new, &resource.places));
                continue;
            }
            let (fields, drift) =
                three_way(&details.fields, details.drifted.as_ref(), &resource.fields);
            if fields.is_empty() && drift.is_none() {
                self.plan.n_unchanged += 1;
                let (key, from) = (key.clone(), actual.generation);
                self.plan.refreshes.push(Refresh::Resource { key, from });
                continue;
            }
            self.plan.changes.push(Change::UpdateResource {
                key: key.clone(),
                from: actual.generation,
                place,
                fields,
                drift,
            });
        }
    }

    pub(super) fn delete_resources(&mut self) {
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
                self.plan.held.push(Held { subject, file, message, fields: Vec::new() });
            } else if let Some(file) = self.strange {
                self.plan.held.push(moved_perhaps(subject, file));
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
        let fields =
            self.actual.resources.get(key)?.details.as_ref().map(|details| &details.fields);
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
}
