//! The algorithm: compares digests first, and fields only where they differ.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::{
        Change, Drift, FieldChange, Held, PhaseStep, Plan, Refresh, Rejection, RejectionCode,
        Wishes,
    },
    gone::strange_file,
    guards::reject_shrunk,
    recreate::{
        consent_remedies, contacts, has_forbidden, reject_edit, reject_protected, reject_renamed,
    },
    resources::references,
    three_way::{besides, compare, three_way},
};
use crate::domain::{
    actual::{Actual, ActualTask, Hold, TaskDetails},
    contact::AudienceChange,
    desired::{Desired, DesiredTask},
    id::TaskName,
    phase::{Phase, RunState, Transition},
    place::Place,
    resource::{ResourceKey, ResourceKind},
    subject::Subject,
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
        unstopped: BTreeSet::new(),
        strange: strange_file(desired, actual),
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
    pass.limit_deletions();
    pass.delete_resources();
    let ending = std::mem::take(&mut pass.ending);
    pass.plan.changes.extend(ending);
    pass.keep_targets();
    pass.plan
}

pub(super) struct Pass<'p> {
    pub(super) desired: &'p Desired,
    pub(super) actual: &'p Actual,
    pub(super) audiences: &'p BTreeMap<TaskName, AudienceChange>,
    pub(super) wishes: &'p Wishes,
    pub(super) plan: Plan,
    /// Recreations and deletions: they stand at the end.
    pub(super) ending: Vec<Change>,
    /// Tasks that go on as they were applied, with what they refer to.
    pub(super) staying: BTreeSet<TaskName>,
    /// Tasks that another manifest describes under a new name.
    pub(super) renamed: BTreeSet<TaskName>,
    /// Tasks that would be deleted if they could be stopped before.
    pub(super) unstopped: BTreeSet<TaskName>,
    /// An unreadable file of which nobody knows what stands in it: perhaps what is gone elsewhere.
    pub(super) strange: Option<&'p str>,
}

