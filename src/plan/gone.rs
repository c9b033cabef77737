//! Tasks whose manifest is gone: deleted, renamed, or standing where nobody can read it.

use std::collections::BTreeSet;

use super::{
    change::{Blocked, Change, Held},
    diff::Pass,
    recreate::{consequences, has_forbidden, reject_edit, reject_protected},
    three_way::compare,
};
use crate::domain::{
    actual::{Actual, ActualTask},
    desired::{Desired, DesiredTask},
    id::TaskName,
    phase::Phase,
    place::Place,
    subject::Subject,
};

impl Pass<'_> {
    /// A task that is there without a manifest and has written to people of the same audience, or of
    /// most of it; and to how many.
    pub(super) fn old_name_of(
        &self,
        name: &TaskName,
        task: &DesiredTask,
    ) -> Option<(&TaskName, u64)> {
        let audience = task.audience.as_ref()?.digest;
        let same = self.actual.tasks.iter().find_map(|(old, actual)| {
            let details = actual.details.as_ref().filter(|details| details.written > 0)?;
            let is_same = actual.audience == Some(audience)
                && details.fields.get("type") == task.fields.get("type");
            let is_gone = !self.desired.tasks.contains_key(old)
                && !self.desired.unreadable.tasks.contains_key(old);
            (is_same && is_gone).then_some((old, details.written))
        });
        same.or_else(|| {
            let change = self.audiences.get(name)?;
            let (old, again) = change.written_as.as_ref()?;
            let written = self.actual.tasks.get(old)?.details.as_ref()?.written;
            // A person or two in common are no sign that it is the same task.
            (again * 2 > change.total.min(written)).then_some((old, *again))
        })
    }

    pub(super) fn task_without_manifest(&mut self, name: &TaskName, task: &ActualTask) {
        let subject = Subject::Task(name.clone());
        let unreadable = &self.desired.unreadable;
        let shown = self.desired.shown(&task.file);
        if let (Some(invalid), Some(details)) = (unreadable.tasks.get(name), &task.details) {
            let mut changes = compare(&details.fields, &invalid.immutable);
            // What could not be read is not known to have changed.
            changes.retain(|change| change.after.is_some());
            if has_forbidden(&changes) {
                self.staying.insert(name.clone());
                let rejection = reject_edit(name, task, details, changes, None, &invalid.places);
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
        if let Some(file) = self.strange {
            self.staying.insert(name.clone());
            self.plan.held.push(moved_perhaps(subject, file));
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
}

/// An unreadable file from which nothing was applied.
pub(super) fn strange_file<'p>(desired: &'p Desired, actual: &Actual) -> Option<&'p str> {
    let files = &desired.unreadable.files;
    if files.is_empty() {
        return None;
    }
    let of_tasks = actual.tasks.values().map(|task| &task.file);
    let of_resources = actual.resources.values().map(|resource| &resource.file);
    let known: BTreeSet<String> =
        of_tasks.chain(of_resources).map(|file| desired.shown(file)).collect();
    files.iter().map(|file| &**file).find(|file| !known.contains(*file))
}

/// What is gone may stand in a file that cannot be read.
pub(super) fn moved_perhaps(subject: Subject, file: &str) -> Held {
    let message =
        "its manifest is gone, and may stand in this file, which cannot be read".to_owned();
    Held { subject, file: file.to_owned(), message }
}
