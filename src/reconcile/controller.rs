//! The loop of `watch`: survey, plan, apply what is allowed, say what is not; again and again.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    apply::{ApplyError, apply},
    folder::Folder,
    survey::{Survey, SurveyError, fingerprint, survey},
};
use crate::{
    domain::{
        fields::Digest,
        revision::{Cause, Provenance},
    },
    manifest::{self, Code, Severity},
    plan::{Plan, Wishes, plan},
    store::{HeldBack, Patience, Store, StoreError, Wakeups},
};

/// Looks at the folder even if no event came: events may be lost, and network folders have none.
const RESCAN: Duration = Duration::from_secs(15);
/// After a failure that may pass.
const RETRY: Duration = Duration::from_secs(1);
/// After an apply, wake-ups by others wait; files do not.
const CALM: Duration = Duration::from_secs(2);
/// Between the two readings of a folder that take something away.
const SECOND_LOOK: Duration = Duration::from_millis(300);
/// Another writer is done within seconds, or the next pass tries again.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Follows a folder and keeps the database as it says.
pub struct Controller {
    store: Store,
    folder: PathBuf,
    by: String,
    /// Hears of every plan that changes something, before it is applied.
    on_plan: Box<dyn Fn(&Plan) + Send>,
    /// What was held back when it was last said.
    last_held: Option<Vec<HeldBack>>,
}

/// What a pass did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
enum Pass {
    Settled,
    Applied,
    /// Something changed under our hands: look again at once.
    Again,
}

#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error(transparent)]
    Survey(#[from] SurveyError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the folder has no manifest any more; nothing is deleted for that")]
    Emptied,
}

impl Controller {
    pub fn new(
        store: Store,
        folder: PathBuf,
        by: String,
        on_plan: Box<dyn Fn(&Plan) + Send>,
    ) -> Self {
        Self { store, folder, by, on_plan, last_held: None }
    }

