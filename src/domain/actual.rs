//! What was applied, and what has come of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    contact::AudienceDigest,
    fields::{Digest, Fields},
    id::{Generation, TaskId, TaskName},
    phase::Phase,
    resource::ResourceKey,
    revision::RevisionNumber,
};

/// Everything that lives in the database, by digests.
#[derive(Clone, Debug, Default)]
pub struct Actual {
    pub tasks: BTreeMap<TaskName, ActualTask>,
    pub resources: BTreeMap<ResourceKey, ActualResource>,
}

#[derive(Clone, Debug)]
pub struct ActualTask {
    pub id: TaskId,
    pub generation: Generation,
    pub phase: Phase,
    pub digest: Digest,
    pub audience: Option<AudienceDigest>,
    /// The manifest that it was applied from, and the place of its `state` where it has one.
    pub file: String,
    pub state_place: Option<String>,
    /// The row is not what was applied: somebody edited it by other means.
    pub drifted: bool,
    /// A rollback that stands against a manifest.
    pub hold: Option<Hold>,
    /// Read only where the plan may need it: for a task that differs from its manifest.
    pub details: Option<TaskDetails>,
}

/// What is read of a task only when something about it changes.
#[derive(Clone, Debug, Default)]
pub struct TaskDetails {
    /// As it was applied.
    pub fields: Fields,
    /// What is live instead, for a task that drifted.
    pub drifted: Option<Drifted>,
    /// What would become of its people, should it end.
    pub people: Consequences,
}

/// What becomes of the people of a task that ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consequences {
    /// Contacts that were not reached yet.
    pub remaining: u64,
    /// Contacts who were written to, or may have been, by any incarnation. They are not written to again.
    pub written: u64,
    /// Contacts who were passed without being written to, and may be: their opening failed, or they were
    /// suppressed then. The next incarnation tries them.
    pub passed_over: u64,
    /// Dialogues that end with the task.
    pub dialogues: u64,
    /// Those of them in which the person waits for an answer.
    pub unanswered: u64,
}

impl TaskDetails {
    /// What acts: the applied fields, unless somebody edited them.
    pub fn live(&self) -> &Fields {
        self.drifted.as_ref().map_or(&self.fields, |drifted| &drifted.live)
    }
}

impl ResourceDetails {
    /// What acts: the applied fields, unless somebody edited them.
    pub fn live(&self) -> &Fields {
        self.drifted.as_ref().map_or(&self.fields, |drifted| &drifted.live)
    }
}

/// What is live instead of what was applied.
#[derive(Clone, Debug, Default)]
pub struct Drifted {
    pub live: Fields,
    /// When and by whom, where the database saw it.
    pub at: Option<DateTime<Utc>>,
    pub by: Option<String>,
}

/// A rollback stands until the manifest is another one than this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub digest: Digest,
    pub audience: Option<AudienceDigest>,
    /// The rollback.
    pub by: RevisionNumber,
}

#[derive(Clone, Debug)]
pub struct ActualResource {
    pub generation: Generation,
    pub digest: Digest,
    pub file: String,
    pub drifted: bool,
    pub hold: Option<Hold>,
    /// Read only for a resource that differs from its manifest.
    pub details: Option<ResourceDetails>,
}

#[derive(Clone, Debug, Default)]
pub struct ResourceDetails {
    /// As it was applied.
    pub fields: Fields,
    pub drifted: Option<Drifted>,
}
