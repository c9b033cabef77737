//! The loop of `watch`: survey, plan, apply what is allowed, say what is not; again and again.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    account::Account,
    announcer::Announcements,
    apply::{Applied, ApplyError, apply},
    beacon::{Beacon, WatchIdentity},
    checkout::Checkout,
    folder::Folder,
    git::{Base, Look, Token},
    source::Source,
    survey::{Survey, SurveyError, fingerprint, survey},
};
use crate::{
    domain::{
        fields::Digest,
        revision::{Cause, Provenance},
    },
    manifest,
    plan::{Plan, Summary, Wishes, plan},
    store::{Patience, Store, StoreError, Wakeups},
};

/// Looks at the folder even if no event came: events may be lost, and network folders have none.
const RESCAN: Duration = Duration::from_secs(15);
/// After a failure that may pass.
const RETRY: Duration = Duration::from_secs(1);
/// After something changed under our hands.
const AGAIN: Duration = Duration::from_millis(200);
/// After an apply, wake-ups by others wait; files do not.
const CALM: Duration = Duration::from_secs(2);
/// Between the two readings of a folder that take something away.
const SECOND_LOOK: Duration = Duration::from_millis(300);
/// Whoever waits for the lock waits with a plan that grows old: rather give up, and read again.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// By hand or in a pipeline nobody comes back a second later.
const LOCK_PATIENCE_ONCE: Duration = Duration::from_secs(10);
/// A million contacts are read and compared in a tenth of it; past it the database is silent.
const SURVEY_DEADLINE: Duration = Duration::from_secs(120);
/// Passes that are begun again because of file events before a folder that never rests is applied.
const REREADS_MAX: usize = 5;
/// How often a git operation is looked for that is waited out.
const GIT_POLL: Duration = Duration::from_millis(120);
/// A commit of ordinary size is checked out within this time; past it the wait is said.
const GIT_WAIT_TOLD: Duration = Duration::from_secs(2);
/// A rebase with a conflict is somebody's work of minutes.
const GIT_WAIT_REPORTED: Duration = Duration::from_secs(300);
/// A single reconciliation ends, also where git never does.
const GIT_PATIENCE_ONCE: Duration = Duration::from_secs(30);
/// Another writer, or a database that restarts, is nothing to wake anybody for.
const FAILURE_TOLD: Duration = Duration::from_secs(3);

/// Follows a folder and keeps the database as it says.
pub struct Controller {
    store: Store,
    source: Source,
    folder: PathBuf,
    by: String,
    identity: WatchIdentity,
    /// Hears of every plan that changes something, before it is applied.
    on_plan: Box<dyn Fn(&Plan) + Send>,
    account: Account,
    lock_patience: Duration,
    /// The folder and the manifests of the last comparison, and their commit.
    compared: Option<(Token, Digest)>,
    base: Option<Base>,
    n_rereads: usize,
}

/// What a pass did.
#[derive(Debug)]
#[must_use]
enum Pass {
    Done(Box<Reconciled>),
    /// Something changed under our hands: look again at once.
    Again,
}

/// One state of the folder, compared with the database and applied as far as it may be.
#[derive(Debug)]
pub struct Reconciled {
    pub survey: Survey,
    pub plan: Plan,
    /// Absent if there was nothing to write.
    pub applied: Option<Applied>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Survey(#[from] SurveyError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the folder has no manifest any more; nothing is deleted for that")]
    Emptied,
    #[error("the folder is not read while git is at work in it: {0}")]
    GitAtWork(String),
    #[error("nothing was fetched yet: {0}")]
    NothingFetched(String),
    #[error("the folder changed each time while it was read")]
    NeverStill,
}

impl Controller {
    pub fn new(
        store: Store,
        source: Source,
        folder: PathBuf,
        by: String,
        identity: WatchIdentity,
        on_plan: Box<dyn Fn(&Plan) + Send>,
    ) -> Self {
        let name = format!("{}:{}", identity.host, shown(&folder));
        Self {
            account: Account::new(store.clone(), name),
            store,
            source,
            folder,
            by,
            identity,
            on_plan,
            lock_patience: LOCK_PATIENCE,
            compared: None,
            base: None,
            n_rereads: 0,
        }
    }

