//! Guard rails: what is too much at once is rejected until it is allowed by name or number.

use super::{
    change::{Change, FieldChange, Rejection, RejectionCode, Wishes},
    diff::Pass,
    recreate::contacts,
    resources::references,
};
use crate::domain::{
    contact::AudienceChange,
    id::TaskName,
    place::{Place, Places},
    resource::{Resource, ResourceKey},
    subject::Subject,
};

/// Tasks that may always be deleted at once.
const DELETIONS_FREE: usize = 3;
/// With many tasks, a part of them instead: one in so many.
const DELETIONS_PART: usize = 5;

impl Pass<'_> {
    /// Rejects the deletions if there are too many: a folder of which a part was not checked out looks
    /// like a wish to delete the rest.
    pub(super) fn limit_deletions(&mut self) {
        let n_tasks = self.actual.tasks.len();
        let allowed =
            self.wishes.max_delete.unwrap_or(DELETIONS_FREE.max(n_tasks / DELETIONS_PART));
        let is_deletion = |change: &Change| matches!(change, Change::DeleteTask { .. });
        let n_deletions = self.ending.iter().filter(|change| is_deletion(change)).count();
        let way = self.way_to_delete(n_deletions, allowed);
        for blocked in &mut self.plan.blocked {
            if matches!(&blocked.subject, Subject::Task(name) if self.unstopped.contains(name)) {
                blocked.remedies.insert(0, way.clone());
            }
        }
        if n_deletions <= allowed {
            return;
        }
        let (deletions, rest) = std::mem::take(&mut self.ending).into_iter().partition(is_deletion);
        self.ending = rest;
        for change in deletions {
            let Change::DeleteTask { name, consequences, .. } = change else { continue };
            let file = self.actual.tasks.get(&name).map(|task| self.desired.shown(&task.file));
            let file = file.unwrap_or_default();
            self.staying.insert(name.clone());
            self.plan.rejections.push(Rejection {
                code: RejectionCode::TooManyDeletions,
                subject: Subject::Task(name),
                place: Place { file: file.as_str().into(), line: 1, column: 1 },
                message: format!(
                    "it is one of {n_deletions} tasks of {n_tasks} that would be deleted at once; \
                     {allowed} may be"
                ),
                fields: Vec::new(),
                waiting: Vec::new(),
                steps: Vec::new(),
                consequences: Some(consequences),
                remedies: vec![way.clone()],
            });
        }
    }

    /// What allows all that is gone to be deleted, in one command.
    fn way_to_delete(&self, n_deletions: usize, allowed: usize) -> String {
        let n_all = n_deletions + self.unstopped.len();
        let mut wishes = self.wishes.clone();
        wishes.stop_first |= !self.unstopped.is_empty();
        if n_all > allowed {
            wishes.max_delete = Some(n_all);
        }
        wishes.command()
    }

    /// Leaves out what is neither a target nor something that a target refers to.
    pub(super) fn keep_targets(&mut self) {
        let target = &self.wishes.target;
        if target.is_empty() {
            return;
        }
        let wanted = target.iter().filter_map(|name| self.desired.tasks.get(name));
        let needed: Vec<_> = wanted.flat_map(references).collect();
        // Nobody refers to a list of people who must not be written to, and it counts all the same.
        let protects =
            |key: &ResourceKey| match self.desired.resources.get(key).map(|r| &r.resource) {
                Some(Resource::SuppressionList(list)) => list
                    .tasks
                    .as_ref()
                    .is_none_or(|tasks| tasks.iter().any(|task| target.contains(task))),
                _ => false,
            };
        let is_kept = |subject: &Subject| match subject {
            Subject::Task(name) => target.contains(name),
            Subject::Resource(key) => needed.contains(key) || protects(key),
        };
        let plan = &mut self.plan;
        let before = plan.changes.len() + plan.rejections.len() + plan.blocked.len();
        plan.changes.retain(|change| is_kept(&change.subject()));
        plan.rejections.retain(|rejection| is_kept(&rejection.subject));
        plan.blocked.retain(|blocked| is_kept(&blocked.subject));
        plan.held.retain(|held| is_kept(&held.subject));
        plan.refreshes.retain(|refresh| is_kept(&refresh.subject()));
        plan.n_left_out = before - plan.changes.len() - plan.rejections.len() - plan.blocked.len();
    }
}

/// Refuses to take more than half of an audience away: a truncated file looks like that.
pub(super) fn reject_shrunk(
    name: &TaskName,
    change: &AudienceChange,
    waiting: &[FieldChange],
    places: &Places,
    wishes: &Wishes,
) -> Option<Rejection> {
    let AudienceChange { total, added, removed, .. } = change;
    let before = total + removed - added;
    if removed * 2 <= before {
        return None;
    }
    let mut wishes = wishes.clone();
    wishes.shrink.insert(name.clone());
    Some(Rejection {
        code: RejectionCode::AudienceShrinks,
        subject: Subject::Task(name.clone()),
        place: places.of("outgoing.targetAudience").clone(),
        message: format!(
            "its audience would lose {removed} of {}, which is more than half",
            contacts(before)
        ),
        fields: Vec::new(),
        waiting: waiting.to_vec(),
        steps: Vec::new(),
        consequences: None,
        remedies: vec![wishes.command()],
    })
}
