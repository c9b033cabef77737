//! The plan and its parts: what will be done, what will not, and why.

use std::{collections::BTreeSet, fmt};

use chrono::{DateTime, Utc};

use crate::domain::{
    actual::Consequences,
    contact::AudienceChange,
    fields::{FieldValue, Fields},
    id::{Generation, TaskId, TaskName},
    phase::Phase,
    place::Place,
    resource::{ResourceKey, ResourceKind},
    subject::Subject,
    word::words,
};

/// What the operator allows beyond an ordinary apply.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Tasks that may be deleted and created again.
    pub recreate: BTreeSet<TaskName>,
    /// Tasks whose manifest is gone may be stopped, so that they can be deleted.
    pub stop_first: bool,
    /// Tasks whose audience may lose more than half.
    pub shrink: BTreeSet<TaskName>,
    /// Tasks that may be deleted at once; absent: a few, or a fifth.
    pub max_delete: Option<usize>,
    /// Only these tasks and what they refer to; empty: everything.
    pub target: BTreeSet<TaskName>,
}

impl Wishes {
    /// The whole command that allows all of this: half of it would only lead to the next refusal.
    pub fn command(&self) -> String {
        let Self { recreate, stop_first, shrink, max_delete, target } = self;
        let named = |flag: &str, names: &BTreeSet<TaskName>| {
            let flags: Vec<String> = names.iter().map(|name| format!(" {flag} {name}")).collect();
            flags.concat()
        };
        let stop_first = if *stop_first { " --stop-first" } else { "" };
        let max_delete = max_delete.map(|n| format!(" --max-delete {n}")).unwrap_or_default();
        let (recreate, shrink) = (named("--recreate", recreate), named("--allow-shrink", shrink));
        let target = named("--target", target);
        format!("nuncio apply{recreate}{stop_first}{shrink}{max_delete}{target}")
    }

    /// The command with one more task that may be recreated.
    pub(super) fn command_to_recreate(&self, name: &TaskName) -> String {
        let mut wishes = self.clone();
        wishes.recreate.insert(name.clone());
        wishes.command()
    }
}

/// Everything that applying will do, in its order, and everything that it will not.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Plan {
    pub changes: Vec<Change>,
    pub rejections: Vec<Rejection>,
    pub blocked: Vec<Blocked>,
    pub held: Vec<Held>,
    /// Notes of the store that change nothing which a reader would call a change.
    pub refreshes: Vec<Refresh>,
    pub n_unchanged: usize,
    /// What there would be to do beside the targets.
    pub n_left_out: usize,
}

#[derive(Clone, Debug)]
pub enum Change {
    CreateResource {
        key: ResourceKey,
        place: Place,
        fields: Fields,
    },
    UpdateResource {
        key: ResourceKey,
        from: Generation,
        place: Place,
        fields: Vec<FieldChange>,
        drift: Option<Drift>,
    },
    CreateTask {
        name: TaskName,
        place: Place,
        fields: Fields,
        audience: Option<AudienceChange>,
        phase: Phase,
    },
    UpdateTask {
        name: TaskName,
        id: TaskId,
        from: Generation,
        place: Place,
        fields: Vec<FieldChange>,
        audience: Option<AudienceChange>,
        phase: Option<PhaseStep>,
        drift: Option<Drift>,
    },
    /// Stop, delete and create again, with consent.
    RecreateTask {
        name: TaskName,
        id: TaskId,
        from: Generation,
        from_phase: Phase,
        place: Place,
        fields: Vec<FieldChange>,
        audience: Option<AudienceChange>,
        phase: Phase,
        consequences: Consequences,
    },
    DeleteTask {
        name: TaskName,
        id: TaskId,
        from: Generation,
        from_phase: Phase,
        consequences: Consequences,
    },
    DeleteResource {
        key: ResourceKey,
        from: Generation,
    },
}

/// What was changed by other means since it was applied, and is put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// From what is live to what was applied and is still wanted.
    pub fields: Vec<FieldChange>,
    pub phase: Option<PhaseStep>,
    /// When and by whom, where the database saw it.
    pub at: Option<DateTime<Utc>>,
    pub by: Option<String>,
}

/// One field, before and after; `None` where it is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    pub path: String,
    pub before: Option<FieldValue>,
    pub after: Option<FieldValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseStep {
    pub from: Phase,
    pub to: Phase,
}

words! {
    /// The rule that forbids a change.
    RejectionCode {
        ForbiddenEdit = "forbidden-edit",
        Protected = "protected",
        RunState = "run-state",
        RenamedTask = "renamed-task",
        TooManyDeletions = "too-many-deletions",
        AudienceShrinks = "audience-shrinks",
    }
}

/// A change that a rule forbids. Nothing of its subject is applied.
#[derive(Clone, Debug)]
pub struct Rejection {
    pub code: RejectionCode,
    pub subject: Subject,
    pub place: Place,
    pub message: String,
    /// What would change against the rule.
    pub fields: Vec<FieldChange>,
    /// What else would change in the same manifest, and waits with it.
    pub waiting: Vec<FieldChange>,
    /// The way to it with consent, step by step; empty where there is none.
    pub steps: Vec<String>,
    pub consequences: Option<Consequences>,
    pub remedies: Vec<String>,
}