    /// Tells what changes outward.
    #[must_use]
    pub fn announcing(mut self, announcements: Option<Announcements>) -> Self {
        self.account.announcements = announcements;
        self
    }

    /// The loop that says in the database how this one stands.
    pub fn beacon(&self) -> Beacon {
        let checkout = match &self.source {
            Source::Folder => None,
            Source::Checkout(checkout) => Some(checkout),
        };
        Beacon {
            store: self.store.clone(),
            identity: self.identity.clone(),
            folder: shown(&self.folder),
            source: checkout.map(Checkout::shown),
            standing: self.account.standing.subscribe(),
            fetching: checkout.map(Checkout::failing),
        }
    }

    /// Reconciles until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut folder = Folder::new(self.folder.clone());
        let mut wakeups: Option<Wakeups> = None;
        let mut is_blind = false;
        let mut calm_until = Instant::now();
        loop {
            // Registered for events before looking, so that none falls in between.
            match folder.follow() {
                Ok(()) => is_blind = false,
                Err(error) => {
                    if !is_blind {
                        warn!("the folder is not watched, only looked at: {error}");
                    }
                    is_blind = true;
                }
            }
            if wakeups.is_none() {
                wakeups = self.store.wakeups().await.ok();
            }
            // Whatever woke us, a folder that is being written to is not read.
            let token = tokio::select! {
                token = self.still(&folder) => token,
                () = shutdown.cancelled() => return,
            };
            // A pass is not broken off in the middle: its transaction would be lost, and it is short.
            let next = match self.pass(&folder, &token).await {
                Ok(Pass::Done(reconciled)) => {
                    self.account.succeeded();
                    if reconciled.applied.is_some() {
                        calm_until = Instant::now() + CALM;
                    }
                    Instant::now() + RESCAN
                }
                Ok(Pass::Again) => Instant::now() + AGAIN,
                Err(error) => {
                    self.account.fails(format!("{:#}", anyhow::Error::from(error)));
                    self.account.tell_failure(FAILURE_TOLD).await;
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
                woken = woken => {
                    self.account.forget();
                    if woken.is_err() { wakeups = None }
                }
                () = sleep_until(next) => {}
            }
        }
    }

    /// Reconciles a single time.
    pub async fn once(mut self) -> Result<Reconciled, ReconcileError> {
        self.lock_patience = LOCK_PATIENCE_ONCE;
        let mut folder = Folder::new(self.folder.clone());
        // One that cannot be watched is read all the same, or that says why not.
        drop(folder.follow());
        for _ in 0..=REREADS_MAX {
            let patience = timeout(GIT_PATIENCE_ONCE, self.still(&folder)).await;
            let Ok(token) = patience else {
                let operation = match self.source.look(&self.folder) {
                    Look::Busy(operation) => operation.to_string(),
                    Look::Still(_) => "one operation after the other".to_owned(),
                };
                return Err(ReconcileError::GitAtWork(operation));
            };
            if let Pass::Done(reconciled) = self.pass(&folder, &token).await? {
                return Ok(*reconciled);
            }
            sleep(AGAIN).await;
        }
        Err(ReconcileError::NeverStill)
    }

    /// Waits until the folder is quiet and git is not at work in it, for as long as that takes.
    async fn still(&mut self, folder: &Folder) -> Token {
        let mut busy_since: Option<Instant> = None;
        loop {
            let before = self.source.look(&self.folder);
            folder.quiet().await;
            match self.source.look(&self.folder) {
                // A branch is moved a moment after its files were written.
                Look::Still(token) if before == Look::Still(token.clone()) => return *token,
                Look::Still(_) => {}
                Look::Busy(operation) => {
                    let since = *busy_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > GIT_WAIT_TOLD {
                        self.account.fails(format!("waiting for git: {operation}"));
                        self.account.tell_failure(GIT_WAIT_REPORTED).await;
                    }
                    sleep(GIT_POLL).await;
                }
            }
        }
    }

