//! What was applied, and what has come of it.

use std::collections::BTreeMap;

use super::{
    contact::AudienceDigest,
    fields::{Digest, Fields},
    id::{Generation, TaskId, TaskName},
    phase::Phase,
    resource::ResourceKey,
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
    /// Read only where the plan may need it: for a task that differs from its manifest.
    pub details: Option<TaskDetails>,
}

/// What is read of a task only when something about it changes.
#[derive(Clone, Debug, Default)]
pub struct TaskDetails {
    pub fields: Fields,
    /// Contacts that were not reached yet.
    pub remaining: u64,
    /// Contacts who were written to, or may have been, by any incarnation.
    pub written: u64,
}

#[derive(Clone, Debug)]
pub struct ActualResource {
    pub generation: Generation,
    pub digest: Digest,
    pub file: String,
    /// Read only for a resource that differs from its manifest.
    pub fields: Option<Fields>,
}