impl Pass<'_> {
    fn task(&mut self, name: &TaskName, task: &DesiredTask) {
        if let Some(missing) = self.unreadable_reference(name, task) {
            self.staying.insert(name.clone());
            self.plan.held.push(Held {
                subject: Subject::Task(name.clone()),
                file: task.places.document.file.to_string(),
                message: format!("it waits for {missing}, whose manifest is invalid"),
                fields: Vec::new(),
            });
            return;
        }
        match self.actual.tasks.get(name) {
            None if let Some((old, twice)) = self.old_name_of(name, task) => {
                let rejection = reject_renamed(name, old, twice, &task.places);
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

    fn known_task(&mut self, name: &TaskName, task: &DesiredTask, actual: &ActualTask) {
        let audience_digest = task.audience.as_ref().map(|audience| audience.digest);
        let details = actual.details.clone().unwrap_or_default();
        let is_manifest =
            |hold: &&Hold| hold.digest == task.digest && hold.audience == audience_digest;
        if let Some(hold) = actual.hold.as_ref().filter(is_manifest) {
            self.staying.insert(name.clone());
            let subject = Subject::Task(name.clone());
            let drift = besides(&details.fields, details.drifted.as_ref());
            let mut held = held_by_rollback(subject, hold, drift, &task.places.document);
            held.fields = compare(details.live(), &task.fields);
            self.plan.held.push(held);
            return;
        }
        let edits = if actual.digest == task.digest {
            Vec::new()
        } else {
            compare(&details.fields, &task.fields)
        };
        let wished = self.wishes.recreate.contains(name) || task.consents_to(actual.id);
        if has_forbidden(&edits) && !wished {
            self.staying.insert(name.clone());
            let (consent, places) = ((self.wishes, task.consent), &task.places);
            let rejection = reject_edit(name, actual, &details, edits, consent, places);
            self.plan.rejections.push(rejection);
            return;
        }
        if wished && needs_recreation(task, actual) {
            self.recreate(name, task, actual, &details, edits);
            return;
        }
        let (fields, mut drift) = if actual.drifted {
            three_way(&details.fields, details.drifted.as_ref(), &task.fields)
        } else {
            (edits, None)
        };
        let phase = match task.spec.state.map(|state| actual.phase.towards(state)) {
            Some(Transition::To(to)) => {
                let step = PhaseStep { from: actual.phase, to };
                let was_wanted = details.fields.get("state") == task.fields.get("state");
                if actual.drifted && was_wanted {
                    // The manifest owns the run state and did not change: somebody else did.
                    drift.get_or_insert_with(|| unseen(&details)).phase = Some(step);
                    None
                } else {
                    Some(step)
                }
            }
            Some(Transition::Refused(why)) => {
                self.staying.insert(name.clone());
                self.plan.rejections.push(refused_state(
                    name,
                    task,
                    actual,
                    &details,
                    why,
                    self.wishes,
                ));
                return;
            }
            Some(Transition::Already) | None => None,
        };
        let audience = self.audiences.get(name).filter(|change| !is_same(change)).cloned();
        if let Some(change) = audience.as_ref().filter(|_| !self.wishes.shrink.contains(name))
            && let Some(rejection) = reject_shrunk(name, change, &fields, &task.places, self.wishes)
        {
            self.staying.insert(name.clone());
            self.plan.rejections.push(rejection);
            return;
        }
        if fields.is_empty() && audience.is_none() && phase.is_none() && drift.is_none() {
            self.plan.n_unchanged += 1;
            let is_stale = actual.file != self.desired.origin(&task.places.document).file
                || actual.state_place != self.desired.state_origin(task)
                || actual.audience != audience_digest
                || actual.digest != task.digest
                || actual.drifted
                || actual.hold.is_some();
            if is_stale {
                let (id, from) = (actual.id, actual.generation);
                self.plan.refreshes.push(Refresh::Task { name: name.clone(), id, from });
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
            drift,
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
            consequences: details.people,
        });
    }

    /// What the task needs and no manifest defines because the one that does cannot be read, and that
    /// was never applied either.
    fn unreadable_reference(&self, name: &TaskName, task: &DesiredTask) -> Option<ResourceKey> {
        let Self { desired, actual, .. } = self;
        let unreadable = references(task).into_iter().find(|key| {
            !desired.resources.contains_key(key) && !actual.resources.contains_key(key)
        });
        unreadable.or_else(|| {
            // Whom a list protects cannot be asked while it is unreadable: a new task might be the one.
            let mut lists = desired.unreadable.resources.iter();
            let unapplied = lists.find(|key| {
                key.kind == ResourceKind::SuppressionList && !actual.resources.contains_key(key)
            });
            unapplied.filter(|_| !actual.tasks.contains_key(name)).cloned()
        })
    }
}

pub(super) fn held_by_rollback(
    subject: Subject,
    hold: &Hold,
    drift: Option<String>,
    place: &Place,
) -> Held {
    let by = hold.by;
    let address = match &subject {
        Subject::Task(name) => name.to_string(),
        Subject::Resource(key) => format!("{}/{}", key.kind, key.name),
    };
    let drift = drift.map(|drift| {
        format!("; since then {drift}; to put it back: nuncio rollback {address} --to {by}")
    });
    Held {
        message: format!(
            "it was rolled back in revision {by}; its manifest is applied again when it changes{}",
            drift.unwrap_or_default()
        ),
        file: place.file.to_string(),
        subject,
        fields: Vec::new(),
    }
}

/// Drift of which nothing but its time is known.
fn unseen(details: &TaskDetails) -> Drift {
    let (at, by) = match &details.drifted {
        Some(drifted) => (drifted.at, drifted.by.clone()),
        None => (None, None),
    };
    Drift { fields: Vec::new(), phase: None, at, by }
}

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

fn refused_state(
    name: &TaskName,
    task: &DesiredTask,
    actual: &ActualTask,
    details: &TaskDetails,
    why: &str,
    wishes: &Wishes,
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
            contacts(details.people.remaining),
            contacts(details.people.written)
        )],
        consequences: None,
        remedies: consent_remedies(name, actual, (wishes, task.consent)),
    }
}
