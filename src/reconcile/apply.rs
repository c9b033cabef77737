//! Executes a plan: one transaction, one change one store call, or nothing.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use tokio::{sync::mpsc, task::spawn_blocking};
use uuid::Uuid;

use super::{audiences::AudienceDifference, survey::Survey};
use crate::{
    domain::{
        actual::Actual,
        contact::{AudienceChange, AudienceDigest, Contact},
        desired::DesiredTask,
        id::{Generation, TaskId, TaskName},
        phase::Phase,
        revision::{Provenance, RevisionNumber},
    },
    manifest::{self, Severity},
    plan::{Change, PhaseStep, Plan, Refresh, Summary},
    store::{Patience, Store, StoreError, Wake, Writing},
};

/// Contacts that travel together from the reader to the writer.
const BATCH: usize = 1024;
/// Batches that wait for the writer: the reader is not to fill the memory.
const BATCHES_MAX: usize = 8;

/// What was written.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Applied {
    pub summary: Summary,
    pub contacts: u64,
    /// Absent if nothing was written that history keeps.
    pub revision: Option<RevisionNumber>,
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the audience of task `{0}` changed while it was applied")]
    AudienceChanged(TaskName),
    #[error("the reading of the audience of task `{task}` failed")]
    Audience { task: TaskName, source: std::io::Error },
    #[error("the reader of the audience failed")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Writes everything that the plan says. `on_progress` hears of contacts.
pub async fn apply(
    plan: &Plan,
    survey: &Survey,
    store: &Store,
    provenance: &Provenance,
    patience: Patience<'_>,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<Applied, ApplyError> {
    let writing = store.begin_writing(provenance, patience).await?;
    let mut application = Application { survey, writing, contacts: 0, on_progress };
    let is_resource = |change: &&Change| {
        matches!(
            change,
            Change::CreateResource { .. }
                | Change::UpdateResource { .. }
                | Change::DeleteResource { .. }
        )
    };
    for change in plan.changes.iter().filter(|change| !is_resource(change)) {
        application.change(change).await?;
    }
    for refresh in &plan.refreshes {
        let (desired, writing) = (&survey.desired, &mut application.writing);
        let Actual { tasks, resources } = &survey.actual;
        match refresh {
            Refresh::Task { name, id, from } => {
                let details = tasks.get(name).and_then(|task| task.details.as_ref());
                let applied = details.map(|details| &details.fields);
                writing.refresh_task(*id, *from, name, applied, desired).await?;
            }
            Refresh::Resource { key, from } => {
                let details = resources.get(key).and_then(|resource| resource.details.as_ref());
                let applied = details.map(|details| &details.fields);
                writing.refresh_resource(key, *from, applied, desired).await?;
            }
        }
    }
    // Dialogues before lanes, as whoever records replies.
    application.writing.close_dialogues().await?;
    // Channels last: their lanes stay locked until the commit, and a large audience takes seconds.
    for change in plan.changes.iter().filter(is_resource) {
        application.change(change).await?;
    }
    let Application { writing, contacts, .. } = application;
    // Notes for ourselves wake nobody: two programs that call the folder differently would never rest.
    let wake = if plan.has_changes() { Wake::Others } else { Wake::Nobody };
    let revision = writing.commit(wake).await?;
    Ok(Applied { summary: plan.summary(), contacts, revision })
}

struct Application<'a> {
    survey: &'a Survey,
    writing: Writing,
    contacts: u64,
    on_progress: &'a (dyn Fn(u64) + Sync),
}

