//! What the manifests ask for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use super::{
    contact::AudienceDigest,
    fields::{Digest, Fields},
    id::{TaskId, TaskName},
    place::{Place, Places},
    resource::{Resource, ResourceKey},
    task::TaskSpec,
};

/// Everything that the folder asks for, and what of it could not be read.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// The folder as the user names it: every place begins with it.
    pub folder: Arc<str>,
    pub tasks: BTreeMap<TaskName, DesiredTask>,
    pub resources: BTreeMap<ResourceKey, DesiredResource>,
    pub unreadable: Unreadable,
}

/// What exists in the folder and cannot be read: its last good state goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// Files of which not even the documents' names are known.
    pub files: BTreeSet<Arc<str>>,
    pub tasks: BTreeMap<TaskName, InvalidTask>,
    pub resources: BTreeSet<ResourceKey>,
}

/// A task whose manifest is invalid, as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTask {
    /// What it says of the fields that a task keeps for its whole life: an edit of them often makes
    /// the rest invalid, and the edit is what the reader has to hear of.
    pub immutable: Fields,
    pub places: Places,
    /// Where its mistakes are.
    pub mistakes: BTreeSet<Place>,
}

impl Unreadable {
    pub fn is_empty(&self) -> bool {
        let Self { files, tasks, resources } = self;
        files.is_empty() && tasks.is_empty() && resources.is_empty()
    }
}

#[derive(Clone, Debug)]
pub struct DesiredTask {
    pub spec: TaskSpec,
    /// `spec` as fields, made once.
    pub fields: Fields,
    pub digest: Digest,
    /// Present with outgoing.
    pub audience: Option<DesiredAudience>,
    /// The incarnation that may be replaced.
    pub consent: Option<TaskId>,
    pub places: Places,
}

impl DesiredTask {
    pub fn consents_to(&self, id: TaskId) -> bool {
        self.consent == Some(id)
    }

    /// What the manifest and its audience say, in one digest: a plan is bound to it.
    pub fn manifest_digest(&self) -> Digest {
        let audience = self.audience.as_ref().map(|audience| audience.digest.0);
        Digest::of_bytes(format!("{}{audience:?}{:?}", self.digest, self.consent).as_bytes())
    }
}

/// Where an applied document came from, below the folder: the same whatever the folder is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub file: String,
    pub line: u32,
}

impl Desired {
    pub fn origin(&self, place: &Place) -> Origin {
        let inside = place.file.strip_prefix(&*self.folder).unwrap_or(&place.file);
        Origin { file: inside.trim_start_matches('/').to_owned(), line: place.line }
    }

    /// A file of an origin, as the user names it.
    pub fn shown(&self, file: &str) -> String {
        if self.folder.is_empty() { file.to_owned() } else { format!("{}/{file}", self.folder) }
    }

    /// The origin of a task's `state`: then git owns the run state, and says so there.
    pub fn state_origin(&self, task: &DesiredTask) -> Option<String> {
        let Origin { file, line } = self.origin(task.places.of("state"));
        task.spec.state.map(|_| format!("{file}:{line}"))
    }
}

#[derive(Clone, Debug)]
pub struct DesiredResource {
    pub resource: Resource,
    pub fields: Fields,
    pub digest: Digest,
    pub places: Places,
}

/// An audience as the manifest gives it: where its lines are, and the digest of their bytes.
///
/// The lines themselves are read only when the digest is new.
#[derive(Clone, Debug)]
pub struct DesiredAudience {
    pub source: AudienceSource,
    pub digest: AudienceDigest,
}

#[derive(Clone, Debug)]
pub enum AudienceSource {
    /// The lines, each with its line in the manifest.
    Inline(Arc<Vec<(u32, String)>>),
    /// A file that holds plain lines, or CSV (`.csv`).
    File { path: PathBuf, shown: Arc<str> },
}