/// What `explain` knows a deletion by that has to wait.
pub const BLOCKED: &str = "blocked";

/// A deletion that has to wait for something.
#[derive(Clone, Debug)]
pub struct Blocked {
    pub subject: Subject,
    /// Where its manifest stood.
    pub file: String,
    pub message: String,
    pub consequences: Option<Consequences>,
    pub remedies: Vec<String>,
}

/// Left as it is, because its manifest, or one that it refers to, cannot be read.
#[derive(Clone, Debug)]
pub struct Held {
    pub subject: Subject,
    pub file: String,
    pub message: String,
    /// From what is live to what a readable manifest says.
    pub fields: Vec<FieldChange>,
}

#[derive(Clone, Debug)]
pub enum Refresh {
    Task { name: TaskName, id: TaskId, from: Generation },
    Resource { key: ResourceKey, from: Generation },
}

impl Refresh {
    pub fn subject(&self) -> Subject {
        match self {
            Self::Task { name, .. } => Subject::Task(name.clone()),
            Self::Resource { key, .. } => Subject::Resource(key.clone()),
        }
    }
}

/// A plan in numbers: its last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub n_create: usize,
    pub n_update: usize,
    pub n_recreate: usize,
    pub n_delete: usize,
    pub n_rejected: usize,
    pub n_blocked: usize,
    pub n_drifted: usize,
}

impl Change {
    pub fn subject(&self) -> Subject {
        match self {
            Self::CreateResource { key, .. }
            | Self::UpdateResource { key, .. }
            | Self::DeleteResource { key, .. } => Subject::Resource(key.clone()),
            Self::CreateTask { name, .. }
            | Self::UpdateTask { name, .. }
            | Self::RecreateTask { name, .. }
            | Self::DeleteTask { name, .. } => Subject::Task(name.clone()),
        }
    }

    pub fn drift(&self) -> Option<&Drift> {
        match self {
            Self::UpdateResource { drift, .. } | Self::UpdateTask { drift, .. } => drift.as_ref(),
            _ => None,
        }
    }

    /// Nothing but what was changed by other means is put back.
    pub fn only_reverts_drift(&self) -> bool {
        match self {
            Self::UpdateResource { fields, drift, .. } => fields.is_empty() && drift.is_some(),
            Self::UpdateTask { fields, audience, phase, drift, .. } => {
                fields.is_empty() && audience.is_none() && phase.is_none() && drift.is_some()
            }
            _ => false,
        }
    }

    /// Deletions and recreations stand in a section of their own.
    pub fn ends_something(&self) -> bool {
        matches!(
            self,
            Self::RecreateTask { .. } | Self::DeleteTask { .. } | Self::DeleteResource { .. }
        )
    }
}

impl Plan {
    pub fn summary(&self) -> Summary {
        let Self {
            changes,
            rejections,
            blocked,
            held: _,
            refreshes: _,
            n_unchanged: _,
            n_left_out: _,
        } = self;
        let mut summary = Summary {
            n_rejected: rejections.len(),
            n_blocked: blocked.len(),
            ..Summary::default()
        };
        for change in changes {
            summary.n_drifted += usize::from(change.drift().is_some());
            match change {
                change if change.only_reverts_drift() => {}
                Change::CreateResource { .. } | Change::CreateTask { .. } => summary.n_create += 1,
                Change::UpdateResource { .. } | Change::UpdateTask { .. } => summary.n_update += 1,
                Change::RecreateTask { .. } => summary.n_recreate += 1,
                Change::DeleteTask { .. } | Change::DeleteResource { .. } => summary.n_delete += 1,
            }
        }
        summary
    }

    /// Something was forbidden or has to wait.
    pub fn is_rejected(&self) -> bool {
        !self.rejections.is_empty() || !self.blocked.is_empty()
    }

    /// Something or somebody would be gone afterwards, or be less protected.
    pub fn takes_away(&self) -> bool {
        self.changes.iter().any(|change| match change {
            Change::DeleteResource { .. }
            | Change::DeleteTask { .. }
            | Change::RecreateTask { .. } => true,
            Change::UpdateResource { key, .. } => key.kind == ResourceKind::SuppressionList,
            Change::UpdateTask { audience, .. } => {
                audience.as_ref().is_some_and(|audience| audience.removed > 0)
            }
            Change::CreateResource { .. } | Change::CreateTask { .. } => false,
        })
    }

    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_create, n_update, n_recreate, n_delete, n_rejected, n_blocked, n_drifted } =
            self;
        write!(
            f,
            "Plan: {n_create} to create, {n_update} to update, {n_recreate} to recreate, \
             {n_delete} to delete, {n_rejected} rejected, {n_blocked} blocked, {n_drifted} drifted."
        )
    }
}
