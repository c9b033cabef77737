//! What operators do to a task: start, pause, stop.

use std::time::Duration;

use super::{
    connect::Store,
    encoding::parsed,
    error::StoreError,
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

/// What an operator's act did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acted {
    Done {
        from: Phase,
        to: Phase,
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
    pub async fn act(
        &self,
        task: &TaskName,
        act: Act,
        by: &str,
        ownership: Ownership,
    ) -> Result<Acted, StoreError> {
        let cause = match act {
            Act::Start => Cause::Start,
            Act::Pause => Cause::Pause,
            Act::Stop => Cause::Stop,
        };
        let provenance = Provenance::new(cause, by);
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
        match from.after(act) {
            Transition::Already => Ok(Acted::Already(from)),
            Transition::Refused(why) => Ok(Acted::Refused { phase: from, why }),
            Transition::To(to) => {
                let (id, generation) = (TaskId(row.id), Generation(row.generation));
                writing.set_phase(task, id, generation, from, to).await?;
                writing.commit(Wake::Others).await?;
                Ok(Acted::Done { from, to })
            }
        }
    }
}