    async fn pass(&mut self, folder: &Folder, token: &Token) -> Result<Pass, ReconcileError> {
        if let Some(reason) = self.source.absence() {
            return Err(ReconcileError::NothingFetched(reason));
        }
        let n_events = folder.n_events();
        let nothing = BTreeSet::new();
        let surveying = survey(&self.folder, &self.store, &nothing);
        let survey = match timeout(SURVEY_DEADLINE, surveying).await {
            Ok(survey) => survey,
            Err(_) => Err(StoreError::Silent.into()),
        };
        // A checkout that began meanwhile: what was read may be of two commits.
        if !self.is_still(token) {
            return Ok(Pass::Again);
        }
        let survey = match survey {
            Ok(survey) => survey,
            Err(SurveyError::Folder(problem)) => {
                return self.hold_everything(SurveyError::Folder(problem).into()).await;
            }
            Err(error) => return Err(error.into()),
        };
        // The newest wins: a database that answers late must not get what was saved before.
        if folder.n_events() != n_events && self.n_rereads < REREADS_MAX {
            self.n_rereads += 1;
            return Ok(Pass::Again);
        }
        self.n_rereads = 0;
        if survey.is_emptied() {
            // An unmounted volume, or a checkout of nothing: no wish to delete everything.
            return self.hold_everything(ReconcileError::Emptied).await;
        }
        let changes = survey.audience_changes();
        let plan = plan(&survey.desired, &survey.actual, &changes, &Wishes::default());
        if plan.takes_away() {
            // A file that is half-written, or not there between two steps of a checkout, looks like an
            // edit. Only what is read the same twice is taken away.
            sleep(SECOND_LOOK).await;
            let again = reads_the_same(self.folder.clone(), survey.fingerprint).await?;
            if !again || !self.is_still(token) {
                return Ok(Pass::Again);
            }
        }
        let compared = (token.clone(), survey.fingerprint);
        if plan.has_changes() || self.compared.as_ref() != Some(&compared) {
            self.base = self.source.base(&self.folder).await;
        }
        let mut applied = None;
        if plan.has_changes() || !plan.refreshes.is_empty() {
            if plan.has_changes() {
                (self.on_plan)(&plan);
            }
            let mut provenance = Provenance::new(Cause::Apply, &self.by);
            if let Some(base) = &self.base {
                base.tell(&mut provenance);
            }
            let patience = Patience::silent(self.lock_patience);
            match apply(&plan, &survey, &self.store, &provenance, patience, &|_| {}).await {
                Ok(written) if plan.has_changes() => {
                    let Summary { n_create, n_update, n_recreate, n_delete, .. } = written.summary;
                    info!(
                        revision = written.revision.map(|revision| revision.0),
                        created = n_create,
                        updated = n_update,
                        recreated = n_recreate,
                        deleted = n_delete,
                        contacts = written.contacts,
                        "applied"
                    );
                    applied = Some(written);
                }
                Ok(_) => {}
                // Somebody else applied, or the files moved on: the next pass sees the newer state.
                Err(ApplyError::Store(StoreError::Stale(_)) | ApplyError::AudienceChanged(_)) => {
                    return Ok(Pass::Again);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let commit = self.base.as_ref().map(|base| base.commit.as_str());
        if applied.is_some() {
            self.account.tell_applied(&plan, commit);
        }
        self.compared = Some(compared);
        self.account.report(&plan, &survey).await?;
        self.account.passed(self.base.as_ref(), applied.is_some());
        let fetching = self.source.failing();
        self.account.save_conditions(&plan, &survey, commit, fetching).await?;
        Ok(Pass::Done(Box::new(Reconciled { survey, plan, applied })))
    }

    fn is_still(&self, token: &Token) -> bool {
        matches!(self.source.look(&self.folder), Look::Still(now) if *now == *token)
    }

    /// Says in `status` too that the folder as a whole is not applied.
    async fn hold_everything(&mut self, problem: ReconcileError) -> Result<Pass, ReconcileError> {
        let place = self.folder.display().to_string();
        self.account.hold_folder(place, problem.to_string()).await?;
        Err(problem)
    }
}

/// A folder as it is called on its host, wherever the program was started.
fn shown(folder: &Path) -> String {
    std::path::absolute(folder).as_deref().unwrap_or(folder).display().to_string()
}

async fn reads_the_same(folder: PathBuf, before: Digest) -> Result<bool, ReconcileError> {
    let again = spawn_blocking(move || manifest::load(&folder)).await;
    let again = again.map_err(SurveyError::from)?.map_err(SurveyError::from)?;
    Ok(fingerprint(&again.desired) == before)
}
