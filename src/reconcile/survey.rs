//! What a plan is made from: the folder, the database, and how the audiences differ.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::task::{JoinError, spawn_blocking};

use super::{
    audiences::{Abandoned, AudienceDifference, Old, compare, read_stored},
    shared::{Candidate, warn_shared},
};
use crate::{
    domain::{
        actual::{Actual, ActualTask},
        contact::AudienceChange,
        desired::{Desired, DesiredTask, InvalidTask},
        fields::{Digest, Fields},
        id::TaskName,
        phase::{Phase, RunState, Transition},
        place::Place,
        subject::Subject,
        task::IMMUTABLE_FIELDS,
    },
    manifest::{self, Code, Counts, Diagnostic, LoadError, Severity, Sources},
    plan::{Plan, needs_recreation},
    store::{Store, StoreError},
};

/// Everything that a plan needs, and everything that is wrong with the folder.
#[derive(Debug)]
pub struct Survey {
    pub desired: Desired,
    pub actual: Actual,
    pub audiences: BTreeMap<TaskName, AudienceDifference>,
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Sources,
    pub counts: Counts,
    /// Of the folder as it was read.
    pub fingerprint: Digest,
}

#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    #[error(transparent)]
    Folder(#[from] LoadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the reading of the manifests failed")]
    Panicked(#[from] JoinError),
}

/// What a folder says, in one digest: the same for two readings that would lead to the same plan.
pub(super) fn fingerprint(desired: &Desired) -> Digest {
    let Desired { folder: _, tasks, resources, unreadable } = desired;
    let mut text = format!("{unreadable:?}");
    for (name, task) in tasks {
        let audience = task.audience.as_ref().map(|audience| audience.digest);
        write!(text, "{name} {} {audience:?}", task.digest).expect("a String takes all text");
    }
    for (key, resource) in resources {
        write!(text, "{key} {}", resource.digest).expect("a String takes all text");
    }
    Digest::of_bytes(text.as_bytes())
}

impl Survey {
    /// Nothing is left of what there was.
    pub fn is_emptied(&self) -> bool {
        let Desired { folder: _, tasks, resources, unreadable } = &self.desired;
        let wants_nothing = tasks.is_empty() && resources.is_empty() && unreadable.is_empty();
        let Actual { tasks, resources } = &self.actual;
        wants_nothing && !(tasks.is_empty() && resources.is_empty())
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether every mistake is in the manifest of a task whose edit the plan rejects: the edit is what
    /// the reader has to hear of, and the rest of the plan is whole.
    pub fn is_explained_by(&self, plan: &Plan) -> bool {
        let rejected = plan.rejections.iter().filter_map(|rejection| match &rejection.subject {
            Subject::Task(name) => self.desired.unreadable.tasks.get(name),
            Subject::Resource(_) => None,
        });
        let explained: BTreeSet<&Place> = rejected.flat_map(|invalid| &invalid.mistakes).collect();
        let mut errors = self.diagnostics.iter().filter(|d| d.severity == Severity::Error);
        errors.all(|error| explained.contains(&error.place))
    }

    /// The audiences in numbers, as the plan takes them.
    pub fn audience_changes(&self) -> BTreeMap<TaskName, AudienceChange> {
        self.audiences
            .iter()
            .map(|(name, difference)| (name.clone(), difference.change.clone()))
            .collect()
    }
}

/// Reads the folder and the database. What did not change is neither parsed into contacts nor read
/// from the database; the audience of a task that is
/// recreated counts as new.
pub async fn survey(
    folder: &Path,
    store: &Store,
    recreate: &BTreeSet<TaskName>,
) -> Result<Survey, SurveyError> {
    let path: PathBuf = folder.to_owned();
    let loaded = spawn_blocking(move || manifest::load(&path)).await??;
    let mut survey = Survey {
        fingerprint: fingerprint(&loaded.desired),
        desired: loaded.desired,
        actual: store.read_actual().await?,
        audiences: BTreeMap::new(),
        diagnostics: loaded.diagnostics,
        sources: loaded.sources,
        counts: loaded.counts,
    };
    survey.hold_unknown_timezones(store).await?;
    survey.read_details(store, recreate).await?;
    survey.compare_audiences(store, recreate).await?;
    survey.diagnostics.sort();
    survey.diagnostics.dedup();
    Ok(survey)
}

impl Survey {
    /// A task with an error goes on as it was applied.
    fn hold(&mut self, name: &TaskName, mistakes: BTreeSet<Place>) {
        let Some(task) = self.desired.tasks.remove(name) else { return };
        let mut immutable = Fields::default();
        for path in IMMUTABLE_FIELDS {
            if let Some(value) = task.fields.get(path) {
                immutable.insert((*path).to_owned(), value.clone());
            }
        }
        let invalid = InvalidTask { immutable, places: task.places, audience: None, mistakes };
        self.desired.unreadable.tasks.insert(name.clone(), invalid);
    }

    async fn hold_unknown_timezones(&mut self, store: &Store) -> Result<(), SurveyError> {
        let zone_of = |task: &DesiredTask| {
            task.spec.outgoing.as_ref().map(|outgoing| outgoing.timezone.name().to_owned())
        };
        let is_new = |name: &TaskName, task: &DesiredTask| {
            self.actual.tasks.get(name).is_none_or(|actual| actual.digest != task.digest)
        };
        let zones: BTreeSet<String> = self
            .desired
            .tasks
            .iter()
            .filter(|(name, task)| is_new(name, task))
            .filter_map(|(_, task)| zone_of(task))
            .collect();
        let zones: Vec<String> = zones.into_iter().filter(|zone| zone != "UTC").collect();
        if zones.is_empty() {
            return Ok(());
        }
        let unknown = store.list_unknown_timezones(&zones).await?;
        let mut held = Vec::new();
        for (name, task) in &self.desired.tasks {
            let Some(zone) = zone_of(task).filter(|zone| unknown.contains(zone)) else { continue };
            let place = task.places.of("outgoing.timezone").clone();
            let message = format!("the database server does not know the timezone `{zone}`");
            held.push((name.clone(), place.clone()));
            self.diagnostics.push(Diagnostic::error(Code::BadValue, place, 0, message));
        }
        for (name, place) in held {
            self.hold(&name, [place].into());
        }
        Ok(())
    }

    async fn read_details(
        &mut self,
        store: &Store,
        recreate: &BTreeSet<TaskName>,
    ) -> Result<(), SurveyError> {
        let Self { desired, actual, .. } = self;
        let all = !desired.unreadable.is_empty();
        let tasks: BTreeSet<TaskName> = actual
            .tasks
            .iter()
            .filter(|(name, task)| {
                all || recreate.contains(*name)
                    || desired.tasks.get(*name).is_none_or(|wanted| differs(wanted, task))
            })
            .map(|(name, _)| name.clone())
            .collect();
        if !tasks.is_empty() {
            store.read_details(actual, &tasks).await?;
        }
        let resources = actual
            .resources
            .iter()
            .filter(|(key, resource)| {
                desired.resources.get(key).is_none_or(|wanted| {
                    wanted.digest != resource.digest || resource.drifted || resource.hold.is_some()
                })
            })
            .map(|(key, _)| key.clone())
            .collect::<BTreeSet<_>>();
        if !resources.is_empty() {
            store.read_resource_fields(actual, &resources).await?;
        }
        Ok(())
    }

    async fn compare_audiences(
        &mut self,
        store: &Store,
        recreate: &BTreeSet<TaskName>,
    ) -> Result<(), SurveyError> {
        let mut work = Vec::new();
        for (name, task) in &self.desired.tasks {
            let Some(audience) = &task.audience else { continue };
            let actual = self.actual.tasks.get(name);
            let stored = actual.and_then(|actual| actual.audience);
            let again = actual.is_some_and(|actual| {
                (recreate.contains(name) || task.consents_to(actual.id))
                    && needs_recreation(task, actual)
            });
            if stored == Some(audience.digest) && !again {
                continue;
            }
            let from = match actual {
                Some(actual) if !again => Some(actual.id),
                _ => None,
            };
            let file = Arc::clone(&task.places.document.file);
            work.push((name.clone(), audience.source.clone(), task.spec.messenger, file, from));
        }
        let is_new = |actual: &Actual, name: &TaskName| !actual.tasks.contains_key(name);
        let abandoned = if work.iter().any(|(name, ..)| is_new(&self.actual, name)) {
            Arc::new(self.read_abandoned(store).await?)
        } else {
            Arc::default()
        };
        for (name, source, messenger, file, from) in work {
            let abandoned =
                if is_new(&self.actual, &name) { Arc::clone(&abandoned) } else { Arc::default() };
            let stored = match from {
                Some(id) => read_stored(store, id).await?,
                None => HashMap::new(),
            };
            let is_new = from.is_none();
            let written = if is_new { store.read_written(&name).await? } else { HashSet::new() };
            let compared = spawn_blocking(move || {
                let old = Old { stored, is_new, written, abandoned: &abandoned };
                compare(&source, messenger, &file, old)
            });
            let compared = compared.await?;
            let (mut difference, diagnostics) = compared;
            if let Some(id) = from {
                let n_examples = difference.removed.len().min(AudienceChange::EXAMPLES_MAX);
                let examples = &difference.removed[..n_examples];
                difference.change.removed_examples = store.list_addresses(id, examples).await?;
            }
            let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error);
            let mistakes: BTreeSet<Place> = errors.map(|error| error.place.clone()).collect();
            self.diagnostics.extend(diagnostics);
            if mistakes.is_empty() {
                self.audiences.insert(name, difference);
            } else {
                self.hold(&name, mistakes);
            }
        }
        self.warn_of_shared_audiences().await
    }

    /// Warns of people whom two tasks would write to, while the audience of one of them is still new.
    async fn warn_of_shared_audiences(&mut self) -> Result<(), SurveyError> {
        if self.audiences.is_empty() {
            return Ok(());
        }
        let Self { desired, actual, audiences, .. } = &*self;
        let is_over = |name: &TaskName, task: &DesiredTask| {
            task.spec.state == Some(RunState::Completed)
                || actual.tasks.get(name).is_some_and(|there| there.phase == Phase::Completed)
        };
        let is_new = |name: &TaskName, digest| {
            actual.tasks.get(name).is_none_or(|there| there.audience != Some(digest))
        };
        let going_on = desired.tasks.iter().filter(|(name, task)| !is_over(name, task));
        let candidates: Vec<Candidate> = going_on
            .filter_map(|(name, task)| {
                let audience = task.audience.as_ref()?;
                Some(Candidate {
                    name: name.clone(),
                    messenger: task.spec.messenger,
                    source: audience.source.clone(),
                    digest: audience.digest,
                    place: task.places.of("outgoing.targetAudience").clone(),
                    fresh: audiences
                        .get(name)
                        .filter(|_| is_new(name, audience.digest))
                        .map(|difference| difference.change.total),
                })
            })
            .collect();
        self.diagnostics.extend(spawn_blocking(move || warn_shared(&candidates)).await?);
        Ok(())
    }
}

impl Survey {
    /// The people of tasks that go on without a manifest: perhaps it stands under another name.
    async fn read_abandoned(&self, store: &Store) -> Result<Vec<Abandoned>, StoreError> {
        let Self { desired, actual, .. } = self;
        let mut abandoned = Vec::new();
        for (name, task) in &actual.tasks {
            let is_gone =
                !desired.tasks.contains_key(name) && !desired.unreadable.tasks.contains_key(name);
            let Some(details) = task.details.as_ref() else { continue };
            let messenger = details.fields.get("type").map(ToString::to_string);
            if is_gone
                && task.phase != Phase::Completed
                && let Some(messenger) = messenger.and_then(|text| text.parse().ok())
            {
                let stored = read_stored(store, task.id).await?;
                let mut people: HashMap<u128, bool> =
                    stored.into_keys().map(|key| (key, false)).collect();
                let written = store.read_written(name).await?;
                people.extend(written.into_iter().map(|key| (key, true)));
                abandoned.push(Abandoned { name: name.clone(), messenger, people });
            }
        }
        Ok(abandoned)
    }
}

fn differs(wanted: &DesiredTask, task: &ActualTask) -> bool {
    let transition = wanted.spec.state.map(|state| task.phase.towards(state));
    wanted.digest != task.digest
        || task.drifted
        || task.hold.is_some()
        || wanted.audience.as_ref().map(|audience| audience.digest) != task.audience
        || transition.is_some_and(|transition| transition != Transition::Already)
}
