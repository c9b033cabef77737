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
    kind::MessengerType,
    place::{Place, Places},
    resource::{Resource, ResourceKey},
    task::{Opening, TaskSpec},
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
    /// Who it would write to, and by which messenger: mistakes among them are told with its others.
    pub audience: Option<(MessengerType, AudienceSource)>,
    /// Where its mistakes are.
    pub mistakes: BTreeSet<Place>,
}

/// An audience, and the task that it stands in.
#[derive(Clone, Copy, Debug)]
pub struct NamedAudience<'a> {
    pub places: &'a Places,
    pub messenger: MessengerType,
    pub source: &'a AudienceSource,
    /// Absent where the task is invalid.
    pub opening: Option<&'a Opening>,
}

impl Desired {
    /// Every audience, also of tasks that are invalid otherwise.
    pub fn audiences(&self) -> impl Iterator<Item = NamedAudience<'_>> {
        let valid = self.tasks.values().filter_map(|task| {
            Some(NamedAudience {
                places: &task.places,
                messenger: task.spec.messenger,
                source: &task.audience.as_ref()?.source,
                opening: Some(&task.spec.outgoing.as_ref()?.opening),
            })
        });
        let invalid = self.unreadable.tasks.values().filter_map(|task| {
            let (messenger, source) = task.audience.as_ref()?;
            // Where nobody can be written to first, that was told, and no address would do.
            messenger.kinds().find(|facts| facts.kind.can_open())?;
            Some(NamedAudience {
                places: &task.places,
                messenger: *messenger,
                source,
                opening: None,
            })
        });
        valid.chain(invalid)
    }
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

/// A line of an audience that stands in the manifest, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineLine {
    pub line: u32,
    pub column: u32,
    /// Characters from there on; [`u32::MAX`] for the rest of the line.
    pub length: u32,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudienceSource {
    Inline(Arc<Vec<InlineLine>>),
    /// A file that holds plain lines, or CSV (`.csv`).
    File {
        path: PathBuf,
        shown: Arc<str>,
    },
}
