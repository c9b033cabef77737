//! What operators do to a task: start, pause, stop.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    connect::Store,
    encoding::parsed,
    error::StoreError,
    lanes::interval,
    writing::{Patience, Wake},
};
use crate::domain::{
    id::{Generation, TaskId, TaskName},
    phase::{Act, Phase, Transition},
    revision::{Cause, Provenance},
};

/// Another writer is done within seconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Who owns the run state of a task that has a `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    OfManifest,
    Released,
}

/// An operator's act, and why.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    pub act: Act,
    pub by: &'a str,
    pub reason: Option<&'a str>,
    /// A pause ends by itself after this.
    pub resume_after: Option<Duration>,
    pub ownership: Ownership,
}

/// What an operator's act did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acted {
    Done {
        from: Phase,
        to: Phase,
        resume_at: Option<DateTime<Utc>>,
    },
    Already(Phase),
    Refused {
        phase: Phase,
        why: &'static str,
    },
    /// Git owns the run state, and says so there.
    OwnedByGit {
        place: String,
    },
    NoSuchTask,
}

impl Store {
    /// Carries out an operator's act on a task. A `released` task is one whose manifest is gone: then
    /// nothing in git owns its run state any more.
    pub async fn act(&self, task: &TaskName, order: Order<'_>) -> Result<Acted, StoreError> {
        let Order { act, by, reason, resume_after, ownership } = order;
        let cause = match act {
            Act::Start => Cause::Start,
            Act::Pause => Cause::Pause,
            Act::Stop => Cause::Stop,
        };
        let mut provenance = Provenance::new(cause, by);
        provenance.message = reason.map(str::to_owned);
        let mut writing = self.begin_writing(&provenance, Patience::silent(LOCK_PATIENCE)).await?;
        let Some(row) = sqlx::query!(
            "SELECT id, generation, phase, state_place FROM tasks
            WHERE name = $1 AND deleted_at IS NULL FOR UPDATE",
            task.as_str()
        )
        .fetch_optional(&mut *writing.transaction)
        .await?
        else {
            return Ok(Acted::NoSuchTask);
        };
        if let (Ownership::OfManifest, Some(place)) = (ownership, row.state_place) {
            return Ok(Acted::OwnedByGit { place });
        }
        let from: Phase = parsed(&row.phase)?;
        let (id, generation) = (TaskId(row.id), Generation(row.generation));
        let to = match from.after(act) {
            // A pause may be given another end, or another reason.
            Transition::Already
                if act == Act::Pause && (reason.is_some() || resume_after.is_some()) =>
            {
                Phase::Stopped
            }
            Transition::Already => return Ok(Acted::Already(from)),
            Transition::Refused(why) => return Ok(Acted::Refused { phase: from, why }),
            Transition::To(to) => to,
        };
        writing.set_phase(task, id, generation, from, to).await?;
        let resume_at = sqlx::query_scalar!(
            "UPDATE tasks SET phase_reason = $2, resume_at = now() + $3 WHERE id = $1 RETURNING resume_at",
            row.id,
            reason,
            resume_after.map(interval)
        )
        .fetch_one(&mut *writing.transaction)
        .await?;
        writing.commit(Wake::Others).await?;
        Ok(Acted::Done { from, to, resume_at })
    }

    /// Starts the tasks again whose pause is over; waits for no other writer, because it is asked again.
    pub async fn resume_due(&self) -> Result<Vec<TaskName>, StoreError> {
        let mut provenance = Provenance::new(Cause::Resume, "nuncio");
        provenance.message = Some("the pause is over".to_owned());
        let patience = Patience::silent(Duration::ZERO);
        let mut writing = match self.begin_writing(&provenance, patience).await {
            Err(StoreError::Locked { .. }) => return Ok(Vec::new()),
            begun => begun?,
        };
        let due = sqlx::query!(
            "SELECT id, name, generation FROM tasks
            WHERE resume_at <= now() AND deleted_at IS NULL ORDER BY name FOR UPDATE"
        )
        .fetch_all(&mut *writing.transaction)
        .await?;
        let mut resumed = Vec::new();
        for row in due {
            let name: TaskName = parsed(&row.name)?;
            let (id, generation) = (TaskId(row.id), Generation(row.generation));
            writing.set_phase(&name, id, generation, Phase::Stopped, Phase::InProgress).await?;
            resumed.push(name);
        }
        writing.commit(Wake::Others).await?;
        Ok(resumed)
    }
}