impl<'a> Application<'a> {
    fn task(&self, name: &TaskName) -> &'a DesiredTask {
        &self.survey.desired.tasks[name]
    }

    async fn change(&mut self, change: &Change) -> Result<(), ApplyError> {
        match change {
            Change::CreateResource { key, .. } | Change::UpdateResource { key, .. } => {
                let from = self.survey.actual.resources.get(key);
                self.writing.write_resource(key, from, &self.survey.desired).await?;
            }
            Change::DeleteResource { key, from } => {
                self.writing.delete_resource(key, *from).await?;
            }
            Change::CreateTask { name, phase, audience, .. } => {
                self.create(name, *phase, audience.as_ref()).await?;
            }
            Change::UpdateTask { name, id, from, fields, audience, phase, drift, .. } => {
                let mut generation = *from;
                let desired = &self.survey.desired;
                let reverts = drift.as_ref().is_some_and(|drift| !drift.fields.is_empty());
                if !fields.is_empty() || audience.is_some() || reverts {
                    generation = self.writing.update_task(*id, generation, name, desired).await?;
                }
                if let Some(change) = audience {
                    self.update_audience(name, *id).await?;
                    self.writing.note_audience(name, change);
                }
                let steps = [*phase, drift.as_ref().and_then(|drift| drift.phase)];
                for PhaseStep { from, to } in steps.into_iter().flatten() {
                    self.writing.set_phase(name, *id, generation, from, to).await?;
                }
            }
            Change::RecreateTask { name, id, from, from_phase, phase, audience, .. } => {
                self.delete(name, *id, *from, *from_phase).await?;
                self.create(name, *phase, audience.as_ref()).await?;
            }
            Change::DeleteTask { name, id, from, from_phase, .. } => {
                self.delete(name, *id, *from, *from_phase).await?;
            }
        }
        Ok(())
    }

    async fn delete(
        &mut self,
        name: &TaskName,
        id: TaskId,
        from: Generation,
        from_phase: Phase,
    ) -> Result<(), ApplyError> {
        let mut generation = from;
        if from_phase != Phase::Completed {
            let completed = Phase::Completed;
            generation =
                self.writing.set_phase(name, id, generation, from_phase, completed).await?;
        }
        Ok(self.writing.delete_task(name, id, generation).await?)
    }

    async fn create(
        &mut self,
        name: &TaskName,
        phase: Phase,
        audience: Option<&AudienceChange>,
    ) -> Result<(), ApplyError> {
        let task = self.task(name);
        let id = TaskId(Uuid::now_v7());
        self.writing.create_task(id, name, &self.survey.desired, phase).await?;
        if task.audience.is_none() {
            return Ok(());
        }
        if let Some(change) = audience {
            self.writing.note_audience(name, change);
        }
        let last = self.load(name, id, 0, |_| true).await?;
        Ok(self.writing.recount_audience(id, name, last).await?)
    }

    async fn update_audience(&mut self, name: &TaskName, id: TaskId) -> Result<(), ApplyError> {
        let Some(difference) = self.survey.audiences.get(name) else { return Ok(()) };
        let AudienceDifference { change: _, added, altered, removed } = difference;
        let last = self.writing.lock_audience(id).await?;
        for positions in removed.chunks(BATCH * 8) {
            self.writing.remove_contacts(id, positions).await?;
        }
        let mut variables: Vec<(i64, BTreeMap<String, String>)> = Vec::new();
        let last = {
            let variables = &mut variables;
            self.load(name, id, last, |contact| {
                let key = contact.address.key();
                if let Some(position) = altered.get(&key) {
                    variables.push((*position, contact.variables.clone()));
                }
                added.contains(&key)
            })
            .await?
        };
        for altered in variables.chunks(BATCH) {
            self.writing.alter_contacts(id, altered).await?;
        }
        Ok(self.writing.recount_audience(id, name, last).await?)
    }

    /// Streams the audience's contacts that are `wanted` into the database; the file is read a second
    /// time for it, and must still be what the plan saw.
    async fn load(
        &mut self,
        name: &TaskName,
        id: TaskId,
        after_position: i64,
        mut wanted: impl FnMut(&Contact) -> bool,
    ) -> Result<i64, ApplyError> {
        let task = self.task(name);
        let Some(audience) = &task.audience else { return Ok(after_position) };
        let expected: AudienceDigest = audience.digest;
        let (source, messenger) = (audience.source.clone(), task.spec.messenger);
        let file = Arc::clone(&task.places.document.file);
        let (sender, mut batches) = mpsc::channel::<Vec<Contact>>(BATCHES_MAX);
        let reader = spawn_blocking(move || {
            let mut batch = Vec::with_capacity(BATCH);
            let reading = manifest::read_audience(&source, messenger, &file, &mut |contact| {
                batch.push(contact);
                if batch.len() < BATCH {
                    return ControlFlow::Continue(());
                }
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                // The writer failed and says why itself.
                if sender.blocking_send(full).is_err() {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            drop(sender.blocking_send(batch));
            reading
        });
        let mut writer = self.writing.append_contacts(id, after_position);
        while let Some(batch) = batches.recv().await {
            for contact in &batch {
                if wanted(contact) {
                    writer.write(contact).await?;
                    self.contacts += 1;
                }
            }
            (self.on_progress)(self.contacts);
        }
        let last = writer.finish().await?;
        let reading =
            reader.await?.map_err(|source| ApplyError::Audience { task: name.clone(), source })?;
        let broken = reading.diagnostics.iter().any(|d| d.severity == Severity::Error);
        if broken || reading.digest != expected {
            return Err(ApplyError::AudienceChanged(name.clone()));
        }
        Ok(last)
    }
}