    /// Reconciles until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut folder = Folder::new(self.folder.clone());
        let mut wakeups: Option<Wakeups> = None;
        let mut last_failure: Option<String> = None;
        let mut calm_until = Instant::now();
        loop {
            // Registered for events before looking, so that none falls in between.
            if let Err(error) = folder.follow() {
                warn!("the folder is not watched, only looked at every {RESCAN:?}: {error}");
            }
            if wakeups.is_none() {
                wakeups = self.store.wakeups().await.ok();
            }
            // Whatever woke us, a folder that is being written to is not read.
            tokio::select! {
                () = folder.quiet() => {}
                () = shutdown.cancelled() => return,
            }
            // A pass is not broken off in the middle: its transaction would be lost, and it is short.
            let next = match self.pass().await {
                Ok(pass) => {
                    if last_failure.take().is_some() {
                        info!("reconciling again");
                    }
                    match pass {
                        Pass::Settled => Instant::now() + RESCAN,
                        Pass::Applied => {
                            calm_until = Instant::now() + CALM;
                            Instant::now() + RESCAN
                        }
                        Pass::Again => Instant::now() + RETRY,
                    }
                }
                Err(error) => {
                    let message = format!("{:#}", anyhow::Error::from(error));
                    if last_failure.as_ref() != Some(&message) {
                        error!("not reconciled: {message}");
                    }
                    last_failure = Some(message);
                    Instant::now() + RETRY
                }
            };
            let woken = async {
                // Two programs that follow different folders would wake each other without end.
                sleep_until(calm_until).await;
                match &mut wakeups {
                    Some(wakeups) => wakeups.next().await,
                    None => std::future::pending().await,
                }
            };
            // All arms may be dropped: whatever they lose, the next pass looks at everything.
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = folder.changed() => {}
                woken = woken => if woken.is_err() { wakeups = None },
                () = sleep_until(next) => {}
            }
        }
    }

    async fn pass(&mut self) -> Result<Pass, PassError> {
        let survey = match survey(&self.folder, &self.store, &BTreeSet::new()).await {
            Ok(survey) => survey,
            Err(SurveyError::Folder(problem)) => {
                return self.hold_everything(SurveyError::Folder(problem).into()).await;
            }
            Err(error) => return Err(error.into()),
        };
        if survey.is_emptied() {
            // An unmounted volume, or a checkout of nothing: no wish to delete everything.
            return self.hold_everything(PassError::Emptied).await;
        }
        let changes = survey.audience_changes();
        let plan = plan(&survey.desired, &survey.actual, &changes, &Wishes::default());
        if plan.takes_away() {
            // A file that is half-written, or not there between two steps of a checkout, looks like an
            // edit. Only what is read the same twice is taken away.
            sleep(SECOND_LOOK).await;
            if !reads_the_same(self.folder.clone(), survey.fingerprint).await? {
                return Ok(Pass::Again);
            }
        }
        let mut pass = Pass::Settled;
        if plan.has_changes() || !plan.refreshes.is_empty() {
            if plan.has_changes() {
                (self.on_plan)(&plan);
            }
            let provenance = Provenance::new(Cause::Apply, &self.by);
            let patience = Patience::silent(LOCK_PATIENCE);
            match apply(&plan, &survey, &self.store, &provenance, patience, &|_| {}).await {
                Ok(applied) => {
                    if plan.has_changes() {
                        info!(contacts = applied.contacts, "applied");
                        pass = Pass::Applied;
                    }
                }
                // Somebody else applied, or the files moved on: the next pass sees the newer state.
                Err(ApplyError::Store(StoreError::Stale(_)) | ApplyError::AudienceChanged(_)) => {
                    return Ok(Pass::Again);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.report(&plan, &survey).await?;
        Ok(pass)
    }

    /// Says in `status` too that the folder as a whole is not applied.
    async fn hold_everything(&mut self, problem: PassError) -> Result<Pass, PassError> {
        let held = HeldBack {
            subject: "folder".to_owned(),
            place: self.folder.display().to_string(),
            message: problem.to_string(),
            since: None,
        };
        self.last_held = None;
        self.store.replace_held_back(&[held]).await?;
        Err(problem)
    }

    /// Says what was not applied, in the log when it is new and in the database for `status`.
    async fn report(&mut self, plan: &Plan, survey: &Survey) -> Result<(), StoreError> {
        let held = held_back(plan, survey);
        if self.last_held.as_ref() != Some(&held) {
            for HeldBack { subject, place, message, .. } in &held {
                warn!("not applied: {place}: {subject}: {message}");
            }
            if held.is_empty() && self.last_held.is_some() {
                info!("every manifest is applied");
            }
            self.store.replace_held_back(&held).await?;
        }
        self.last_held = Some(held);
        Ok(())
    }
}

async fn reads_the_same(folder: PathBuf, before: Digest) -> Result<bool, PassError> {
    let again = spawn_blocking(move || manifest::load(&folder)).await;
    let again = again.map_err(SurveyError::from)?.map_err(SurveyError::from)?;
    Ok(fingerprint(&again.desired) == before)
}

fn held_back(plan: &Plan, survey: &Survey) -> Vec<HeldBack> {
    let mut all = Vec::new();
    let errors = survey.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    for diagnostic in errors {
        all.push(HeldBack {
            subject: diagnostic.code.to_string(),
            place: diagnostic.place.to_string(),
            // An address is for `validate`, not for a log.
            message: match diagnostic.code {
                Code::BadAddress => "`nuncio validate` shows it".to_owned(),
                _ => diagnostic.message.clone(),
            },
            since: None,
        });
    }
    for rejection in &plan.rejections {
        all.push(HeldBack {
            subject: rejection.subject.to_string(),
            place: rejection.place.to_string(),
            message: format!("rejected: {} [{}]", rejection.message, rejection.code),
            since: None,
        });
    }
    for blocked in &plan.blocked {
        all.push(HeldBack {
            subject: blocked.subject.to_string(),
            place: blocked.file.clone(),
            message: format!("blocked: {}", blocked.message),
            since: None,
        });
    }
    for held in &plan.held {
        all.push(HeldBack {
            subject: held.subject.to_string(),
            place: held.file.clone(),
            message: format!("held: {}", held.message),
            since: None,
        });
    }
    all
}
