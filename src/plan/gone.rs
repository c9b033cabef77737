//! Tasks whose manifest is gone: deleted, renamed, or standing where nobody can read it.

use std::collections::BTreeSet;

use super::{
    change::{Blocked, Change, Held},
    diff::Pass,
    recreate::{has_forbidden, reject_edit, reject_protected},
    three_way::compare,
};
use crate::domain::{
    actual::{Actual, ActualTask},
    contact::SharedPeople,
    desired::{Desired, DesiredTask},
    id::TaskName,
    phase::Phase,
    place::Place,
    subject::Subject,
};

/// Who would be written to twice if a task could come back under a new name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Twice {
    /// Written to by the old one already.
    Written(u64),
    /// On the list of both.
    Shared(u64),
}

impl Twice {
    fn count(self) -> u64 {
        match self {
            Self::Written(n) | Self::Shared(n) => n,
        }
    }
}

impl Pass<'_> {
    /// A task that is there without a manifest and shares its audience, or most of it, with a new one.
    /// One that goes on would write to the same people whatever was written so far; of one that is
    /// completed only those count whom it has written to.
    pub(super) fn old_name_of(
        &self,
        name: &TaskName,
        task: &DesiredTask,
    ) -> Option<(&TaskName, Twice)> {
        let audience = task.audience.as_ref()?.digest;
        let change = self.audiences.get(name);
        let same = self.actual.tasks.iter().find_map(|(old, actual)| {
            let details = actual.details.as_ref()?;
            let is_same = actual.audience == Some(audience)
                && details.fields.get("type") == task.fields.get("type");
            let is_gone = !self.desired.tasks.contains_key(old)
                && !self.desired.unreadable.tasks.contains_key(old);
            let twice = match actual.phase {
                Phase::Completed => Twice::Written(details.people.written),
                _ => Twice::Shared(change.map_or(details.people.remaining, |change| change.total)),
            };
            (is_same && is_gone && twice.count() > 0).then_some((old, twice))
        });
        same.or_else(|| {
            let change = change?;
            let SharedPeople { task: old, of, shared, written } = change.shared_with.as_ref()?;
            let (old, there) = self.actual.tasks.get_key_value(old)?;
            let all_written = there.details.as_ref()?.people.written;
            // A person or two in common are no sign that it is the same task.
            if shared * 2 > change.total.min(*of) {
                Some((old, Twice::Shared(*shared)))
            } else if written * 2 > change.total.min(all_written) {
                Some((old, Twice::Written(*written)))
            } else {
                None
            }
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
                let rejection =
                    reject_edit(name, task, details, changes, (self.wishes, None), &invalid.places);
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
                fields: Vec::new(),
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
                consequences: details.people,
            });
            return;
        }
        self.staying.insert(name.clone());
        // How many there are decides about the command: see `limit_deletions`.
        self.unstopped.insert(name.clone());
        self.plan.blocked.push(Blocked {
            subject,
            file: shown,
            message: format!(
                "its manifest is gone, and only a completed task can be deleted: it is {}",
                task.phase.shown()
            ),
            consequences: Some(details.people),
            remedies: vec![
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
    Held { subject, file: file.to_owned(), message, fields: Vec::new() }
}
